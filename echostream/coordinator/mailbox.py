"""A bounded queue between threads that counts what it carried and never drops in silence."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MailboxStats:
    """`posted` and `refused` since the start; `deepest`: most items that ever waited."""

    posted: int
    refused: int
    deepest: int


class Mailbox(Generic[T]):
    """First in, first out, at most `bound` items. A full mailbox refuses, counts, and tells the poster."""

    def __init__(self, bound: int) -> None:
        self._queue: queue.Queue[T] = queue.Queue(maxsize=bound)
        self._posted = 0
        self._refused = 0
        self._deepest = 0

    def put(self, item: T) -> bool:
        """False when the mailbox is full. Never blocks."""
        try:
            self._queue.put_nowait(item)
        except queue.Full:
            self._refused += 1
            return False
        self._posted += 1
        self._deepest = max(self._deepest, self._queue.qsize())
        return True

    def get(self, timeout_s: float | None) -> T | None:
        """The oldest item, or None after `timeout_s` (None: wait for ever)."""
        try:
            return self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None

    @property
    def waiting(self) -> int:
        """Items that wait now."""
        return self._queue.qsize()

    @property
    def stats(self) -> MailboxStats:
        return MailboxStats(self._posted, self._refused, self._deepest)
