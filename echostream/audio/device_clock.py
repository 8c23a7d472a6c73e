"""When a device's microphone took up each sample, from nothing but how many samples had come by when.

Two facts carry everything. A sample cannot arrive before it was taken up; and a device cannot take up audio
faster than its clock runs. So the times of the samples lie on a line below all arrivals, touched whenever one
came without delay: bursts, and stalls that catch up, only lie above it. The line moves up for good when, and
only when, the device lost audio. It is looked for in the least lateness of every half second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, inf, log
from statistics import median
from typing import Final, NamedTuple

LEAST_MISSING_S: Final = 0.15
"""Less than this may be the path that became slower; it is remembered, and told when it adds up."""
MOST_PPM: Final = 20_000.0
"""Further off is not a clock but another sample rate."""
START_ERROR_MS: Final = 3000.0
"""Audio that a device may have kept before it connected: how far off a time may be until the burst is in."""
PATH_ERROR_MS: Final = 10.0
"""The least time from microphone to us, which no count of samples can show: a block of the device, a hop of Wi-Fi."""
_LOOK_S: Final = 0.5
_TOUCH_S: Final = 0.03
_SETTLES_S: Final = 2.0
_LEAST_LOOKS: Final = 10
_MOST_LOOKS: Final = 240
_CHANCE: Final = 1e-7
_FORGET: Final = 1 / 64
_NEAREST_POINTS_S: Final = 5.0
_FURTHEST_POINTS_S: Final = 60.0
_FIT_POINTS: Final = 48
_MOST_POINTS: Final = 72
_FIT_AFTER_S: Final = 20.0
_KNOWN_PPM: Final = 50.0


@dataclass(frozen=True, slots=True)
class Missing:
    """Audio that the device lost. at: position of the first missing sample, everything missing before counted in;
    samples: how many."""

    at: int
    samples: int


class _Look(NamedTuple):
    """The arrival of least lateness in half a second, and the longest wait of that time."""

    total: int
    now: float
    late_s: float
    wait_s: float
    before_wait: int


class _Point(NamedTuple):
    """A touch of the line. position: as told; true: with every shift counted, told or not (samples)."""

    position: float
    true: float
    now: float


class DeviceClock:
    """The clock of one connection of one device, for as long as it lasts."""

    def __init__(self, rate_hz: int) -> None:
        """rate_hz: samples per second that the device says it sends."""
        self._rate_hz = rate_hz
        self._period_s = 1.0 / rate_hz
        self._origin_s = 0.0
        self._begun = False
        self._floor_s = 0.0
        self._last_total = 0
        self._last_now = 0.0
        self._look_ends = -inf
        self._least_s = inf
        self._least_total = 0
        self._least_now = 0.0
        self._longest_s = 0.0
        self._before_wait = 0
        self._touches: deque[_Look] = deque()
        self._doubt: list[_Look] = []
        self._touch_share = 0.5
        self._looks_needed = _LEAST_LOOKS * 2
        self._points: list[_Point] = []
        self._best: _Look | None = None
        self._ppm_error = inf
        self._first_now = self._fell_at = 0.0
        self._settled = False
        self._untold = 0.0
        self.missing = 0
        """Samples missing so far: the position of what comes next is what was received plus this."""

    def arrived(self, total_samples: int, now: float) -> list[Missing]:
        """`total_samples` of the stream have come by `now` (monotonic seconds): what turns out to be missing.

        Missing audio is known only some seconds after it should have come, when it is sure that it does not. Of
        datagrams, count those that the sequence numbers show as lost in: they are no news to be found here.
        """
        if not self._begun:
            self._begin(total_samples, now)
        wait_s = now - self._last_now
        if wait_s > self._longest_s:
            self._longest_s = wait_s
            self._before_wait = self._last_total
        self._last_total = total_samples
        self._last_now = now
        late_s = now - total_samples * self._period_s - self._origin_s
        if late_s < self._least_s:
            self._least_s = late_s
            self._least_total = total_samples
            self._least_now = now
        if now < self._look_ends:
            return []
        return self._look(now)

    @property
    def ppm(self) -> float | None:
        """How much faster the device's clock runs than ours; None until it is known within 50 ppm."""
        return self._ppm if self._ppm_error < _KNOWN_PPM else None

    @property
    def settled(self) -> bool:
        """Whether the burst after connecting is over, so that times are worth something."""
        return self._settled

    @property
    def undecided_from(self) -> int | None:
        """Position from which on audio may turn out to be missing; None: all that came is in its place."""
        return self._doubt[0].total + self.missing if self._doubt else None

    @property
    def error_ms(self) -> float:
        """How far the newest times may be off."""
        if not self._settled:
            return START_ERROR_MS
        lowest = sorted(one.late_s for one in self._touches)[:4]
        error_s = lowest[-1] - lowest[0]
        if self._doubt:
            error_s += min(one.late_s for one in self._doubt[1:] or self._doubt) - self._floor_s
        return PATH_ERROR_MS + 1000.0 * error_s

    def time_of(self, position: float) -> float:
        """When the microphone took up the sample at `position`, which may lie ahead (monotonic seconds)."""
        if not self._begun:
            raise ValueError("nothing has arrived yet")
        points = self._points
        if len(points) < 2 or position >= points[-1].position:
            return (position - self.missing) * self._period_s + self._origin_s + self._floor_s
        after = max(1, bisect_right(points, position, key=lambda point: point.position))
        one, two = points[after - 1], points[after]
        if position < one.position:
            return one.now + (position - one.position) * self._period_s
        share = (position - one.position) / (two.position - one.position)
        return one.now + share * (two.now - one.now)

    @property
    def _ppm(self) -> float:
        return 1e6 * (1.0 / (self._period_s * self._rate_hz) - 1.0)

    def _begin(self, total: int, now: float) -> None:
        self._begun = True
        self._origin_s = now - total * self._period_s
        self._last_now = self._first_now = self._fell_at = now
        self._look_ends = now + _LOOK_S

    def _look(self, now: float) -> list[Missing]:
        """The end of half a second: is the line touched, lower than thought, or out of reach?"""
        look = _Look(self._least_total, self._least_now, self._least_s, self._longest_s, self._before_wait)
        self._least_s = inf
        self._longest_s = 0.0
        self._look_ends = now + _LOOK_S
        if not self._touches or look.late_s <= self._floor_s + _TOUCH_S:
            self._touch(look)
            return []
        self._touch_share -= self._touch_share * _FORGET
        if not self._doubt:
            self._doubt.append(self._touches[-1])
        self._doubt.append(look)
        if len(self._doubt) > 2 * _MOST_LOOKS:
            self._thin_doubt()
        return self._decide()

    def _touch(self, look: _Look) -> None:
        """The newest audio is on the line: whatever was late has caught up."""
        fall_s = self._floor_s - look.late_s
        if self._touches and fall_s > _TOUCH_S:
            look = self._fall(look, fall_s)
        self._doubt.clear()
        self._touch_share += (1.0 - self._touch_share) * _FORGET
        needed = ceil(log(_CHANCE) / log(1.0 - min(0.9, self._touch_share)))
        self._looks_needed = min(_MOST_LOOKS, max(_LEAST_LOOKS, needed))
        touches = self._touches
        touches.append(look)
        while len(touches) > max(64, self._looks_needed):
            touches.popleft()
        self._floor_s = min(touches, key=_late).late_s
        if not self._settled:
            self._settled = look.now - max(self._first_now, self._fell_at) >= _SETTLES_S and len(touches) > 2
        self._remember(look)

    def _fall(self, look: _Look, fall_s: float) -> _Look:
        """Audio came sooner than was thought possible: all before was late, or what was missing was not."""
        undone = min(fall_s, max(0.0, (self._untold + self.missing) / self._rate_hz))
        self._untold -= undone * self._rate_hz
        self._origin_s -= undone
        later_s = fall_s - undone
        self._points = [point._replace(now=point.now - later_s) for point in self._points]
        self._touches.clear()
        self._best = None
        self._fell_at = look.now
        return look._replace(late_s=look.late_s + undone)

    def _decide(self) -> list[Missing]:
        """Whether the line has moved for good: lateness neither falls nor wavers any more."""
        doubt = self._doubt
        size = self._looks_needed
        while size < len(doubt):
            if doubt[-1].now - doubt[-size].now >= _SETTLES_S * 2 and _level(doubt[-size:]):
                return self._move(min(doubt[-size:], key=_late).late_s)
            size *= 2
        return []

    def _move(self, level_s: float) -> list[Missing]:
        """The line lies at `level_s` from now on: place each step of it, and tell what is missing."""
        doubt = self._doubt
        reached = list(accumulate((look.late_s for look in reversed(doubt)), min))[::-1]
        steps: list[tuple[int, float]] = []
        level = self._floor_s
        for index in range(1, len(doubt)):
            to = min(reached[index], level_s)
            if to > level + _TOUCH_S or (index == len(doubt) - 1 and not steps):
                steps.append((self._place(index, to), to - level))
                level = to
        told: list[Missing] = []
        for total, step_s in steps:
            self._untold += step_s * self._rate_hz
            if self._untold >= LEAST_MISSING_S * self._rate_hz:
                samples = round(self._untold)
                told.append(Missing(total + self.missing, samples))
                self.missing += samples
                self._untold -= samples
        self._origin_s += level - self._floor_s
        moved = level - self._floor_s
        kept = [look._replace(late_s=look.late_s - moved) for look in doubt[-self._looks_needed :]]
        self._touches.clear()
        self._touches.extend(look for look in kept if look.late_s <= self._floor_s + _TOUCH_S)
        self._floor_s = min(self._touches, key=_late).late_s
        self._best = None
        doubt.clear()
        return told

    def _place(self, index: int, level_s: float) -> int:
        """How much had come before the step that look `index` is the first to show: the longest wait there."""
        touched = self._doubt[index - 1]
        longest_s, place = 0.0, touched.total
        for look in self._doubt[index - 1 :]:
            if look.wait_s > longest_s and look.before_wait >= touched.total:
                longest_s, place = look.wait_s, look.before_wait
            if look is not touched and look.late_s <= level_s + _TOUCH_S:
                break
        return place

    def _thin_doubt(self) -> None:
        """Of two looks one, but for the newest: a line that is lost for minutes needs no finer grain."""
        doubt, keep = self._doubt, self._looks_needed + 2
        old, new = doubt[1:-keep], doubt[-keep:]
        if len(old) % 2:
            new.insert(0, old.pop())
        self._doubt = [
            doubt[0],
            *(_both(one, two) for one, two in zip(old[::2], old[1::2], strict=True)),
            *new,
        ]

    def _remember(self, look: _Look) -> None:
        """Keep a touch now and then: the slope of the line, and the times of what is long past."""
        if not self._settled:
            return
        best = self._best
        if best is None or look.late_s <= best.late_s:
            self._best = best = look
        points = self._points
        if points:
            span_s = look.now - points[0].now
            if look.now - points[-1].now < min(_FURTHEST_POINTS_S, max(_NEAREST_POINTS_S, span_s / 32)):
                return
        position = best.total + self.missing
        points.append(_Point(position, position + self._untold, best.now))
        self._best = None
        if len(points) > _MOST_POINTS:
            self._points = points = points[: _MOST_POINTS // 2 : 2] + points[_MOST_POINTS // 2 :]
        near = points[-_FIT_POINTS:]
        if near[-1].now - near[0].now >= _FIT_AFTER_S:
            self._fit(near)

    def _fit(self, points: Sequence[_Point]) -> None:
        """Bring the slope as near to the line under `points` as their scatter asks for, no nearer."""
        slope, error = _line_below(points, self._rate_hz)
        ratio = self._period_s * self._rate_hz
        ratio = min(max(ratio, slope - error), slope + error)
        ratio = min(max(ratio, 1.0 - 1e-6 * MOST_PPM), 1.0 + 1e-6 * MOST_PPM)
        self._ppm_error = 1e6 * error
        period_s = ratio / self._rate_hz
        if period_s == self._period_s:
            return
        self._origin_s += self._last_total * (self._period_s - period_s)
        self._period_s = period_s
        origin_s = self._origin_s
        rebased = [
            look._replace(late_s=look.now - look.total * period_s - origin_s) for look in self._touches
        ]
        self._touches.clear()
        self._touches.extend(rebased)
        self._floor_s = min(rebased, key=_late).late_s


def _late(look: _Look) -> float:
    return look.late_s


def _both(one: _Look, two: _Look) -> _Look:
    """Two looks as one."""
    least = one if one.late_s < two.late_s else two
    wait = one if one.wait_s > two.wait_s else two
    return least._replace(wait_s=wait.wait_s, before_wait=wait.before_wait)


def _level(looks: Sequence[_Look]) -> bool:
    """Whether the least lateness of each third is the same."""
    third = len(looks) // 3
    least = [
        min(looks[:third], key=_late).late_s,
        min(looks[third:-third], key=_late).late_s,
        min(looks[-third:], key=_late).late_s,
    ]
    return max(least) - min(least) <= _TOUCH_S


def _line_below(points: Sequence[_Point], rate_hz: int) -> tuple[float, float]:
    """Slope (our seconds per device second) of the line below all points that is nearest to them, and its error.

    It is the edge of their lower convex hull at their mean: lateness only ever lies above the line (S. B. Moon,
    P. Skelly, D. Towsley: Estimation and removal of clock skew from network delay measurements, 1999).
    """
    first = points[0]
    sent = [(point.true - first.true) / rate_hz for point in points]
    late = [point.now - first.now - at for point, at in zip(points, sent, strict=True)]
    hull: list[tuple[float, float]] = []
    for x, y in zip(sent, late, strict=True):
        while len(hull) > 1 and (hull[-1][1] - hull[-2][1]) * (x - hull[-1][0]) >= (y - hull[-1][1]) * (
            hull[-1][0] - hull[-2][0]
        ):
            hull.pop()
        hull.append((x, y))
    middle = sum(sent) / len(sent)
    (x1, y1), (x2, y2) = next((pair for pair in pairwise(hull) if pair[1][0] >= middle), (hull[-2], hull[-1]))
    slope = (y2 - y1) / (x2 - x1)
    scatter_s = median(y - y1 - slope * (x - x1) for x, y in zip(sent, late, strict=True))
    return 1.0 + slope, 2.0 * (scatter_s + 0.001) / (sent[-1] - sent[0])
