"""A machine that is upgraded, with real processes: what systemd does for EchoStream is played by a thread.

Below a folder of its own: versions that really start (the package as it is here, compiled, and this
environment's libraries), a gateway of the version that is current, and whoever judges a trial. The processes
under test are this file itself, run by the interpreter of a version.
"""

from __future__ import annotations

import compileall
import contextlib
import hashlib
import json
import os
import platform
import py_compile
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[2]
sys.path[:0] = [] if "echostream" in sys.modules else [str(REPOSITORY)]

from echostream.deploy import versions  # noqa: E402 - after the path
from echostream.deploy.layout import SOURCE, DeployError, Layout, Release, record_text  # noqa: E402
from echostream.deploy.services import GATEWAY, TRIAL  # noqa: E402
from echostream.deploy.trial import carry_on  # noqa: E402
from echostream.deploy.upgrade import Options, carry_out, upgrade  # noqa: E402

QUICK: Final = Options(within_s=25.0, hold_s=0.6, selftest=("config", "--help"))
ARCH: Final = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
_COMPILED: Final = py_compile.PycInvalidationMode.UNCHECKED_HASH
AGAIN_S: Final = 0.3
"""Until something that ended is started again."""
SPOILT: Final = {
    "good": "",
    "ends": 'raise SystemExit("this version is broken")',
    "hangs": "import threading; threading.Event().wait()",
}
"""What the gateway of a version begins with."""


# ---- systemctl, as the processes under test call it


@dataclass
class AskedServices:
    """Services over a socket to the stand."""

    path: str
    booted: bool = True

    def _ask(self, verb: str, units: Sequence[str] = ()) -> Any:
        with socket.socket(socket.AF_UNIX) as way:
            way.settimeout(30)
            way.connect(self.path)
            way.sendall(json.dumps([verb, list(units)]).encode() + b"\n")
            answer = json.loads(way.makefile().readline())
        if "error" in answer:
            raise DeployError(answer["error"])
        return answer["value"]

    def daemon_reload(self) -> None:
        self._ask("daemon-reload")

    def enable(self, units: Sequence[str]) -> None:
        self._ask("enable", units)

    def disable(self, units: Sequence[str]) -> None:
        self._ask("disable", units)

    def is_enabled(self, unit: str) -> bool:
        return True

    def is_active(self, unit: str) -> bool:
        return bool(self._ask("running", [unit]))

    def start(self, units: Sequence[str]) -> None:
        self._ask("start", units)

    def stop(self, units: Sequence[str]) -> None:
        self._ask("stop", units)

    def restart(self, units: Sequence[str]) -> None:
        self._ask("restart", units)

    def reset_failed(self, units: Sequence[str]) -> None:
        self._ask("reset-failed", units)

    def reload_udev(self) -> None:
        return

    def running(self, patterns: Sequence[str]) -> list[str]:
        return list(self._ask("running", patterns))

    def restart_soon(self, units: Sequence[str]) -> None:
        self._ask("restart", units)

    def restarts(self, unit: str) -> int:
        return int(self._ask("restarts", [unit]))


# ---- versions


def make_archive(folder: Path, version_id: str, spoilt: str = "good") -> Path:
    """A release archive of the package as it is here."""
    name = f"echostream-{version_id}-bookworm-{ARCH}"
    top = folder / name
    tree = top / "tree"
    package = tree / "lib" / "echostream"
    shutil.copytree(_compiled(folder), package)
    if SPOILT[spoilt]:
        main = package / "main.py"
        first = "def run(options: RunOptions) -> int:\n"
        text = main.read_text()
        assert first in text
        main.write_text(text.replace(first, f"{first}    {SPOILT[spoilt]}\n"))
        py_compile.compile(str(main), invalidation_mode=_COMPILED)
    (tree / "bin").mkdir()
    python = tree / "bin" / "python"
    python.write_text(
        "#!/bin/sh\n"
        'here=$(dirname "$(readlink -f "$0")")\n'
        f'PYTHONPATH="$here/../lib" PYTHONDONTWRITEBYTECODE=1 exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    units = tree / "share" / "echostream" / "systemd"
    units.mkdir(parents=True)
    (units / "echostream.service").write_text(f"# of {version_id}\n")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    release = Release(version_id, version_id, stamp, "3.11", ARCH, "bookworm")
    (tree / "release.json").write_text(record_text(release))
    files = sorted(path for path in top.rglob("*") if path.is_file())
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(top)}\n" for path in files]
    (top / "SHA256SUMS").write_text("".join(sums))
    target = folder / f"{name}.tar.gz"
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        archive.add(top, name)
    shutil.rmtree(top)
    return target


def _compiled(folder: Path) -> Path:
    """The package as it was when the first version was made."""
    package = folder / "package"
    if not package.exists():
        making = folder / "package.new"
        shutil.copytree(REPOSITORY / "echostream", making, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(making, quiet=2, invalidation_mode=_COMPILED)
        making.rename(package)
    return package


def configuration(root: Path) -> dict[str, Any]:
    """One channel that a simulated run has a server for, on a port that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return {
        "gateway": {"id": "station-9", "affiliation_id": "station-9"},
        "control_server": {"url": f"ws://127.0.0.1:{port}"},
        "channels": [{"id": "ops", "card": "none"}],
        "events": {"directory": str(root / "data"), "report_at": None},
        "recording": {"enabled": False, "directory": str(root / "data" / "recordings")},
    }


# ---- the stand


@dataclass
class Unit:
    """A service: wanted, running, and how often it was started again by itself."""

    wanted: bool = False
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    ended_s: float = 0.0


@dataclass
class Stand:
    """The machine. Thread `stand` does what systemd does, until `close`."""

    root: Path
    units: dict[str, Unit] = field(default_factory=lambda: {GATEWAY: Unit(), TRIAL: Unit()})

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        self.layout = Layout(self.root)
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._way = socket.socket(socket.AF_UNIX)
        self.socket = str(self.root / "systemctl")
        self._way.bind(self.socket)
        self._way.listen(16)
        self._way.settimeout(0.05)
        self._log = (self.root / "log").open("ab")
        self._thread = threading.Thread(target=self._serve, name="stand")

    def install(self, archive: Path, version_id: str) -> None:
        """The first version, as an installation leaves it; its gateway is started."""
        from echostream.deploy.release_archive import ReleaseArchive

        tree = self.layout.tree(version_id).path
        tree.mkdir(parents=True)
        ReleaseArchive(archive).unpack(tree)
        versions.switch(self.layout, version_id)
        self.layout.install_file.write_text(record_text(SOURCE))
        self.layout.config_dir.mkdir(parents=True)
        self.layout.config.write_text(json.dumps(configuration(self.root)))
        self.layout.runtime.mkdir(parents=True)
        (self.root / "data").mkdir()
        self.units[GATEWAY].wanted = True
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.cut_the_power()
        self._way.close()
        self._log.close()

    def cut_the_power(self) -> None:
        """Everything is gone at once; what is on the disk stays."""
        with self._lock:
            for unit in self.units.values():
                if unit.process is not None:
                    _kill(unit.process)
                    unit.process = None
                unit.restarts, unit.ended_s = 0, time.monotonic()
            self.units[TRIAL].wanted = False
            for path in self.layout.runtime.iterdir():
                if path.is_file():
                    path.unlink()

    def kill(self, unit: str) -> bool:
        with self._lock:
            process = self.units[unit].process
            if process is None or process.poll() is not None:
                return False
            _kill(process)
            return True

    def upgrade(self, archive: Path, log: Path) -> subprocess.Popen[bytes]:
        """`echostream upgrade`, as the version that is current does it."""
        python = self.layout.current / "bin" / "python"
        with log.open("ab") as out:
            return self._start([str(python), __file__, "upgrade", str(self.root), str(archive)], out)

    def health(self) -> dict[str, Any]:
        """What the gateway says; empty where it says nothing."""
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, Any] = json.loads((self.layout.runtime / "echostream.health.json").read_text())
            return found
        return {}

    # ---- what systemd does

    def _serve(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                self._answer(self._way.accept()[0])
            with self._lock:
                if self.layout.trial_file.exists():
                    self.units[TRIAL].wanted = True
                for name, unit in self.units.items():
                    self._look_after(name, unit)

    def _look_after(self, name: str, unit: Unit) -> None:
        if unit.process is not None:
            code = unit.process.poll()
            if code is None:
                return
            unit.process, unit.ended_s = None, time.monotonic()
            if name == TRIAL and code == 0:
                unit.wanted = False
            else:
                unit.restarts += 1
        if unit.wanted and time.monotonic() - unit.ended_s >= AGAIN_S:
            self._run(name, unit)

    def _run(self, name: str, unit: Unit) -> None:
        home = self.layout.home
        if name == TRIAL:
            command = [str(home / "judge" / "bin" / "python"), __file__, "judge", str(self.root)]
        else:
            command = [str(home / "current" / "bin" / "python"), "-m", "echostream", "run", "--no-live"]
            command += ["--simulate", "all", "--log", "lines", "--config", str(self.layout.config)]
        try:
            unit.process = self._start(command, self._log)
        except OSError as error:
            self._log.write(f"{name}: {error}\n".encode())
            unit.ended_s = time.monotonic()
            unit.restarts += 1

    def _start(self, command: list[str], out: Any) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "RUNTIME_DIRECTORY": str(self.layout.runtime),
            "ECHOSTREAM_PTT_GUARD": "",
        }
        environment["STAND"] = self.socket
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )

    def _answer(self, way: socket.socket) -> None:
        with way:
            way.settimeout(5)
            try:
                verb, names = json.loads(way.makefile().readline())
            except (OSError, ValueError):
                return  # whoever asked was killed
            with contextlib.suppress(OSError):
                way.sendall(json.dumps(self._do(verb, names)).encode() + b"\n")

    def _do(self, verb: str, names: list[str]) -> dict[str, Any]:
        with self._lock:
            known = [name for name in names if name in self.units]
            if verb == "running":
                found = [name for name, unit in self.units.items() if unit.wanted]
                return {"value": [name for name in found if any(fnmatch(name, one) for one in names)]}
            if verb == "restarts":
                return {"value": self.units[names[0]].restarts}
            if verb in {"start", "restart"} and set(names) - set(self.units):
                return {"error": f"Unit {', '.join(set(names) - set(self.units))} not found."}
            for name in known:
                unit = self.units[name]
                if verb in {"restart", "stop", "reset-failed"}:
                    unit.restarts = 0
                if verb in {"restart", "stop"} and unit.process is not None:
                    _kill(unit.process)
                    unit.process, unit.ended_s = None, 0.0
                if verb in {"restart", "start", "stop"}:
                    unit.wanted = verb != "stop"
            return {"value": None}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """It and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# ---- the processes under test


def _upgrade(root: Path, archive: Path) -> int:
    layout, services, stop = Layout(root), AskedServices(os.environ["STAND"]), threading.Event()
    trial = upgrade(layout, services, archive, QUICK, _say)
    ended = carry_out(layout, services, trial, _say, stop)
    _say(f"ended: {ended}")
    return 0 if ended is not None and ended.outcome == "confirmed" else 1


def _judge(root: Path) -> int:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    carry_on(Layout(root), AskedServices(os.environ["STAND"]), stop)
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{time.monotonic():.3f} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    import logging

    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    what, where = sys.argv[1], Path(sys.argv[2])
    try:
        sys.exit(_upgrade(where, Path(sys.argv[3])) if what == "upgrade" else _judge(where))
    except DeployError as refused:
        sys.stderr.write(f"{what}: {refused}\n")
        sys.exit(2)
