"""Runs: peaks of one frequency that follow each other. A run is where a tone may be; `measure` says what it
is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from echostream.tones.spectrum import HOP, WINDOW, Peak

STRAY_HZ: Final = 5.0
"""Between a run and its next peak. Noise at -14 dB moves a peak by 0.5 Hz, a flutter by 2."""
FOLLOW: Final = 0.25
"""How fast a run's frequency follows its peaks: a transmitter that drifts stays one run."""
LONGEST_HOLE: Final = 7 * HOP
"""Frames without a peak that a run bridges: a drop-out of 120 ms, a consonant over the tone."""
YOUNG_HITS: Final = 4
YOUNG_HOLE: Final = 2 * HOP
"""A run of few peaks is mostly noise or voice and dies sooner."""
WEAKER, STRONGER = 0.03, 10.0
"""-15 dB and +10 dB over a run's strongest peak so far: beyond, a peak is something else at the same place,
as hum is before and after a tone. A weaker one is let go, a stronger one begins a run of its own."""
GROWING_HITS: Final = 8
"""While the window fills with a tone its peaks grow."""
MOST_RUNS: Final = 48
LONGEST_RUN: Final = 1800
"""Frames of a run that are kept: a minute. A carrier that stays on for ever costs no more memory."""


class Run:
    """One run. ends: last sample + 1 of each frame with its peak; hz, powers, noises: of that peak.

    rests: power of all other peaks of the frame.
    """

    __slots__ = (
        "_weighed",
        "_weight",
        "ends",
        "hz",
        "hz_now",
        "noises",
        "powers",
        "rests",
        "settled",
        "top",
        "verdict",
    )

    def __init__(self, end: int, peak: Peak, rest: float = 0.0) -> None:
        self.ends = [end]
        self.hz = [peak.hz]
        self.powers = [peak.power]
        self.noises = [peak.noise]
        self.rests = [rest]
        self.hz_now = peak.hz
        self.top = peak.power
        """Its strongest peak's power."""
        self.settled = 0.0
        """The same without the last frames, in which the window may fill with something stronger."""
        self._weight = peak.power
        self._weighed = peak.power * peak.hz
        self.verdict: object = None
        """What its listener keeps with it."""

    @property
    def first(self) -> int:
        """End of the first frame."""
        return self.ends[0]

    @property
    def last(self) -> int:
        """End of the last frame."""
        return self.ends[-1]

    @property
    def longest_samples(self) -> int:
        """No tone that made this run lasted longer."""
        return self.ends[-1] - self.ends[0] + WINDOW

    @property
    def strong_hz(self) -> float:
        """Mean frequency by power: what the run was when it was strong, not how it faded out."""
        return self._weighed / self._weight

    @property
    def share(self) -> float:
        """Frames with a peak over frames."""
        return len(self.ends) * HOP / (self.ends[-1] - self.ends[0] + HOP)

    def take(self, end: int, peak: Peak, rest: float = 0.0) -> None:
        """The next frame's peak."""
        self.ends.append(end)
        self.hz.append(peak.hz)
        self.powers.append(peak.power)
        self.noises.append(peak.noise)
        self.rests.append(rest)
        self.hz_now += FOLLOW * (peak.hz - self.hz_now)
        self.top = max(self.top, peak.power)
        if len(self.ends) > GROWING_HITS:
            self.settled = max(self.settled, self.powers[-1 - GROWING_HITS])
        self._weight += peak.power
        self._weighed += peak.power * peak.hz
        if len(self.ends) > LONGEST_RUN:
            for kept in (self.ends, self.hz, self.powers, self.noises, self.rests):
                del kept[: LONGEST_RUN // 4]


class RunTracker:
    """Binds the peaks of successive frames into runs."""

    def __init__(self) -> None:
        self.active: list[Run] = []
        """By no order."""

    def step(self, end: int, peaks: Sequence[Peak]) -> list[Run]:
        """One frame, which ends before sample `end`. Returns the runs that are over."""
        free = self.active
        everything = sum([peak.power for peak in peaks])
        for peak in peaks:
            nearest: Run | None = None
            least = STRAY_HZ
            beneath = False
            for run in free:
                off = abs(run.hz_now - peak.hz)
                if off < least and run.ends[-1] != end:
                    if peak.power < run.top * WEAKER:
                        beneath = True
                    elif peak.power <= run.settled * STRONGER or len(run.ends) < 2 * GROWING_HITS:
                        nearest, least = run, off
            if nearest is not None:
                nearest.take(end, peak, everything - peak.power)
            elif beneath:
                continue
            elif len(self.active) < MOST_RUNS:
                free.append(Run(end, peak, everything - peak.power))
        over: list[Run] = []
        still: list[Run] = []
        for run in self.active:
            hole = end - run.ends[-1]
            if hole > (YOUNG_HOLE if len(run.ends) < YOUNG_HITS else LONGEST_HOLE):
                over.append(run)
            else:
                still.append(run)
        self.active = still
        return over

    def forget(self) -> list[Run]:
        """Audio was lost, or the stream is over: every run ends."""
        over, self.active = self.active, []
        return over
