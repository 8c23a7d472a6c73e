"""One gateway that a guard serves: its socket, its process, its lines by number."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from echostream.errors import WireError
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_held import HeldLine, HeldLines
from echostream.hardware.ptt_list import Place
from echostream.hardware.ptt_protocol import Message

MESSAGES_A_TURN: Final = 64
"""After so many messages the deadlines are looked at, however many more there are."""
ASK_AGAIN_S: Final = 0.5
"""A line that is another gateway's is asked for again this often."""
ATTACH_S: Final = 2.0
"""Who connects and does not say who it is, is hung up on."""
CHILD: Final = "child"
"""The name of the one gateway that a guard has which is its child."""

_SO_PEERPIDFD: Final = 77
_SO_PEERGROUPS: Final = 59
_MAX_GROUPS: Final = 256
_CREDENTIALS: Final = struct.Struct("=iII")


class Caller:
    """attached: called with the name by which the gateway attaches; what it returns is the process id of the
    gateway that has this name already, or None. instance: that name; None before it was said."""

    def __init__(
        self,
        link: socket.socket,
        pid: int,
        process: int | None,
        lines: HeldLines,
        attached: Callable[[Caller, str], int | None] | None = None,
    ) -> None:
        link.setblocking(False)
        self.link = link
        self.pid = pid
        self.process = process
        self.instance: str | None = CHILD if attached is None else None
        self._attached = attached
        self._held = lines
        self._lines: dict[int, HeldLine] = {}
        self._waits: dict[int, Message] = {}
        self._ask_at = 0.0
        self._attach_by: float | None = None if attached is None else time.monotonic() + ATTACH_S
        self.send(Message(protocol.HELLO, value=os.getpid()))

    def receive(self) -> bool:
        """Handle what is there. False at the end of the conversation. WireError for rubbish."""
        for _ in range(MESSAGES_A_TURN):
            try:
                data = self.link.recv(protocol.MAX_MESSAGE + 1)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data or not self._handle(protocol.unpack(data)):
                return False
        return True

    def tell(self, now: float, stopping: bool) -> bool:
        """After the lines were applied: what is new. False when it never said who it is."""
        if self._waits and now >= self._ask_at:
            self._ask_again(now)
        for number, line in self._lines.items():
            state = line.state(stopping)
            if state is not None and state != line.told:
                line.told = state
                self.send(Message(protocol.STATE, line=number, flag=state[0], number=state[1]))
        return self._attach_by is None or now < self._attach_by

    def deadline(self) -> float | None:
        """When `tell` is due again."""
        due = [at for at in (self._attach_by, self._ask_at if self._waits else None) if at is not None]
        return min(due, default=None)

    def send(self, message: Message) -> None:
        """A gateway that does not read is told nothing more; its lines go on as they must."""
        with contextlib.suppress(OSError):
            self.link.send(protocol.pack(message))

    def close(self) -> None:
        """Its lines are held inactive; the conversation ends."""
        self._held.take_back(self)
        self._lines.clear()
        self._waits.clear()
        self.link.close()
        if self.process is not None:
            os.close(self.process)
            self.process = None

    def _handle(self, message: Message) -> bool:
        if message.kind == protocol.PING:
            self.send(Message(protocol.PONG))
        elif message.kind == protocol.ATTACH:
            return self._attach(message.text)
        elif self.instance is None:
            raise WireError(f"PTT guard message: kind {message.kind} before it was said who calls")
        elif message.kind == protocol.ADD:
            self._remove(message.line)
            self._add(message)
        elif message.kind == protocol.REMOVE:
            self._remove(message.line)
        elif message.kind == protocol.COMPLETE:
            self._held.let_go_unclaimed(self.instance)
        elif message.kind in (protocol.KEY, protocol.UNKEY):
            self._key(message)
        else:
            raise WireError(f"PTT guard message: kind {message.kind} is not for the guard")
        return True

    def _attach(self, instance: str) -> bool:
        if self._attached is None:
            return True
        if self.instance is not None or "\t" in instance or "\n" in instance:
            raise WireError(f"PTT guard message: attached as {self.instance!r}, then as {instance!r}")
        other = self._attached(self, instance)
        if other is not None:
            self.send(Message(protocol.REFUSED, value=other))
            return False
        self.instance, self._attach_by = instance, None
        return True

    def _add(self, message: Message) -> None:
        assert self.instance is not None
        place = Place(bool(message.flag & protocol.ADD_CM108), message.text, message.number)
        if "\t" in place.path or "\n" in place.path:
            raise WireError(f"PTT guard message: a line at {place.path!r}")
        active_low = bool(message.flag & protocol.ADD_ACTIVE_LOW)
        line = self._held.take(self, self.instance, place, active_low, message.value / 1000)
        if line is None:
            if message.line not in self._waits:
                busy = Message(protocol.STATE, message.line, protocol.FAULT, errno.EBUSY)
                self.send(busy)
            self._waits[message.line] = message
            return
        self._waits.pop(message.line, None)
        self._lines[message.line] = line

    def _ask_again(self, now: float) -> None:
        self._ask_at = now + ASK_AGAIN_S
        for message in list(self._waits.values()):
            self._add(message)

    def _remove(self, number: int) -> None:
        self._waits.pop(number, None)
        line = self._lines.pop(number, None)
        if line is not None:
            self._held.let_go(line)

    def _key(self, message: Message) -> None:
        line = self._lines.get(message.line)
        if line is None:
            return
        if message.kind == protocol.KEY:
            line.lease.key(time.monotonic())
        else:
            line.lease.unkey()


def watch_process(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends: the socket alone does not say so when the
    gateway's end of it leaked into another process."""
    try:
        return os.pidfd_open(pid)
    except OSError:  # gone already (the end of the socket says so), or a kernel before 5.3
        return None


class Peer(NamedTuple):
    """Who is at the other end of a socket. groups: all that the process was in. process: its descriptor."""

    pid: int
    user: int
    groups: frozenset[int]
    process: int | None


def peer_of(link: socket.socket) -> Peer:
    """As the kernel noted it when the peer connected. OSError."""
    data = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, group = _CREDENTIALS.unpack(data)
    more = link.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS)
    groups = frozenset({group, *struct.unpack(f"={len(more) // 4}I", more)})
    try:
        process: int | None = link.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:  # a kernel before 6.5
        process = watch_process(pid) if pid > 0 else None
    return Peer(pid, user, groups, process)
