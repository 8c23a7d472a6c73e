"""The straight line of a clock beside ours: its slope, and the times of what is long past, for weeks."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from math import inf
from statistics import median
from typing import Final, NamedTuple

MOST_PPM: Final = 20_000.0
"""Further off is not a clock but another sample rate."""
_NEAREST_S: Final = 5.0
_FURTHEST_S: Final = 60.0
_FIT_POINTS: Final = 48
"""At their furthest these are 48 minutes: long enough for 2 ppm, short enough to follow the weather."""
_FIT_AFTER_S: Final = 20.0
_MOST_POINTS: Final = 72
_CLOSE_PPM: Final = 100.0
_TO_MIDDLE: Final = 0.1
"""Of the way to the middle of what is likely: that is better than its edge once the error is small."""


class Point(NamedTuple):
    """A sample that arrived with the least delay. position: as told to others; true: with each known shift of
    the line counted in, told or not (both in samples). now: monotonic seconds."""

    position: float
    true: float
    now: float


class ClockLine:
    """Touches of the line, denser the newer they are, and the slope that they ask for."""

    def __init__(self, rate_hz: int, precision_s: float) -> None:
        """rate_hz: samples per second, by the name of it. precision_s: how far a point may be off at best."""
        self._rate_hz = rate_hz
        self._precision_s = precision_s
        self._points: list[Point] = []
        self._asked_at = inf
        self.period_s = 1.0 / rate_hz
        """Our seconds from one sample to the next."""
        self.ppm_error = inf
        """How far `ppm` may be off."""

    @property
    def ppm(self) -> float:
        """How much faster that clock runs than ours."""
        return 1e6 * (1.0 / (self.period_s * self._rate_hz) - 1.0)

    def wants(self, now: float) -> bool:
        """Whether it is time for another point."""
        points = self._points
        if not points:
            self._asked_at = min(now, self._asked_at)
            return now - self._asked_at >= _NEAREST_S
        apart_s = min(_FURTHEST_S, max(_NEAREST_S, (now - points[0].now) / 32.0))
        return now - points[-1].now >= apart_s

    def add(self, point: Point) -> bool:
        """The newest point; true: `period_s` is another one now."""
        points = self._points
        points.append(point)
        if len(points) > _MOST_POINTS:
            half = _MOST_POINTS // 2
            self._points = points = points[:half:2] + points[half:]
        near = points[-_FIT_POINTS:]
        if near[-1].now - near[0].now < _FIT_AFTER_S:
            return False
        return self._fit(near)

    def lower(self, by_s: float, since: float) -> None:
        """The points from `since` on came too late by `by_s`: what they had in common was delay."""
        self._points = [
            point._replace(now=point.now - by_s) if point.now >= since else point for point in self._points
        ]

    def past(self, position: float) -> float | None:
        """When the sample at `position` was taken up; None: the line has no point beyond it."""
        points = self._points
        after = bisect_right(points, position, key=_position)
        if after == len(points):
            return None
        if not after:
            return points[0].now + (position - points[0].position) * self.period_s
        one, two = points[after - 1], points[after]
        share = (position - one.position) / (two.position - one.position)
        return one.now + share * (two.now - one.now)

    def _fit(self, points: Sequence[Point]) -> bool:
        """Bring the slope as near to the line below the points as their scatter asks for, and no nearer."""
        slope, scatter_s = _line_below(points, self._rate_hz)
        error = 2.0 * (scatter_s + self._precision_s) / (points[-1].now - points[0].now)
        before = self.period_s
        ratio = before * self._rate_hz
        ratio = min(max(ratio, slope - error), slope + error)
        if 1e6 * error < _CLOSE_PPM:
            ratio += _TO_MIDDLE * (slope - ratio)
        ratio = min(max(ratio, 1.0 - 1e-6 * MOST_PPM), 1.0 + 1e-6 * MOST_PPM)
        self.period_s = ratio / self._rate_hz
        self.ppm_error = 1e6 * error
        return self.period_s != before


def _position(point: Point) -> float:
    return point.position


def _line_below(points: Sequence[Point], rate_hz: int) -> tuple[float, float]:
    """Slope (our seconds in one of theirs) of the nearest line below all points, and their scatter (s).

    It is the edge of their lower convex hull at their mean, since delay only ever lifts a point off the line
    (Moon, Skelly, Towsley: Estimation and Removal of Clock Skew from Network Delay Measurements, 1999).
    """
    first = points[0]
    theirs = [(point.true - first.true) / rate_hz for point in points]
    late = [point.now - first.now - at for point, at in zip(points, theirs, strict=True)]
    hull: list[tuple[float, float]] = []
    for x, y in zip(theirs, late, strict=True):
        while len(hull) > 1 and _turns_down(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((x, y))
    middle = sum(theirs) / len(theirs)
    (x1, y1), (x2, y2) = next(edge for edge in pairwise(hull) if edge[1][0] >= middle)
    slope = (y2 - y1) / (x2 - x1)
    scatter_s = median(y - y1 - slope * (x - x1) for x, y in zip(theirs, late, strict=True))
    return 1.0 + slope, scatter_s


def _turns_down(one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]) -> bool:
    """Whether `two` lies on or above the line from `one` to `three`."""
    return (two[1] - one[1]) * (three[0] - two[0]) >= (three[1] - two[1]) * (two[0] - one[0])
