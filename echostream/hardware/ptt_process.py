"""The guard as a child process, and the socket to it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

import echostream
from echostream.errors import GpioError
from echostream.hardware import ptt_protocol as protocol

log = logging.getLogger(__name__)

MODULE: Final = "echostream.hardware.ptt_guard"
EXIT_S: Final = 1.0
"""A guard that lost its gateway ends in milliseconds; with a sound card that hangs in half a second."""


class GuardProcess:
    """One guard. Sending never blocks; the socket is readable when it has something to say, or is gone."""

    def __init__(self, lines_file: str | None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        # Without `site` the guard starts in half the time; our own package is all it needs.
        package = str(Path(echostream.__file__).parents[1])
        command = [sys.executable, "-S", "-m", MODULE]
        if lines_file is not None:
            command += ["--lines-file", lines_file]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": package},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise GpioError(f"the PTT guard cannot be started ({command[0]}): {error}") from error
        finally:
            theirs.close()
        self.sock = ours

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: protocol.Message) -> bool:
        """False when the guard is gone, or does not read."""
        try:
            self.sock.send(protocol.pack(message))
        except OSError:
            return False
        return True

    def receive(self) -> list[protocol.Message] | None:
        """What it said; None when it is gone. WireError for rubbish."""
        messages: list[protocol.Message] = []
        while True:
            try:
                data = self.sock.recv(protocol.MAX_MESSAGE + 1)
            except BlockingIOError:
                return messages
            except OSError:
                return messages or None
            if not data:
                return messages or None
            messages.append(protocol.unpack(data))

    def hang_up(self) -> None:
        """End the conversation: the guard drops every line and ends, and whoever polls the socket wakes."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

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

    def close(self) -> None:
        """Close our end of the socket."""
        self.sock.close()
