"""How fast a card's clock runs beside ours, from when its frames come. Pure."""

from __future__ import annotations

from typing import Final

from echostream.audio.clock_line import ClockLine, Point

_PRECISION_S: Final = 0.02
"""A frame is counted in one moment and timed in the next; a thread that waits its turn is later."""
_LOST_S: Final = 1.0
"""A card that gave nothing for so long was away: it may be another one."""
_OFF_S: Final = 0.5
"""What lies so far beside the line is a hole in the frames, and no clock."""


class CardClock:
    """Looked at about once a second. Times: monotonic seconds."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._line = ClockLine(rate_hz, _PRECISION_S)
        self._last: Point | None = None
        self._best: Point | None = None
        self._lost = 0

    @property
    def ppm(self) -> float:
        """How much faster than ours; 0 while nothing speaks against that."""
        return self._line.ppm

    @property
    def ppm_error(self) -> float:
        """How far `ppm` may be off; inf in the first seconds."""
        return self._line.ppm_error

    def look(self, position: int, at_s: float, lost: int = 0) -> None:
        """position: samples that the card has given so far; at_s: when the last one came. lost: frames that
        nobody read in time: nobody knows exactly how long they were."""
        last = self._last
        if lost != self._lost:
            self._lost = lost
            self._begin_anew()
        elif last is not None:
            passed_s, moved_s = at_s - last.now, (position - last.position) / self._rate_hz
            if moved_s < 0 or passed_s > _LOST_S + moved_s or abs(moved_s - passed_s) > _OFF_S:
                self._begin_anew()
        point = Point(position, position, at_s)
        if self._last is None or position > self._last.position:
            self._last = point
            self._best = point if self._best is None else min(self._best, point, key=self._late)
        if self._best is not None and self._line.wants(at_s):
            self._line.add(self._best)
            self._best = None

    def _late(self, point: Point) -> float:
        return point.now - point.true * self._line.period_s

    def _begin_anew(self) -> None:
        self._line = ClockLine(self._rate_hz, _PRECISION_S)
        self._last = self._best = None
