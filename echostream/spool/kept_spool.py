"""A spool that goes on in memory while the disk refuses."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from echostream.errors import SpoolUnavailable
from echostream.spool.item import Item
from echostream.spool.spool import Spool

log = logging.getLogger(__name__)

AGAIN_S: Final = 10.0
MEMORY_BYTES: Final = 4_000_000
MOST_AGES: Final = 512
MEMORY_NUMBERS: Final = 1 << 62
"""Numbers of what is only in memory: behind all that is on the disk."""


class KeptSpool:
    """As `Spool`, but never raises: what the disk does not take stays in memory, bounded, and goes there as
    soon as the disk takes it again. Opened when it is first used. Any thread.

    epoch: counts how often numbers may have become lower than those before: what was in memory went to the
    disk, where it has others, or the disk takes over from a memory that is empty.
    """

    def __init__(self, path: Path, most_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self.epoch = 0
        self._most_bytes = most_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._disk: Spool | None = None
        self._memory: list[Item] = []
        self._memory_bytes = 0
        self._next = MEMORY_NUMBERS
        self._gone: set[int] = set()
        self._again_at: float | None = None
        self._dropped = 0
        self._left = (0, 0)
        """Count and bytes of what was on the disk when it was closed."""
        self._said = ""
        self._since = clock()
        self._ages: list[tuple[int, float]] = []

    def put(self, items: Sequence[Item]) -> list[Item]:
        """With their numbers. On the disk itself when this returns, unless the disk refuses."""
        if not items:
            return []
        with self._lock:
            disk = self._opened()
            if disk is not None:
                try:
                    put = disk.put(items)
                except SpoolUnavailable as error:
                    self._refused(error)
                else:
                    self._note_age(put[0].number)
                    return put
            return self._put_in_memory(items)

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]:
        """Those with higher numbers, in their order."""
        with self._lock:
            disk, found = self._opened() or self._disk, list[Item]()
            if disk is not None and after < MEMORY_NUMBERS:
                try:
                    found = disk.waiting(after, limit + len(self._gone))
                except SpoolUnavailable as error:
                    self._refused(error)
            found = [item for item in found if item.number not in self._gone][:limit]
            rest = [item for item in self._memory if item.number > after]
            return [*found, *rest[: limit - len(found)]]

    def done(self, numbers: Sequence[int]) -> None:
        """They have arrived."""
        with self._lock:
            in_memory = {number for number in numbers if number >= MEMORY_NUMBERS}
            if in_memory and self._memory:
                self._leave_out(in_memory)
                self.epoch += not self._memory
            self._gone.update(number for number in numbers if number < MEMORY_NUMBERS)
            disk = self._opened()
            if disk is not None and self._gone:
                self._forget(disk)

    # These three wait for nobody: whoever asks once a second must not wait for a disk.

    @property
    def count(self) -> int:
        disk = self._disk
        on_disk = self._left[0] if disk is None else disk.count - len(self._gone)
        return max(0, on_disk) + len(self._memory)

    @property
    def bytes_waiting(self) -> int:
        disk = self._disk
        return (self._left[1] if disk is None else disk.bytes_waiting) + self._memory_bytes

    @property
    def dropped(self) -> int:
        """How many gave way since the start."""
        disk = self._disk
        return self._dropped + (0 if disk is None else disk.dropped)

    @property
    def oldest_s(self) -> float:
        """For how long what comes first has waited; what an earlier run left: since it was first seen."""
        first = self.waiting(limit=1)
        if not first:
            return 0.0
        with self._lock:
            since = [at for number, at in self._ages if number <= first[0].number] or [self._since]
            return self._clock() - since[-1]

    def close(self) -> None:
        """Give the file back; whoever uses it afterwards opens it again."""
        with self._lock:
            self._close()

    # ---- inside, under the lock

    def _opened(self) -> Spool | None:
        """The disk's, unless it refused a moment ago. What waits in memory goes there first."""
        now = self._clock()
        if self._again_at is not None and now < self._again_at:
            return self._disk if not self._memory else None
        try:
            if self._disk is None:
                self._disk = Spool(self.path, self._most_bytes)
            if self._memory:
                self._disk.put(self._memory)
                self.epoch += 1
                self._memory, self._memory_bytes = [], 0
        except SpoolUnavailable as error:
            self._refused(error)
            return None
        if self._said:
            log.warning("%s: the disk keeps what waits again", self.path)
        self._again_at, self._said = None, ""
        return self._disk

    def _refused(self, error: SpoolUnavailable) -> None:
        self._again_at = self._clock() + AGAIN_S
        if str(error) != self._said:
            self._said = str(error)
            log.error("%s; until then what waits is kept in memory and is lost with the process", error)

    def _put_in_memory(self, items: Sequence[Item]) -> list[Item]:
        numbered = []
        for item in items:
            numbered.append(replace(item, number=self._next))
            self._next += 1
        self._note_age(numbered[0].number)
        self._memory += numbered
        self._memory_bytes += sum(item.bytes for item in numbered)
        excess = self._memory_bytes - min(MEMORY_BYTES, self._most_bytes)
        if excess > 0:
            gone = set[int]()
            for item in sorted(self._memory, key=lambda one: (one.weight, one.number)):
                if excess <= 0:
                    break
                gone.add(item.number)
                excess -= item.bytes
            self._leave_out(gone)
            self._dropped += len(gone)
        return numbered

    def _note_age(self, number: int) -> None:
        now = self._clock()
        ages = self._ages
        if ages and (number < ages[-1][0]):
            ages.clear()  # from memory back to the disk
        if not ages or now - ages[-1][1] >= 1.0:
            ages.append((number, now))
        if len(ages) > MOST_AGES:
            del ages[1::2]  # the longer ago, the coarser

    def _leave_out(self, numbers: set[int]) -> None:
        self._memory = [item for item in self._memory if item.number not in numbers]
        self._memory_bytes = sum(item.bytes for item in self._memory)

    def _forget(self, disk: Spool) -> None:
        try:
            disk.done(sorted(self._gone))
        except SpoolUnavailable as error:
            self._refused(error)
        else:
            self._gone.clear()

    def _close(self) -> None:
        if self._disk is not None:
            self._left = (self._disk.count, self._disk.bytes_waiting)
            self._dropped += self._disk.dropped
            self._disk.close()
            self._disk = None
