"""The ear for steady tones: it follows runs of peaks, and measures a run when a rule has a question about it.

Measuring costs a hundred times what following costs, so it waits until a definition could be complete: the
number of definitions hardly matters, and speech, whose runs are short, is rarely measured at all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

import numpy as np

from echostream.tones.heard import Heard
from echostream.tones.measure import Measured, Past, measure
from echostream.tones.runs import Run, RunTracker
from echostream.tones.spectrum import HOP, WINDOW, PeakFinder
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Signal

REMEMBERED_S: Final = 14.0
"""Runs that are over are kept this long: an A may be asked for when its B has lasted long enough."""
MOST_REMEMBERED: Final = 400
LEAST_HITS: Final = 4
PRESSING_HITS: Final = 12
LEAST_SHARE: Final = 0.5
"""Of the frames of a run that must have had a peak."""
BEFORE, AFTER = EAR_RATE_HZ // 2, WINDOW
"""Samples looked at beyond a run's outermost frames: a drop-out near the edge of a tone can split its run."""
STRONG, USUALLY = 0.2, 85
"""-7 dB under what 85 % of a run's frames do not exceed."""
STRONG_HOLE: Final = 6 * HOP
PAST_S: Final = 24.0


class SteadyTone:
    """A run as rules see it: measured when first asked, and again while it goes on.

    used: a page was made of it. judged: a rule has said all it has to say about it.
    """

    __slots__ = ("_looked_at", "_measured", "judged", "over", "past", "run", "used_until", "wakes")

    def __init__(self, run: Run, past: Past) -> None:
        self.run = run
        self.over = False
        self.judged: set[str] = set()
        self.used_until = 0
        """Sample until which a page has used it up; 0: not at all."""
        self.wakes: dict[str, int] = {}
        """By rule: the sample before which it need not look again."""
        self.past = past
        self._measured: Measured | None = None
        self._looked_at = -1

    @property
    def rough_hz(self) -> float:
        """Without measuring."""
        return self.run.strong_hz

    @property
    def longest(self) -> int:
        """Samples that it can have lasted at most so far."""
        return self.run.longest_samples

    def measured(self, fresh: bool = False) -> Measured | None:
        """What it is, over all of its run. fresh: with the samples that came since it was last asked."""
        run = self.run
        # A tone in mid-hole may be over, or not: its last frame decides where it is looked for.
        if self._looked_at < 0 or (fresh and self._looked_at != run.last):
            self._measured = self.part(0, len(run.ends))
            self._looked_at = run.last
        return self._measured

    def part(self, first: int, stop: int) -> Measured | None:
        """What frames first to stop - 1 of the run are, as a tone of its own."""
        run = self.run
        low, high = _strong(run, first, stop)
        hz = float(np.median(run.hz[low:high]))
        noise = float(np.median(run.noises[low:high]))
        core = (run.ends[low] - WINDOW // 2, run.ends[high - 1] - WINDOW // 2)
        begin = run.ends[first] - (WINDOW + BEFORE if first == 0 else WINDOW // 2)
        end = run.ends[stop - 1] + (AFTER if stop == len(run.ends) else -WINDOW // 2)
        return measure(self.past, hz, begin, end, core, noise)


def _strong(run: Run, first: int, stop: int) -> tuple[int, int]:
    """The longest stretch of frames, holes bridged, in which a run is about as strong as it ever is.

    A voice or a hum at the same place before and after a tone is weaker and belongs to its run.
    """
    powers = np.asarray(run.powers[first:stop])
    strong = np.flatnonzero(powers >= STRONG * float(np.percentile(powers, USUALLY)))
    breaks = np.flatnonzero(np.diff(np.asarray(run.ends)[first + strong]) > STRONG_HOLE) + 1
    longest = max(np.split(strong, breaks), key=len)
    low, high = first + int(longest[0]), first + int(longest[-1]) + 1
    return (low, high) if high - low >= LEAST_HITS - 1 else (first, stop)


class Rule(Protocol):
    """What makes something of steady tones."""

    @property
    def least_samples(self) -> int:
        """Shorter tones do not matter to it."""
        ...

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """Asked about a tone that sounds or has just ended, each time it may have become long enough.

        others: all tones remembered, also this one, by the time of their beginning. now: samples so far.
        """
        ...

    def settle(self, now: int) -> list[Heard]:
        """After each block: what was waiting for something else to come or not."""
        ...

    def forget(self) -> None:
        """Audio was lost."""
        ...


class SteadyEar:
    """All rules about steady tones of one channel."""

    def __init__(
        self, rules: list[Rule], least_power: float, removed_hz: Sequence[tuple[float, float]] = ()
    ) -> None:
        """least_power: mean square below which a tone is not looked at. removed_hz: bands filtered out."""
        self._rules = rules
        self._finder = PeakFinder(least_power=least_power, removed_hz=removed_hz)
        self._tracker = RunTracker()
        self._past = Past(PAST_S)
        self._least = min((rule.least_samples for rule in rules), default=0)
        self._remembered: deque[SteadyTone] = deque(maxlen=MOST_REMEMBERED)

    def hear(self, block: Signal) -> list[Heard]:
        """See `Ear`."""
        self._past.add(block)
        start = self._past.end - BLOCK_SAMPLES
        heard: list[Heard] = []
        for number, peaks in enumerate(self._finder.hear(block)):
            for run in self._tracker.step(start + (number + 1) * HOP, peaks):
                heard += self._end(run)
        for run in self._tracker.active:
            if run.longest_samples >= self._least and len(run.ends) >= LEAST_HITS:
                heard += self._judge(run)
        for rule in self._rules:
            heard += rule.settle(self._past.end)
        return heard

    @property
    def pressing(self) -> bool:
        """See `Ear`: a run has lasted long enough to be more than a syllable."""
        least = min(PRESSING_HITS, self._least // HOP)
        return any(len(run.ends) >= least for run in self._tracker.active)

    def finish(self) -> list[Heard]:
        """See `Ear`."""
        heard: list[Heard] = []
        for run in self._tracker.forget():
            heard += self._end(run)
        for rule in self._rules:
            heard += rule.settle(self._past.end + int(REMEMBERED_S * EAR_RATE_HZ))
        return heard

    def reset(self, position: int) -> None:
        """See `Ear`."""
        self._finder.forget()
        self._tracker.forget()
        self._past.forget(position)
        self._remembered.clear()
        for rule in self._rules:
            rule.forget()

    def _end(self, run: Run) -> list[Heard]:
        if run.longest_samples < self._least or len(run.ends) < LEAST_HITS:
            return []
        tone = self._tone(run)
        tone.over = True
        return self._ask(tone)

    def _judge(self, run: Run) -> list[Heard]:
        return self._ask(self._tone(run)) if run.share >= LEAST_SHARE else []

    def _tone(self, run: Run) -> SteadyTone:
        if isinstance(run.verdict, SteadyTone):
            return run.verdict
        tone = SteadyTone(run, self._past)
        run.verdict = tone
        oldest = self._past.end - int(REMEMBERED_S * EAR_RATE_HZ)
        while self._remembered and self._remembered[0].over and self._remembered[0].run.last < oldest:
            self._remembered.popleft()
        self._remembered.append(tone)
        return tone

    def _ask(self, tone: SteadyTone) -> list[Heard]:
        heard: list[Heard] = []
        for rule in self._rules:
            if tone.longest >= rule.least_samples:
                heard += rule.judge(tone, self._remembered, self._past.end)
        return heard
