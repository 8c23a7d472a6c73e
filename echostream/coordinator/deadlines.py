"""Named points in time that the coordinator's thread wakes up for."""

from __future__ import annotations

import heapq
from collections.abc import Hashable


class Deadlines:
    """One pending time per key; setting a key again moves it. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._at: dict[Hashable, float] = {}
        self._heap: list[tuple[float, int, Hashable]] = []
        self._order = 0

    def set(self, key: Hashable, at_s: float) -> None:
        """Wake for `key` at `at_s`."""
        self._at[key] = at_s
        self._order += 1
        heapq.heappush(self._heap, (at_s, self._order, key))
        if len(self._heap) > 64 + 4 * len(self._at):  # moved keys leave stale entries behind: sweep them out
            self._heap = [(at, n, k) for at, n, k in self._heap if self._at.get(k) == at]
            heapq.heapify(self._heap)

    def cancel(self, key: Hashable) -> None:
        """Forget `key`; nothing happens when it was not set."""
        self._at.pop(key, None)

    def next_at(self) -> float | None:
        """The earliest pending time, None when there is none."""
        while self._heap:
            at, _, key = self._heap[0]
            if self._at.get(key) == at:
                return at
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[Hashable]:
        """The keys whose time has come, in order of time; they are forgotten."""
        keys: list[Hashable] = []
        while (at := self.next_at()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._at[key]
            keys.append(key)
        return keys
