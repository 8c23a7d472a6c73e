"""When a device's microphone took up each sample, from nothing but how many samples had come by when.

Two facts carry everything. A sample cannot arrive before it was taken up; and a device cannot take up audio
faster than its clock runs. So the times of the samples lie on a line below all arrivals, touched whenever one
came without delay: bursts, and stalls that catch up, only lie above it. The line moves up for good when, and
only when, the device lost audio. It is looked for in the least lateness of every half second.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import ceil, exp, inf, log
from operator import itemgetter
from typing import Final, NamedTuple

from echostream.audio.clock_line import ClockLine, Point

LEAST_MISSING_S: Final = 0.15
"""Less may be a path that became slower. It is told when it adds up to this within minutes."""
START_ERROR_MS: Final = 3000.0
"""Audio that a device may have kept before it connected: times are that far off until the burst is in."""
PATH_ERROR_MS: Final = 10.0
"""The quickest way from microphone to us, which no count can show: a block of the device, a hop of Wi-Fi."""
READ_EVERY_S: Final = 0.04
"""How long audio may lie in the socket: 25 rounds a second."""
_LOOK_S: Final = 0.5
_TOUCH_S: Final = 0.03
_FALL_TOUCHES: Final = 1.5
_STEP_S: Final = 0.01
"""What a clock moves the line by from one touch to the next, beyond what arrivals are known by."""
_NEAR_S: Final = 0.5
_LOITERS: Final = 3.0
"""A shift must hold that many times longer than this path kept near the line, above it, and came back."""
_HELD_LOOKS: Final = 3
_HELD_AT_END: Final = 2
"""Looks for which a shift must have held when the stream ends. With one, catching up looks the same."""
_SETTLES_S: Final = 2.0
_LEAST_LOOKS: Final = 10
_MOST_LOOKS: Final = 240
_LEAST_LEVEL_S: Final = 4.0
"""A shift must hold for that long: no device waits longer in the middle of catching up."""
_CHANCE: Final = 1e-7
"""How likely a path that touches the line as often as it did may stay off it until that counts as a shift."""
_SHARE_OF_ONE: Final = 1 / 64
_FLOOR_S: Final = 30.0
_SMALL_ASKS: Final = 4
"""What is too small to tell asks for that many times as much evidence."""
_LOST_S: Final = 120.0
_FADES_S: Final = 600.0
_KNOWN_PPM: Final = 50.0
_UNKNOWN_PPM: Final = 500.0


@dataclass(frozen=True, slots=True)
class Missing:
    """Audio that the device lost.

    at: position of the first missing sample, in the stream's own time: all that was told to be missing before
    it is counted in. samples: how many.
    """

    at: int
    samples: int


class _Look(NamedTuple):
    """Half a second: its arrival of least lateness, its longest wait, and how much had come before that."""

    total: int
    now: float
    late_s: float
    wait_s: float
    before_wait: int


class DeviceClock:
    """The clock of one connection of one device, for as long as it lasts."""

    def __init__(self, rate_hz: int, read_every_s: float = READ_EVERY_S) -> None:
        """rate_hz: samples per second that the device says it sends. read_every_s: how long what arrives may
        lie unread; arrivals are known no better."""
        self._rate_hz = rate_hz
        self._read_every_s = read_every_s
        self._line = ClockLine(rate_hz, 0.001 + read_every_s / 2)
        self._touch_s = max(_TOUCH_S, read_every_s + _STEP_S)
        self._period_s = self._line.period_s
        self._origin_s = self._floor_s = 0.0
        self._begun_at: float | None = None
        self._fell_at = 0.0
        self._last_total, self._last_now = 0, 0.0
        self._look_ends = -inf
        self._least_s, self._least_total, self._least_now = inf, 0, 0.0
        self._soonest_s = 0.0
        self._longest_s, self._before_wait = 0.0, 0
        self._touches: deque[_Look] = deque()
        self._doubt: list[_Look] = []
        self._best: _Look | None = None
        self._touch_share, self._share_of_one = 0.5, 0.2
        self._loitered = 0.0
        self._looks_needed = 2 * _LEAST_LOOKS
        self._shift_s = 0.0
        self._untold_s = self._untold_at = 0.0
        self.missing = 0
        """Samples missing so far: the position of what comes next is what was received plus this."""
        self.settled = False
        """Whether the burst after connecting is over, so that times are worth something."""

    def arrived(self, total_samples: int, now: float) -> list[Missing]:
        """`total_samples` of the stream have come by `now` (monotonic seconds): what turns out to be missing.

        That is told some seconds after it should have come, when it is sure that it does not. Of datagrams,
        count in those that the sequence numbers show as lost: nothing of them is to be found here.
        """
        if self._begun_at is None:
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
            if late_s < self._soonest_s:
                self._soonest_s = late_s
        if now < self._look_ends:
            return []
        return self._look(now)

    def finish(self) -> list[Missing]:
        """The stream is over: what is missing by all that can be known, told sooner than else.

        Without it a device that loses audio and goes soon afterwards would leave less audio than time.
        """
        doubt = self._doubt
        if len(doubt) <= _HELD_AT_END:
            return []
        newest = doubt[-_HELD_AT_END:]
        level_s = _least(newest)
        if max(look.late_s for look in newest) - level_s > self._touch_s:
            return []  # it was still catching up
        if level_s - self._floor_s < LEAST_MISSING_S:
            return []
        return self._move(self._rises(level_s))

    def time_of(self, position: float) -> float:
        """When the microphone took up the sample at `position`, which may lie ahead (monotonic seconds).

        position: in the stream's own time, everything that was told to be missing counted in.
        """
        if self._begun_at is None:
            raise ValueError("no time is known of a stream of which nothing has arrived")
        past = self._line.past(position)
        if past is not None:
            return past
        floor_s = self._floor_s if self.settled else min(self._floor_s, self._soonest_s)
        return (position - self.missing) * self._period_s + self._origin_s + floor_s

    @property
    def ppm(self) -> float | None:
        """How much faster the device's clock runs than ours; None until it is known within 50 ppm."""
        return self._line.ppm if self._line.ppm_error < _KNOWN_PPM else None

    @property
    def error_ms(self) -> float:
        """How far the newest times may be off."""
        if not self.settled:
            return START_ERROR_MS
        least = sorted(look.late_s for look in self._touches)[:4]
        error_s = least[-1] - least[0]
        error_s += 1e-6 * min(self._line.ppm_error, _UNKNOWN_PPM) * (self._last_now - self._touches[0].now)
        if self._doubt:
            error_s += min(look.late_s for look in self._doubt[1:]) - self._floor_s
        return PATH_ERROR_MS + 1000.0 * (self._read_every_s + error_s)

    @property
    def undecided_from(self) -> int | None:
        """Position from which on audio may turn out to be missing; None: all that came is in its place."""
        return self._doubt[0].total + self.missing if self._doubt else None

    def _begin(self, total: int, now: float) -> None:
        self._origin_s = now - total * self._period_s
        self._begun_at = self._last_now = self._fell_at = self._untold_at = now
        self._look_ends = now + _LOOK_S

    def _look(self, now: float) -> list[Missing]:
        """The end of half a second: is the line touched, or lower than thought, or out of reach?"""
        look = _Look(self._least_total, self._least_now, self._least_s, self._longest_s, self._before_wait)
        self._least_s = inf
        self._longest_s = 0.0
        self._look_ends = now + _LOOK_S
        touches = self._touches
        if not touches or look.late_s <= self._floor_s + self._touch_s:
            self._touch(look)
            return []
        doubt = self._doubt
        if not doubt:
            doubt.append(touches[-1])
        doubt.append(look)
        if len(doubt) > 2 * _MOST_LOOKS:
            self._thin()
        return self._decide()

    def _touch(self, look: _Look) -> None:
        """The newest audio is on the line: whatever was late has caught up."""
        touches = self._touches
        if touches and self._floor_s - look.late_s > _FALL_TOUCHES * self._touch_s:
            look = self._fall(look)
        self._expect()
        touches.append(look)
        while len(touches) > self._looks_needed and look.now - touches[0].now > _FLOOR_S:
            touches.popleft()
        self._floor_s = _least(touches)
        if self.settled:
            self._remember(look)
        elif self._begun_at is not None:
            self.settled = len(touches) > 2 and look.now - max(self._begun_at, self._fell_at) >= _SETTLES_S

    def _expect(self) -> None:
        """Learn from a touch how long this path stays off the line and yet comes back."""
        share, doubt = self._touch_share, self._doubt
        self._loitered *= 1.0 - _SHARE_OF_ONE
        if doubt:
            share *= exp(-self._share_of_one * (len(doubt) - 1))
            near_s = self._floor_s + _NEAR_S
            self._loitered = max(self._loitered, sum(look.late_s < near_s for look in doubt) - 1.0)
            doubt.clear()
        self._touch_share = share + (1.0 - share) * self._share_of_one
        self._share_of_one = max(_SHARE_OF_ONE, 0.9 * self._share_of_one)
        by_chance = log(_CHANCE) / log(1.0 - min(0.9, self._touch_share))
        needed = ceil(max(_LEAST_LOOKS, by_chance, _LOITERS * self._loitered))
        self._looks_needed = min(_MOST_LOOKS, needed)

    def _fall(self, look: _Look) -> _Look:
        """Audio came sooner than was thought possible: all before was late, or what was missing was not."""
        fall_s = self._floor_s - look.late_s
        undone_s = min(fall_s, max(0.0, self._untold(look.now)))
        told_s = self.missing / self._rate_hz + min(0.0, self._untold_s)
        if fall_s - undone_s >= LEAST_MISSING_S and told_s > 0.0:
            undone_s += min(fall_s - undone_s, told_s)
        self._untold_s -= undone_s
        self._shift_s -= undone_s
        self._origin_s -= undone_s
        later_s = fall_s - undone_s
        self._line.lower(later_s, -inf if later_s >= LEAST_MISSING_S else look.now - _FADES_S)
        self._touches.clear()
        self._best = None
        self._fell_at = look.now
        return look._replace(late_s=look.late_s + undone_s)

    def _untold(self, now: float) -> float:
        """Shifts that were too small to tell, in seconds; they fade, unless more was told than is missing."""
        if self._untold_s > -LEAST_MISSING_S:
            self._untold_s *= exp((self._untold_at - now) / _FADES_S)
        self._untold_at = now
        return self._untold_s

    def _decide(self) -> list[Missing]:
        """Whether the line has moved for good: lateness neither falls nor wavers any more."""
        doubt = self._doubt
        size = self._looks_needed
        if len(doubt) <= size:
            return []
        rises = self._rises()
        if max(rises) <= self._touch_s:
            return self._move(rises)
        while size < len(doubt):
            newest = doubt[-size:]
            if newest[-1].now - newest[0].now >= _LEAST_LEVEL_S and _is_level(newest, self._touch_s):
                least = _least(newest)
                if least - self._floor_s >= LEAST_MISSING_S or size >= _SMALL_ASKS * self._looks_needed:
                    return self._move(self._rises(least))
            size *= 2
        if doubt[-1].now - doubt[1].now > _LOST_S and not _falls(doubt[1:], self._touch_s):
            return self._move(self._rises(_least(doubt[-self._looks_needed :])))
        return []

    def _rises(self, level_s: float = inf) -> list[float]:
        """How far the line rises at each look of the doubt, when it ends at `level_s`."""
        reached = list(accumulate((look.late_s for look in reversed(self._doubt)), min, initial=level_s))
        reached.reverse()
        reached[0] = self._doubt[0].late_s
        return [0.0, *(two - one for one, two in pairwise(reached[:-1]))]

    def _move(self, rises: Sequence[float]) -> list[Missing]:
        """The line has risen: place each step, tell what is missing. Without a step, the clock is slow."""
        doubt = self._doubt
        steps = _steps(doubt, rises, self._touch_s)
        level_s = doubt[0].late_s + sum(rises)
        moved_s, begins = 0.0, 1
        told: list[Missing] = []
        if steps:
            moved_s = level_s - self._floor_s
            begins = steps[-1][0]
            rest_s = moved_s - sum(step_s for _, step_s in steps)
            greatest = max(steps, key=itemgetter(1))
            for step in steps:
                samples = self._tell(step[1] + rest_s * (step is greatest), doubt[-1].now)
                if samples:
                    at = self._place(step[0], doubt[0].late_s + sum(rises[: step[0] + 1]))
                    told.append(Missing(at + self.missing, samples))
                    self.missing += samples
        self._shift_s += moved_s
        self._origin_s += moved_s
        kept = (look._replace(late_s=look.late_s - moved_s) for look in doubt[begins:])
        self._touches = deque(look for look in kept if look.late_s <= level_s - moved_s + self._touch_s)
        self._floor_s = _least(self._touches)
        self._best = None
        doubt.clear()
        for look in self._touches:
            self._remember(look)
        return told

    def _tell(self, step_s: float, now: float) -> int:
        """How many samples to tell of for a step of the line; what is too small adds up."""
        untold_s = self._untold(now)
        if step_s < LEAST_MISSING_S or untold_s <= -LEAST_MISSING_S:
            step_s += untold_s
            if step_s < LEAST_MISSING_S:
                self._untold_s = step_s
                return 0
            self._untold_s = 0.0
        return round(step_s * self._rate_hz)

    def _place(self, index: int, level_s: float) -> int:
        """How much had come before the step that look `index` shows first: the longest wait about there."""
        touched = self._doubt[index - 1]
        longest_s, place = 0.0, touched.total
        touches = self._looks_needed // _LEAST_LOOKS
        for look in self._doubt[index - 1 :]:
            if look.wait_s > longest_s and look.before_wait >= touched.total:
                longest_s, place = look.wait_s, look.before_wait
            touches -= look is not touched and look.late_s <= level_s + self._touch_s
            if touches <= 0:
                break
        return place

    def _thin(self) -> None:
        """Of two looks one, but for the newest: a line that is lost for minutes needs no finer grain."""
        doubt, keep = self._doubt, self._looks_needed + 2
        old, new = doubt[1:-keep], doubt[-keep:]
        if len(old) % 2:
            new.insert(0, old.pop())
        pairs = zip(old[::2], old[1::2], strict=True)
        self._doubt = [doubt[0], *(_both(one, two) for one, two in pairs), *new]

    def _remember(self, look: _Look) -> None:
        """Give the line a touch now and then, and take its slope from it."""
        if self._best is None or look.late_s <= self._best.late_s:
            self._best = look
        if not self._line.wants(look.now):
            return
        best, self._best = self._best, None
        true = best.total + self._shift_s * self._rate_hz
        if not self._line.add(Point(best.total + self.missing, true, best.now)):
            return
        self._origin_s += self._last_total * (self._period_s - self._line.period_s)
        self._period_s = self._line.period_s
        late = (one.now - one.total * self._period_s - self._origin_s for one in self._touches)
        self._touches = deque(one._replace(late_s=s) for one, s in zip(self._touches, late, strict=True))
        self._floor_s = _least(self._touches)


def _least(looks: Sequence[_Look] | deque[_Look]) -> float:
    return min([look.late_s for look in looks])


def _both(one: _Look, two: _Look) -> _Look:
    """Two looks as one."""
    least = one if one.late_s < two.late_s else two
    wait = one if one.wait_s > two.wait_s else two
    return least._replace(wait_s=wait.wait_s, before_wait=wait.before_wait)


def _is_level(looks: Sequence[_Look], within_s: float) -> bool:
    """Whether the least lateness of each third is the same."""
    third = len(looks) // 3
    least = _least(looks[:third]), _least(looks[third:-third]), _least(looks[-third:])
    return max(least) - min(least) <= within_s


def _falls(looks: Sequence[_Look], by_s: float) -> bool:
    """Whether it is still catching up."""
    third = len(looks) // 3
    return _least(looks[-third:]) < _least(looks[:-third]) - by_s


def _steps(looks: Sequence[_Look], rises: Sequence[float], least_s: float) -> list[tuple[int, float]]:
    """Index and size of each step of the line. What is small is part of its greater neighbour.

    A level that was not held when the next stall came was no level: it was catching up. Where audio was lost
    then cannot be known; a device's memory runs over at the later one.
    """
    steps: list[tuple[int, float]] = []
    level_s = looks[0].late_s
    for index, rise_s in enumerate(rises):
        if rise_s > least_s:
            at, size_s = index, rise_s
            if steps:
                before, before_s = steps[-1]
                held = sum(look.late_s <= level_s + least_s for look in looks[before:index])
                if min(rise_s, before_s) < LEAST_MISSING_S or held < _HELD_LOOKS:
                    at = before if rise_s < min(before_s, LEAST_MISSING_S) else index
                    size_s += before_s
                    del steps[-1]
            steps.append((at, size_s))
        level_s += rise_s
    return steps
