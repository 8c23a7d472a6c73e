"""When a stream's samples are there to be read: the least that had arrived at any time lately.

A stream that arrives in blocks is a stairway along a straight line; whoever reads along the line through its
lowest corners never waits for a block, and is no later than that asks for.
"""

from __future__ import annotations

from typing import Final

_WINDOW_S: Final = 2.0


class ArrivalLine:
    """`look` at a steady pace; `position` is then what may be read at that time.

    It takes the lowest corner of the last two to four seconds: a delay that grows is followed at once, one
    that shrinks when it has stayed small for that long.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._origin_s: float | None = None
        self._turn_at_s = 0.0
        self._older = 0.0
        self._newer = 0.0

    def ahead(self, end: float, now: float) -> float:
        """Samples by which `end` is above the line now."""
        return end - self.position(now)

    @property
    def known(self) -> bool:
        return self._origin_s is not None

    def begin(self, end: float, now: float) -> None:
        """The stream begins, or goes on after a gap: `end` had arrived by `now`."""
        self._origin_s = now
        self._older = self._newer = end
        self._turn_at_s = now + _WINDOW_S

    def look(self, end: float, now: float) -> None:
        """All before position `end` has arrived."""
        if self._origin_s is None:
            return
        ahead = end - (now - self._origin_s) * self._rate_hz
        if now >= self._turn_at_s:
            self._older, self._newer = self._newer, ahead
            self._turn_at_s = now + _WINDOW_S
        elif ahead < self._newer:
            self._newer = ahead

    def position(self, now: float) -> float:
        """What has arrived by `now` for certain."""
        assert self._origin_s is not None
        return min(self._older, self._newer) + (now - self._origin_s) * self._rate_hz
