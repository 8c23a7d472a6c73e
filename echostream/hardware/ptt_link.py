"""The way to a guard, be it a child or a service: a socket that never blocks, and who is at its other end."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from typing import Final

from echostream.errors import GpioError
from echostream.hardware import ptt_protocol as protocol

log = logging.getLogger(__name__)

GUARD_VARIABLE: Final = "ECHOSTREAM_PTT_GUARD"
"""Path of the socket of a guard that is a service; empty: there is none, whatever is installed."""
GUARD_SOCKET: Final = "/run/echostream-ptt/guard"
"""Where systemd/echostream-ptt-guard.socket has it."""
CONNECT_S: Final = 1.0


class GuardLink:
    """The conversation with one guard. Sending never blocks; the socket is readable when the guard has
    something to say, or is gone. pid: the guard's process, None before it said so."""

    kind = "unit"

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.pid: int | None = None

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
        """End the conversation: the guard drops our lines, and whoever polls the socket wakes."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def reap(self) -> int | None:
        """End the conversation, and the guard where it is ours. Its exit status, where it has one."""
        self.hang_up()
        return None

    def kill(self) -> None:
        """A guard that hangs. One that is a service is its manager's: the kernel kills it while it keys, the
        watchdog when it does not."""
        log.warning("the PTT guard is a service: its watchdog ends it")

    def close(self) -> None:
        """Close our end of the socket."""
        self.sock.close()


def connect(path: str, instance: str) -> GuardLink:
    """Call the guard at `path` and say who we are. GpioError when nobody is there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(CONNECT_S)  # a guard that hangs, with a full backlog
        sock.connect(path)
        sock.send(protocol.pack(protocol.Message(protocol.ATTACH, text=instance)))
    except OSError as error:
        sock.close()
        remedy = "systemctl status echostream-ptt-guard.socket says why"
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise GpioError(f"the PTT guard at {path} cannot be reached: {reason}; {remedy}") from error
    return GuardLink(sock)


def guard_socket() -> str | None:
    """Where a guard that is a service is to be reached; None where there is none that we may talk to. Whoever
    keys by hand on a machine with a guard must find it too, because it holds the lines."""
    named = os.environ.get(GUARD_VARIABLE)
    if named is not None:
        return named or None
    return GUARD_SOCKET if os.access(GUARD_SOCKET, os.W_OK) else None


def instance_name() -> str:
    """By which this gateway is known to the guard: its runtime directory, which no two instances share. ""
    for one that was started by hand: no line is held for it when it is gone."""
    return os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0][-protocol.MAX_TEXT :]
