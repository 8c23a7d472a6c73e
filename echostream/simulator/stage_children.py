"""Programs that a simulated run starts beside itself, and ends."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import subprocess
import sys
import threading
import time
from typing import Final

log = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
PROBE_S: Final = 0.5
STOP_S: Final = 2.0
START_S: Final = 10.0
_PERIOD_S: Final = 0.05


def echostream(*arguments: str) -> list[str]:
    """`echostream ARGUMENTS`, of this installation."""
    return [sys.executable, "-m", "echostream", *arguments]


class Child:
    """One program. However we die, it is told: nobody else would ever stop it."""

    def __init__(self, *command: str, logged_as: str | None = None) -> None:
        """logged_as: each line it prints goes to the log, with this in front; None: it prints to nobody."""
        setpriv = shutil.which("setpriv")
        guard = [] if setpriv is None else [setpriv, "--pdeathsig", "TERM"]
        self._process = subprocess.Popen(
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if logged_as is None else subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._reader: threading.Thread | None = None
        if logged_as is not None:
            self._reader = threading.Thread(target=self._read, args=(logged_as,), name=f"read-{logged_as}")
            self._reader.start()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Ended when this returns: asked first, killed after two seconds."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(STOP_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _read(self, name: str) -> None:
        """Thread `read-NAME`, until the program closes its output."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            log.info("%s: %s", name, line.decode("utf-8", "replace").rstrip())


def answers(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), PROBE_S):
        return True
    return False


def wait_until_answers(child: Child, host: str, port: int, within_s: float = START_S) -> bool:
    """False: it ended, or did not begin to listen in time."""
    until_s = time.monotonic() + within_s
    pause = threading.Event()
    while not answers(host, port):
        if not child.alive or time.monotonic() >= until_s:
            return False
        pause.wait(_PERIOD_S)
    return True


def free_port() -> int:
    """A TCP port of this machine's own on which nobody listens now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port
