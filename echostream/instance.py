"""Who runs: a locked file, so that `echostream reload` finds the gateway and two never share a card."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path
from types import TracebackType

from echostream.errors import EchoStreamError


class InstanceError(EchoStreamError, RuntimeError):
    """Another gateway runs already, or none does."""


def runtime_dir() -> Path:
    """systemd's RuntimeDirectory, else the user's own; made when it is not there, for this user alone."""
    configured = os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0]
    if configured:
        path = Path(configured)
    elif "XDG_RUNTIME_DIR" in os.environ:
        path = Path(os.environ["XDG_RUNTIME_DIR"]) / "echostream"
    elif os.geteuid() == 0:
        path = Path("/run/echostream")
    else:
        path = Path("/tmp") / f"echostream-{os.geteuid()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        raise InstanceError(f"{path}: belongs to another user; set RUNTIME_DIRECTORY to a folder of your own")
    return path


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


def signal_running(name: str, number: signal.Signals, directory: Path) -> int:
    """Send a signal to the gateway that runs under `name`; returns its process id."""
    path = directory / f"{name}.pid"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise InstanceError(f"no gateway runs here ({path} is not there)") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = int(os.pread(fd, 32, 0).decode("ascii").strip())
        os.kill(pid, number)
        return pid
    finally:
        os.close(fd)
    raise InstanceError(f"no gateway runs here ({path} is left from one that ended)")
