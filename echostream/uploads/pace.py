"""How fast, and when: bandwidth, the time of day, and the wait after what went wrong. Pure: `now` is told."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import time
from typing import Final

BURST_S: Final = 0.25
"""What may go ahead of the pace, at any moment: a bucket of tokens that holds so much."""


class Pace:
    """Keeps to so many bits a second. One thread."""

    def __init__(self, kbit_s: float | None) -> None:
        """None: as fast as it goes."""
        self._bytes_s = None if kbit_s is None else kbit_s * 125.0
        self._free_at_s = 0.0

    @property
    def at_once(self) -> int | None:
        """Bytes to ask for at most, so that the next wait is short."""
        return None if self._bytes_s is None else max(1, int(self._bytes_s * BURST_S))

    def wait_s(self, size: int, now: float) -> float:
        """Seconds to wait before these bytes go. now: monotonic."""
        if self._bytes_s is None:
            return 0.0
        self._free_at_s = max(self._free_at_s, now) + size / self._bytes_s
        return max(0.0, self._free_at_s - BURST_S - now)


class Window:
    """The time of day in which is uploaded."""

    def __init__(self, text: str | None) -> None:
        """text: as in the configuration, "22:00-06:00"; None: any time."""
        self._bounds = None if text is None else tuple(time.fromisoformat(one) for one in text.split("-"))

    def is_open(self, local: time) -> bool:
        """local: on the gateway's clock. The same time twice is the whole day."""
        if self._bounds is None:
            return True
        begin, end = self._bounds
        if begin < end:
            return begin <= local < end
        return local >= begin or local < end


class Waits:
    """How long to wait after what went wrong: twice as long each time, each drawn from the upper half, so
    that gateways which lost the same server do not come back in step."""

    def __init__(self, rng: Callable[[], float] = random.random) -> None:
        """rng: floats in [0, 1)."""
        self._rng = rng
        self._cause: object = None
        self._times = 0

    def next_s(self, cause: object, first_s: float, most_s: float) -> float:
        """Another cause begins anew."""
        self._times = self._times + 1 if cause == self._cause else 0
        self._cause = cause
        return drawn(self._times, first_s, most_s, self._rng)

    def reset(self) -> None:
        """It works."""
        self._cause, self._times = None, 0


def drawn(times: int, first_s: float, most_s: float, rng: Callable[[], float] = random.random) -> float:
    """The wait after `times` earlier ones."""
    return float(min(most_s, first_s * 2.0 ** min(times, 30))) * (0.5 + 0.5 * rng())
