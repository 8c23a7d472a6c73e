"""What waits to be sent over the WebSocket: bounded, and only ever for the connection it was meant for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BOUND: Final = 64  # messages; four channels need about one a second

OnSent = Callable[[bool], None]


@dataclass(frozen=True, slots=True)
class Message:
    """`link`: number of the connection it was written for."""

    text: str
    on_sent: OnSent | None
    link: int


@dataclass(frozen=True, slots=True)
class Cleared:
    """Messages that will not be sent. `overflowed`: there were too many, and not: the link went."""

    messages: tuple[Message, ...]
    overflowed: bool


class Outbox:
    """Messages of the current link, in order.

    Signalling is state, and state goes stale: what waited while the link went away, or what piled up behind a
    server that does not read, is cleared, its authors are told, and they send the whole state again.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._cleared: list[Message] = []
        self._overflowed = False
        self._link = 0
        self._up = False
        self._closing = False

    def link_up(self) -> int:
        """A new link: messages are taken from now on. Returns its number."""
        with self._changed:
            self._link += 1
            self._up = True
            return self._link

    def link_down(self) -> None:
        """No link: what waits is cleared, what comes is refused."""
        with self._changed:
            self._up = False
            self._clear()

    def close(self) -> None:
        """Take nothing more; what waits may still go."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()

    def put(self, text: str, on_sent: OnSent | None) -> bool:
        """True: queued, and `on_sent` will be called once. False: no link, or too many. Never blocks."""
        with self._changed:
            if not self._up or self._closing or self._overflowed:
                return False
            if len(self._waiting) >= self._bound:
                self._overflowed = True
                self._clear()
                return False
            self._waiting.append(Message(text, on_sent, self._link))
            self._changed.notify_all()
            return True

    def take(self) -> Message | Cleared | None:
        """The next thing to do for the sender; blocks. None: closed and empty."""
        with self._changed:
            while True:
                if self._cleared or self._overflowed:
                    result = Cleared(tuple(self._cleared), self._overflowed)
                    self._cleared.clear()
                    self._overflowed = False
                    return result
                if self._waiting:
                    return self._waiting.popleft()
                if self._closing:
                    return None
                self._changed.wait()

    def _clear(self) -> None:
        self._cleared += self._waiting
        self._waiting.clear()
        self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._waiting)
