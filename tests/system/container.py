"""A Debian that is booted: systemd as init in a container of its own, without network."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

BOOT_S: Final = 60.0
OFF_S: Final = 30.0
ENVIRONMENT: Final = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    *("HOME=/root", "LC_ALL=C.UTF-8", "TERM=dumb", "DEBIAN_FRONTEND=noninteractive"),
    *("SYSTEMD_COLORS=0", "SYSTEMD_PAGER=cat"),
)


class Failed(Exception):
    """A command in the container ended otherwise than it should; the message is what it said."""


class Container:
    """One boot of it. Commands run as its root."""

    def __init__(self, root: Path, name: str, binds: Sequence[tuple[Path, str]] = ()) -> None:
        """binds: folders of this machine, and where they are inside."""
        self._log = root.parent / f"{name}.boot"
        command = ["systemd-nspawn", "--quiet", "-D", str(root), f"--machine={name}", "--register=no"]
        command += ["--keep-unit", "--private-network", "--boot"]
        command += [f"--bind={source}:{target}" for source, target in binds]
        self._groups = _own_groups(f"{name}-{os.getpid()}")
        enter = [f"echo $$ > {group}/cgroup.procs" for group in self._groups]
        shell = ["sh", "-c", "; ".join([*enter, 'exec "$@"']), "sh", *command]
        with self._log.open("wb") as log:
            self._nspawn = subprocess.Popen(shell, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._init = self._find_init()
        self.until(lambda: self.say("systemctl", "is-system-running") in ("running", "degraded"), BOOT_S)

    def run(self, *command: str, check: bool = True, timeout_s: float = 300.0) -> str:
        """What it printed, stderr included. Raises Failed for an exit status other than 0."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._init), "-a", "env", "-i", *ENVIRONMENT, *command],
            check=False,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
        if check and done.returncode != 0:
            raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}")
        return done.stdout.strip()

    def say(self, *command: str) -> str:
        """As `run`, whatever its exit status."""
        return self.run(*command, check=False)

    def property(self, unit: str, name: str) -> str:
        """What systemd knows of a unit."""
        return self.say("systemctl", "show", "-p", name, "--value", unit)

    def until(self, what: Callable[[], bool], timeout_s: float) -> float:
        """Seconds until it was so. Raises Failed when it was not in time."""
        began_s = time.monotonic()
        while not what():
            if time.monotonic() - began_s > timeout_s:
                raise Failed(f"not within {timeout_s:.0f} s")
            time.sleep(0.1)
        return time.monotonic() - began_s

    def close(self) -> None:
        """Switch it off."""
        if self._nspawn.poll() is None:
            with contextlib.suppress(Failed, subprocess.TimeoutExpired):
                self.run("systemctl", "poweroff", check=False, timeout_s=OFF_S)
            try:
                self._nspawn.wait(OFF_S)
            except subprocess.TimeoutExpired:
                self._nspawn.terminate()
                self._nspawn.wait(OFF_S)
        for group in self._groups:
            for path in [*sorted(group.rglob("*/"), reverse=True), group]:
                with contextlib.suppress(OSError):  # what is left in it is for the machine's own systemd
                    path.rmdir()

    def _find_init(self) -> int:
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        deadline_s = time.monotonic() + BOOT_S
        while time.monotonic() < deadline_s:
            if self._nspawn.poll() is not None:
                raise Failed(f"systemd-nspawn ended: {self._log.read_text(errors='replace')[-2000:]}")
            for pid in children.read_text().split():
                if _in_own_namespace(int(pid)):
                    return int(pid)
            time.sleep(0.05)
        raise Failed("the container did not start")


def _own_groups(name: str) -> list[Path]:
    """Control groups for one container: in its parent's, units of one name in two containers would be one
    group, and each would end the other's processes."""
    top = Path("/sys/fs/cgroup")
    tops = [top] if (top / "cgroup.procs").exists() else [top / "systemd", top / "unified"]
    groups = [one / name for one in tops if one.is_dir()]
    for group in groups:
        group.mkdir()
    return groups


def _in_own_namespace(pid: int) -> bool:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:  # it is on its way
        return False


@contextlib.contextmanager
def booted(root: Path, name: str, binds: Sequence[tuple[Path, str]] = ()) -> Iterator[Container]:
    """A container, switched off at the end."""
    container = Container(root, name, binds)
    try:
        yield container
    finally:
        container.close()
