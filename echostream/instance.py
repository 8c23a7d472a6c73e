"""Who runs: a locked file, so that `echostream reload` finds the gateway and two never share a card."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
from pathlib import Path
from types import TracebackType
from typing import Final

from echostream.errors import EchoStreamError


class InstanceError(EchoStreamError, RuntimeError):
    """Another gateway runs already, or none does."""


_LEFT: Final = re.compile(r"(?:echostream|cards|broker|bucket)-([1-9][0-9]{0,9})(?:-.*)?")
SERVICE: Final = Path("/run/echostream")
"""Of the service; echostream@NAME has a folder of its name in it."""


def runtime_dir() -> Path:
    """systemd's RuntimeDirectory, else the user's own; made when it is not there, for this user alone."""
    path = _own_place()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise InstanceError(f"{path}: belongs to another user; set RUNTIME_DIRECTORY to a folder of your own")
    return path


def _own_place() -> Path:
    configured = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if configured:
        return Path(configured)
    if "XDG_RUNTIME_DIR" in os.environ:
        return Path(os.environ["XDG_RUNTIME_DIR"]) / "echostream"
    return SERVICE if os.geteuid() == 0 else Path("/tmp") / f"echostream-{os.geteuid()}"


def places(name: str, service: Path = SERVICE) -> tuple[Path, ...]:
    """Where a gateway of that name may run: this user's folder, then those of the services."""
    return _own_place(), service, service / name


def sweep(directory: Path) -> list[Path]:
    """Remove what killed runs have left there, each under the number of its process. What was removed.

    A service's folder outlives its restarts, and a gateway may run for years between two boots.
    """
    left = [path for path in directory.iterdir() if (of := _LEFT.fullmatch(path.name)) and not _lives(of[1])]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _lives(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


class Instance:
    """Holds `NAME.pid` locked while the gateway runs; the lock goes with the process, however it ends."""

    def __init__(self, name: str, directory: Path) -> None:
        self._path = directory / f"{name}.pid"
        self._fd = -1

    def __enter__(self) -> Instance:
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise InstanceError(
                f"a gateway of this name runs already (process {holder}); stop it first, or give this one "
                "another --instance"
            ) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode("ascii"), 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        os.close(self._fd)


def signal_running(name: str, number: signal.Signals, *directories: Path) -> int:
    """Send a signal to the gateway that runs under `name` in the first of these; returns its process id."""
    why = ""
    for directory in directories:
        path = directory / f"{name}.pid"
        try:
            pid = _holder(path)
        except FileNotFoundError:
            why = why or f"{path} is not there"
            continue
        except PermissionError:
            why = f"{path} is the service's: run this with sudo, or systemctl reload"
            continue
        if pid is not None:
            try:
                os.kill(pid, number)
            except PermissionError:
                raise InstanceError(f"process {pid} is another user's; run this with sudo") from None
            return pid
        why = f"{path} is left from one that ended"
    raise InstanceError(f"no gateway runs here ({why})")


def _holder(path: Path) -> int | None:
    """Who holds the file locked; None: nobody, or one who is not whom the file belongs to. OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = int(os.pread(fd, 32, 0).decode("ascii").strip())
        # Root asks in folders of others, and must not send signals to whom they please.
        ours = os.geteuid() != 0 or os.stat(f"/proc/{pid}").st_uid == os.fstat(fd).st_uid
        return pid if ours else None
    finally:
        os.close(fd)
    return None
