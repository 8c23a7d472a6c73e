"""When a disk is full if it goes on like this. Pure.

Recordings go through forms: written as WAV, an hour later turned into something half the size. The disk fills
like a saw, and a look at one tooth would cry wolf every hour. So the slope of a day counts, and that of the
last minutes only where the disk would not live to see the end of the hour.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

_APART_S: Final = 60.0
_MOST_POINTS: Final = 1441
"""One a minute: a day, and the minute that it ends with."""
_LEAST_S: Final = 600.0
"""What was seen for less says nothing."""
_SOON_S: Final = 3600.0
_IN_SIGHT_S: Final = 90 * 86_400.0


class _Point(NamedTuple):
    at_s: float
    free: float


class DiskForecast:
    """`look` as often as wanted. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._points: deque[_Point] = deque(maxlen=_MOST_POINTS)
        self._newest: _Point | None = None

    def look(self, free_bytes: float, now: float) -> None:
        """free_bytes: until it is full."""
        self._newest = _Point(now, free_bytes)
        if not self._points or now - self._points[-1].at_s >= _APART_S:
            self._points.append(self._newest)

    def forget(self) -> None:
        """It is another disk now."""
        self._points.clear()
        self._newest = None

    @property
    def full_s(self) -> float | None:
        """Seconds until it is full; None: not in sight, or not seen for long enough."""
        newest = self._newest
        if newest is None:
            return None
        soon = self._at_the_rate_of(_LEAST_S)
        if soon is not None and soon <= _SOON_S:
            return soon
        later = self._at_the_rate_of(_MOST_POINTS * _APART_S)
        return later if later is not None and later <= _IN_SIGHT_S else None

    def _at_the_rate_of(self, last_s: float) -> float | None:
        """At the pace of the last so many seconds; None: it does not fill."""
        newest = self._newest
        assert newest is not None
        first = next((one for one in self._points if newest.at_s - one.at_s <= last_s + _APART_S), newest)
        passed_s = newest.at_s - first.at_s
        taken = first.free - newest.free
        if passed_s < _LEAST_S:
            return None
        if newest.free <= 0:
            return 0.0
        return None if taken <= 0 else newest.free * passed_s / taken
