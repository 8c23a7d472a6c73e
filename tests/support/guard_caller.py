"""Stands in for a gateway that talks to a guard: says what it is told to say, and hears the answers."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_link import GuardLink, connect
from echostream.hardware.ptt_protocol import Message

CHIP = "/dev/gpiochip0"
PIN = 17


class Caller:
    """One conversation. `heard`: what was said and not asked for yet."""

    def __init__(self, guard: GuardLink) -> None:
        self.guard = guard
        self.heard: list[Message] = []

    @property
    def pid(self) -> int:
        """Of the guard."""
        if self.guard.pid is None:
            self.guard.pid = self.hear_kind(protocol.HELLO).value
        return self.guard.pid

    def send(self, kind: int, line: int = 0) -> None:
        assert self.guard.send(Message(kind, line))

    def add(self, line: int = 0, pin: int = PIN, active_low: bool = False, max_key_ms: int = 60_000) -> None:
        assert self.guard.send(Message(protocol.ADD, line, int(active_low), pin, max_key_ms, CHIP))

    def keyed(self, line: int = 0) -> None:
        """Key, and hear that it is."""
        self.send(protocol.KEY, line)
        self.hear(protocol.KEYED, line=line)

    def sync(self) -> None:
        """Everything that was said is done."""
        self.send(protocol.PING)
        self.hear_kind(protocol.PONG)
        self.send(protocol.PING)  # states are told, and lines driven, at the end of a turn
        self.hear_kind(protocol.PONG)

    def hear(self, *wanted: int, line: int = 0, timeout_s: float = 5.0) -> Message:
        """The next state of a line; if states are given, the next of these."""

        def meant(message: Message) -> bool:
            is_state = message.kind == protocol.STATE and message.line == line
            return is_state and (not wanted or message.flag in wanted)

        return self._next(meant, f"state {wanted} of line {line}", timeout_s)

    def hear_kind(self, kind: int, timeout_s: float = 5.0) -> Message:
        """The next message of a kind."""
        return self._next(lambda message: message.kind == kind, f"kind {kind}", timeout_s)

    def wait_hung_up(self, timeout_s: float = 5.0) -> bool:
        """Does the guard end the conversation?"""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if select.select([self.guard.sock], [], [], 0.05)[0] and self.guard.receive() is None:
                return True
        return False

    def close(self) -> int | None:
        status = self.guard.reap()
        self.guard.close()
        return status

    def _next(self, meant: Callable[[Message], bool], what: str, timeout_s: float) -> Message:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for message in self.heard:
                if meant(message):
                    self.heard.remove(message)
                    return message
            if select.select([self.guard.sock], [], [], 0.05)[0]:
                heard = self.guard.receive()
                assert heard is not None, f"the guard is gone before {what}"
                self.heard += heard
        raise TimeoutError(f"no {what}: {self.heard}")


def call(path: str, instance: str = "gateway") -> Caller:
    """To a guard that is a service."""
    return Caller(connect(path, instance))
