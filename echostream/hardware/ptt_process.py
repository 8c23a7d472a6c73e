"""The guard as a child process of the gateway."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import echostream
from echostream.errors import GpioError
from echostream.hardware.ptt_link import GuardLink

log = logging.getLogger(__name__)

MODULE: Final = "echostream.hardware.ptt_guard"
_OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
EXIT_S: Final = 1.0
"""A guard that lost its gateway ends in milliseconds; with a sound card that hangs in half a second."""


class GuardProcess(GuardLink):
    """One guard, started by us and ended by us."""

    kind = "child"

    def __init__(self, lines_file: str | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Without `site` the guard starts in half the time; our own package is all it needs.
        package = str(Path(echostream.__file__).parents[1])
        command = [sys.executable, "-S", "-m", MODULE]
        if lines_file is not None:
            command += ["--lines-file", lines_file]
        # What the service manager told us is not for it: it would feed our watchdog.
        inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
        try:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=inherited | {"PYTHONPATH": package},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise GpioError(f"the PTT guard cannot be started ({command[0]}): {error}") from error
        finally:
            theirs.close()
        super().__init__(ours)
        self.pid = self._process.pid

    def reap(self) -> int | None:
        """Wait for its end, with force if need be. Its exit status; None when it would not die."""
        self.hang_up()
        try:
            return self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            log.error("PTT guard %d does not end by itself: killing it", self.pid)
            self._process.kill()
        try:
            return self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            log.error("PTT guard %d cannot be killed", self.pid)
            return None

    def kill(self) -> None:
        """A guard that hangs."""
        self._process.kill()
