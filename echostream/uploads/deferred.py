"""Who waits for another attempt, so that one that always fails does not stand in the way of others. Pure."""

from __future__ import annotations

import math
from typing import Final

BOUND: Final = 500
"""Of each kind. When more fail than that, it is not them."""


class Deferred:
    """Rows by number, until when (monotonic seconds)."""

    def __init__(self) -> None:
        self._alone: dict[int, float] = {}
        self._failed: dict[int, float] = {}

    def add(self, number: int, until_s: float, alone: bool) -> None:
        """alone: something is wrong with this one. Else it may be the server, and it is tried before that
        where no other is there."""
        of = self._alone if alone else self._failed
        if len(of) < BOUND:
            of[number] = until_s

    def at(self, now: float) -> tuple[set[int], set[int]]:
        """Those with which something is wrong, and those that only failed."""
        self._alone = {number: until_s for number, until_s in self._alone.items() if until_s > now}
        self._failed = {number: until_s for number, until_s in self._failed.items() if until_s > now}
        return set(self._alone), set(self._failed)

    def wait_s(self, now: float) -> float:
        """Until the next of them may be tried; infinite where there is none."""
        return max(0.0, min([*self._alone.values(), *self._failed.values()], default=math.inf) - now)
