"""`echostream upgrade`: a new version beside the one that runs, tried out by itself, then put on trial."""

from __future__ import annotations

import contextlib
import os
import platform
import pwd
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from echostream.deploy import versions
from echostream.deploy.layout import DeployError, Layout, Release, Tree
from echostream.deploy.release_archive import ReleaseArchive
from echostream.deploy.services import TRIAL, TRIAL_PATH, Services, look
from echostream.deploy.trial import begin, start_judge
from echostream.deploy.trial_file import HOLD_S, WITHIN_S, Ended, Trial, history, read_trial

Say = Callable[[str], None]

SPARE_BYTES: Final = 100_000_000
"""Must be free beyond what is unpacked: recordings and logs go on meanwhile."""
CHECK_S: Final = 60.0
SELFTEST_S: Final = 120.0
USER: Final = "echostream"
_FINDINGS: Final = 1
"""Exit code of `config check` for a configuration that is in force, with findings."""
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf"}
_TOLD_LINES: Final = 12


@dataclass(frozen=True, slots=True)
class Options:
    """within_s, hold_s: of the trial. selftest: the arguments of the new version's own, None: not asked."""

    within_s: float = WITHIN_S
    hold_s: float = HOLD_S
    selftest: tuple[str, ...] | None = ("selftest", "--simulate", "all", "--quick")


def install_beside(layout: Layout, source: Path, say: Say) -> str:
    """Unpack a release beside the version that runs; whoever holds `versions.alone` calls it. Its id."""
    refuse_package(source)
    archive = ReleaseArchive(source)
    layout.versions.mkdir(0o755, parents=True, exist_ok=True)
    free = shutil.disk_usage(layout.versions).free
    if free < archive.bytes + SPARE_BYTES:
        raise DeployError(
            f"{layout.versions}: {free // 1_000_000} MB are free, {archive.bytes // 1_000_000} MB and "
            f"{SPARE_BYTES // 1_000_000} MB to spare are needed; remove recordings, or give them another disk"
        )
    coming = layout.versions / versions.COMING
    if coming.exists():
        shutil.rmtree(coming)
    coming.mkdir(0o755)
    try:
        say(f"unpacking {source} ({archive.bytes // 1_000_000} MB)")
        archive.unpack(coming)
        release = Tree(coming).release()
        refuse_foreign(release, Tree(coming), layout)
        if release.id in (versions.current(layout), versions.previous(layout)):
            say(f"{release.id} is on this machine already")
        else:  # one that was left may come again, mended, under its old name
            if versions.complete(layout, release.id) is not None:
                versions.remove(layout, release.id)
            versions.put_in_place(layout, coming, release.id)
    except OSError as error:
        raise DeployError(f"{error.filename or coming}: {error.strerror}") from None
    finally:
        shutil.rmtree(coming, ignore_errors=True)
    return release.id


def refuse_package(source: Path) -> None:
    """A Debian package is for apt, which ends in the same trial."""
    if source.suffix == ".deb":
        name = source if source.is_absolute() or str(source).startswith(".") else Path(".") / source
        raise DeployError(f"a Debian package is installed by: sudo apt install {_as_typed(name)}")
    if not source.exists():
        raise DeployError(f"{source} is not there")


def _as_typed(path: Path) -> str:
    """With the ./ that apt asks for."""
    return str(path) if path.is_absolute() or str(path).startswith("..") else f"./{path}"


def refuse_foreign(release: Release, tree: Tree, layout: Layout) -> None:
    """What was made for another machine. Raises DeployError."""
    arch = _MACHINES.get(platform.machine(), platform.machine())
    if release.arch != arch:
        raise DeployError(f"{release.id} was made for {release.arch}; this machine is {arch}")
    here = _distribution(layout)
    if here and release.distribution != here:
        raise DeployError(f"{release.id} was made for Debian {release.distribution}; this machine has {here}")
    if not tree.python.exists():
        raise DeployError(
            f"{release.id} needs Python {release.python} ({os.readlink(tree.python)}), which is not installed"
        )


def _distribution(layout: Layout) -> str:
    try:
        lines = layout.below("/etc/os-release").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    found = [line.partition("=")[2].strip("\"'") for line in lines if line.startswith("VERSION_CODENAME=")]
    return found[0] if found else ""


def try_out(layout: Layout, version_id: str, options: Options, say: Say) -> None:
    """What the new version says itself: of the configuration, and of itself. Raises DeployError."""
    new = layout.tree(version_id)
    say(f"{version_id} looks at {layout.config}")
    if layout.config.exists() and (said := _config_refused(new, layout.config)):
        old = versions.current(layout)
        if old is not None and not _config_refused(layout.tree(old), layout.config):
            raise DeployError(
                f"{version_id} refuses the configuration that {old} accepts; {old} stays in force\n{said}"
            )
        say(f"{layout.config} is refused, by the version that runs too:\n{said}")
    if options.selftest is None:
        return
    say(f"{version_id} tests itself")
    done = _run(new, options.selftest, SELFTEST_S)
    if done.returncode != 0:
        raise DeployError(
            f"the self-test of {version_id} failed (exit code {done.returncode}); what runs stays in force\n"
            + _told(done)
        )


def _config_refused(tree: Tree, config: Path) -> str:
    """What a version says of a configuration that it refuses; "": it is in force."""
    done = _run(tree, ("config", "check", str(config)), CHECK_S)
    return "" if done.returncode in (0, _FINDINGS) else _told(done)


def _run(tree: Tree, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """One command of a version, as the service's user where we may."""
    command = [str(tree.python), "-m", "echostream", *arguments]
    try:
        return subprocess.run(
            command,
            cwd="/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            **_as_service(),
        )
    except subprocess.TimeoutExpired:
        raise DeployError(f"{' '.join(command)}: no end after {timeout_s:.0f} s") from None
    except OSError as error:
        raise DeployError(f"{tree.python}: {error.strerror}; install it again") from None


def _environment() -> dict[str, str]:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "LC_ALL", "TMPDIR") if key in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1", "HOME": "/nonexistent"}


def _as_service() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        return {}
    groups = os.getgrouplist(USER, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}


def _told(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return "\n".join(f"  {line}" for line in lines[-_TOLD_LINES:])


# ---- the whole of it


def upgrade(layout: Layout, services: Services, source: Path, options: Options, say: Say) -> Trial:
    """Install beside, try out, begin the trial. Raises DeployError."""
    refuse_package(source)
    with versions.alone(layout):
        if read_trial(layout) is not None:
            raise DeployError("a new version is on trial already: `echostream versions` says how it is")
        record = layout.install_record()
        if versions.current(layout) is None or record is None:
            raise DeployError("EchoStream is not installed here: run install.sh of the archive, with sudo")
        if record.method == "package":
            raise DeployError(
                "EchoStream is a Debian package here: upgrade it by `sudo apt install ./echostream_….deb`"
            )
        version_id = install_beside(layout, source, say)
        if version_id == versions.current(layout):
            raise DeployError(f"{version_id} is what runs already")
        try_out(layout, version_id, options, say)
        trial = begin(layout, services, version_id, options.within_s, options.hold_s)
    if trial is None:
        raise DeployError(f"{layout.current} does not point to a whole version: install again")
    return trial


def carry_out(
    layout: Layout, services: Services, trial: Trial, say: Say, stop: threading.Event
) -> Ended | None:
    """Let the trial be judged and say how it goes; None where `stop` comes first (it goes on by itself)."""
    if services.booted:
        with contextlib.suppress(DeployError):  # where it is not there this process judges
            services.start([TRIAL_PATH])
    if start_judge(layout, services, stop):
        does = f"watches {trial.new}" if trial.phase != "back" else f"goes back to {trial.old}"
        say(f"{TRIAL} {does}; interrupting this command does not end that")
        return follow(layout, trial, say, stop)
    return _ended(layout, trial)


def follow(layout: Layout, trial: Trial, say: Say, stop: threading.Event) -> Ended | None:
    """Until the trial has ended. None where `stop` comes first."""
    phase = ""
    began_s = time.monotonic()
    words = {
        "switch": f"switching to {trial.new}",
        "watch": f"watching {trial.new}, for {trial.within_s:.0f} s at most",
        "back": f"going back to {trial.old}",
    }
    while True:
        now = read_trial(layout)
        if now is None or now.began_us != trial.began_us:
            return _ended(layout, trial)
        if now.phase != phase:
            phase = now.phase
            say(f"{time.monotonic() - began_s:5.1f} s  {words[phase]}")
        if stop.wait(0.5):
            return None


def not_ready(layout: Layout, units: Sequence[str], within_s: float, stop: threading.Event) -> list[str]:
    """The gateways that are not ready again within that time, with why."""
    until_s = time.monotonic() + within_s
    while True:
        found = []
        for unit in units:
            health = look(layout, unit).health
            if health is None or not health.ready:
                found.append(f"{unit}: {'not ready yet' if health else 'it does not say how it is'}")
        if not found or time.monotonic() >= until_s or stop.wait(0.5):
            return found


def _ended(layout: Layout, trial: Trial) -> Ended | None:
    return next((one for one in reversed(history(layout)) if one.began_us == trial.began_us), None)
