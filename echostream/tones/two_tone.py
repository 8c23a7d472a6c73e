"""Two-tone pages: which definition an A and a B make, and what keeps two pages from making a third.

A page is decided when its B has lasted the definition's least length. The A must have ended where the B
began (a gap and a drop-out allowed), must have lasted long enough and not too long, and must not be the B
of a page that was just heard, unless it went on for so long that it is that and the next page's A as well.
Of all definitions that fit, the nearest in frequency wins, and a B makes one page only.
"""

from __future__ import annotations

import dataclasses
import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from echostream.tones.company import alone, share_of_all
from echostream.tones.heard import Heard
from echostream.tones.measure import Measured
from echostream.tones.near_miss import near_miss
from echostream.tones.page_fit import (
    ROUGH_HZ,
    Fit,
    could_be_a,
    finished,
    fit_page,
    longest_a_s,
    may_be_one_run,
    miss_hz,
    page_of,
    same_time,
    surest,
)
from echostream.tones.plan import TwoTone
from echostream.tones.spectrum import WINDOW
from echostream.tones.steady import SteadyTone
from echostream.tones.step_inside import find_step
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import Gate, hz_slack, length_slack_s

RULE: Final = "two_tone"


GOES_ON: Final = 6000
"""Samples by which an A's run may outlast the begin of B's: window, fading, speech at its frequency."""
SHORT_S, SHORT_SHARE = 0.6, 0.5
"""A tone shorter than this must be this part of all that is heard."""
UNFIT_LOOKS: Final = 8
HELD_LOOK: Final = EAR_RATE_HZ // 4
EDGE_S: Final = 0.3
"""What edges may be off by, and how long a run goes on before it counts as over."""


@dataclass(slots=True)
class _Held:
    """A page whose A was another page's B, while its B may still turn out to be the next page's A."""

    fit: Fit
    tone: SteadyTone
    over: bool = False


class TwoToneRule:
    """The two-tone definitions of one channel."""

    def __init__(
        self, definitions: tuple[TwoTone, ...], gate: Gate, explain: bool, whole: bool = False
    ) -> None:
        self._definitions = sorted(definitions, key=lambda definition: definition.b_hz)
        self._b_hz = [definition.b_hz for definition in self._definitions]
        reach = [d.b_range_hz + d.vocoder_grid_hz / 2 for d in self._definitions]
        self._widest = max(reach, default=0.0) + ROUGH_HZ
        self._gate = gate
        self._explain = explain
        self._whole = whole
        self._unfinished: list[tuple[Fit, SteadyTone, int]] = []
        """Pages decided whose B still sounds, and when that was."""
        self._held: list[_Held] = []
        self._last_page: Measured | None = None
        """B of the last page: fading makes sidebands, and a drop-out two runs of one tone."""
        self._longest_a_s = {d.tone_id: longest_a_s(d) for d in definitions}
        shortest = min((min(d.a_length_s, d.b_length_s) for d in definitions), default=0.0)
        self.least_samples = int(max(shortest - 0.3, 0.1) * EAR_RATE_HZ)
        self._least_b = int(
            max(min((d.b_length_s for d in definitions), default=0.0) - 0.3, 0.1) * EAR_RATE_HZ
        )

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """See `Rule`."""
        if RULE in tone.judged:
            return []
        if tone.longest < self._least_b:
            return self._missed(tone, others)
        if now < tone.wakes.get(RULE, 0) and not tone.over:
            return []
        near = self._near(tone.rough_hz)
        before = self._before(tone, near, others) if near else []
        close = [d for d in near if may_be_one_run(d, tone)]
        b = tone.measured(fresh=True) if before or close else None
        if b is None:
            tone.wakes[RULE] = now + tone.longest // UNFIT_LOOKS
            return self._missed(tone, others)
        fits = self._fits(tone, b, near, before)
        if all(fit.shared for fit in fits):
            fits += self._step_inside(tone, close)
        if any(not fit.shared for fit in fits):
            self._held = [held for held in self._held if held.tone is not tone]
        if not fits:
            # No A can come any more once B sounds: the longer it does, the less is worth a look.
            tone.wakes[RULE] = now + int(b.length_s / UNFIT_LOOKS * EAR_RATE_HZ)
        heard = self._decide(tone, fits, others, now)
        return heard or self._missed(tone, others)

    def _missed(self, tone: SteadyTone, others: Iterable[SteadyTone]) -> list[Heard]:
        if not (self._explain and tone.over) or tone.used_until:
            return []
        missed = near_miss(tone, self._definitions, others, self._gate, self._longest_a_s)
        return [missed] if missed is not None else []

    def is_known(self, a_hz: float, b_hz: float) -> bool:
        """A definition has these two tones, or nearly."""
        return any(
            miss_hz(a_hz, d.a_hz, 1.5 * d.a_range_hz, d.vocoder_grid_hz) != math.inf
            and miss_hz(b_hz, d.b_hz, 1.5 * d.b_range_hz, d.vocoder_grid_hz) != math.inf
            for d in self._definitions
        )

    def settle(self, now: int) -> list[Heard]:
        """See `Rule`."""
        heard: list[Heard] = []
        for held in self._held:
            if held.tone.used_until or RULE in held.tone.judged:
                held.over = True
            elif now >= self._certain_at(held):
                held.over = True
                heard += self._alert(held.fit, held.tone, now)
        self._held = [held for held in self._held if not held.over]
        over = [page for page in self._unfinished if page[1].over]
        self._unfinished = [page for page in self._unfinished if not page[1].over]
        heard += [page_of(finished(fit, tone), decided) for fit, tone, decided in over]
        return heard

    def forget(self) -> None:
        """See `Rule`."""
        self._held = []
        self._unfinished = []
        self._last_page = None

    def _starts_a_page(self, b: Measured) -> bool:
        return any(abs(b.hz - d.a_hz) <= d.a_range_hz + d.vocoder_grid_hz for d in self._definitions)

    def _certain_at(self, held: _Held) -> float:
        """From when on the tone can no longer be the A of another page."""
        b = held.fit.b
        others = [d for d in self._definitions if abs(b.hz - d.a_hz) <= d.a_range_hz + d.vocoder_grid_hz]
        longest = b.start + EAR_RATE_HZ * (max((longest_a_s(d) for d in others), default=0.0) + EDGE_S)
        if not held.tone.over:
            return longest
        after = max((d.gap_s + d.b_length_s for d in others), default=0.0) + EDGE_S
        end = (held.tone.measured() or b).end
        return longest if longest <= end else end + EAR_RATE_HZ * after

    # ---- inside

    def _near(self, hz: float) -> list[TwoTone]:
        low = bisect_left(self._b_hz, hz - self._widest)
        high = bisect_right(self._b_hz, hz + self._widest)
        return [
            d
            for d in self._definitions[low:high]
            if abs(d.b_hz - hz) <= d.b_range_hz + d.vocoder_grid_hz / 2 + ROUGH_HZ
        ]

    def _decide(
        self, tone: SteadyTone, fits: list[Fit], others: Iterable[SteadyTone], now: int
    ) -> list[Heard]:
        if not fits:
            return []
        fits.sort(key=lambda fit: (fit.shared, fit.distance))
        complete = [fit for fit in fits if fit.b.length_s >= fit.due]
        nearest = fits[0]
        if not complete or (complete[0] is not nearest and not tone.over):
            b = nearest.b
            due = min(fit.definition.b_length_s - length_slack_s(b) for fit in fits)
            tone.wakes[RULE] = max(b.start + int(due * EAR_RATE_HZ), now + 1)
            return []
        fit = complete[0]
        if fit.confidence >= self._gate.threshold:
            company = alone(((fit.a, fit.a_tone), (fit.b, tone)), others)
            short = [pair for pair in ((fit.a, fit.a_tone), (fit.b, tone)) if pair[0].length_s < SHORT_S]
            if any(share_of_all(measured, run) < SHORT_SHARE for measured, run in short):
                company = 0.0  # a vowel may be as steady for as long, but is never alone
            fit = dataclasses.replace(fit, confidence=fit.confidence * company)
        if fit.confidence < self._gate.threshold:
            tone.wakes[RULE] = now + int(fit.b.length_s / UNFIT_LOOKS * EAR_RATE_HZ)
            return []
        if fit.shared and self._starts_a_page(fit.b):
            if all(held.tone is not tone for held in self._held):
                self._held.append(_Held(fit, tone))
            tone.wakes[RULE] = now + HELD_LOOK
            return []
        return self._alert(fit, tone, now)

    def _alert(self, fit: Fit, tone: SteadyTone, now: int) -> list[Heard]:
        tone.judged.add(RULE)
        if self._last_page is not None and same_time(fit.b, self._last_page):
            return []
        self._last_page = fit.b
        tone.used_until = fit.b.start + int(fit.definition.b_length_s * EAR_RATE_HZ)
        fit.a_tone.judged.add(RULE)
        if fit.a_tone is not tone:
            fit.a_tone.used_until = max(fit.a_tone.used_until, fit.a.end)
        if self._whole:
            self._unfinished.append((fit, tone, now))
            return []
        return [page_of(fit, now)]

    def _fits(
        self, tone: SteadyTone, b: Measured, near: list[TwoTone], before: list[SteadyTone]
    ) -> list[Fit]:
        if not self._gate.lets(b):
            return []
        fits: list[Fit] = []
        for definition in near:
            off_b = miss_hz(
                b.hz, definition.b_hz, definition.b_range_hz + hz_slack(b), definition.vocoder_grid_hz
            )
            if off_b == math.inf:
                continue
            for other in before:
                if not could_be_a(definition, other):
                    continue
                a = other.measured(fresh=True)
                fit = fit_page(self._gate, definition, a, b, other, off_b) if a is not None else None
                if fit is not None:
                    fits.append(fit)
        return surest(fits)

    def _before(
        self, tone: SteadyTone, near: list[TwoTone], others: Iterable[SteadyTone]
    ) -> list[SteadyTone]:
        """The tones that may be an A of one of these definitions, without measuring anything."""
        begin = tone.run.first
        earliest = begin - int((max(d.gap_s for d in near) + 0.4) * EAR_RATE_HZ) - WINDOW
        shortest = int((min(d.a_length_s for d in near) - 0.3) * EAR_RATE_HZ)
        return [
            other
            for other in others
            if other.run.ends[-1] >= earliest
            and other.run.ends[0] < begin + WINDOW
            and other.longest >= shortest
            and other is not tone
            # What goes on beside B never ended: hum, a whistle.
            and other.run.ends[-1] <= begin + GOES_ON
            and any(could_be_a(definition, other) for definition in near)
        ]

    def _step_inside(self, tone: SteadyTone, close: list[TwoTone]) -> list[Fit]:
        """A and B so close to each other that they are one run with a step in it."""
        if not close:
            return []
        step = find_step(tone)
        if step is None:
            return []
        a, b = tone.part(0, step), tone.part(step, len(tone.run.ends))
        if a is None or b is None or not self._gate.lets(b):
            return []
        fits: list[Fit] = []
        for definition in close:
            off_b = miss_hz(b.hz, definition.b_hz, definition.b_range_hz + hz_slack(b), 0.0)
            if off_b != math.inf:
                fit = fit_page(self._gate, definition, a, b, tone, off_b)
                if fit is not None:
                    fits.append(fit)
        return fits
