"""How well an A and a B make a definition: in frequency, length, gap, level and purity."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.tones.heard import Detection, Kind, ToneSpan
from echostream.tones.measure import Measured
from echostream.tones.near_miss import MOST_TWIST_DB
from echostream.tones.plan import TwoTone
from echostream.tones.spectrum import WINDOW
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import Gate, confidence, hz_slack, length_slack_s

ROUGH_HZ: Final = 3.0
"""A run's own frequency is within this of what is measured."""
OVERLAP_S: Final = 0.08
"""An A may seem to end this much after its B began."""
BLURRED_MOST_S, BLURRED_TURNS = 0.3, 1.5
LONGEST_A_AT_LEAST_S: Final = 2.0
LONGEST_A_TIMES: Final = 3.0
CLOSE_HZ: Final = 14.0
"""Two tones nearer than this can be one run."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A definition that an A and a B would make. distance: of their frequencies from the defined ones."""

    definition: TwoTone
    a: Measured
    b: Measured
    a_tone: SteadyTone
    distance: float
    confidence: float
    shared: bool
    """The A is what was left of another page's B."""

    @property
    def due(self) -> float:
        """Seconds of B at which it is a page."""
        return self.definition.b_length_s - length_slack_s(self.b)


def longest_a_s(definition: TwoTone) -> float:
    """Of a definition's A."""
    if definition.a_longest_s is not None:
        return definition.a_longest_s
    return max(LONGEST_A_AT_LEAST_S, LONGEST_A_TIMES * definition.a_length_s)


def miss_hz(hz: float, defined_hz: float, range_hz: float, grid_hz: float) -> float:
    """How far hz is from what was defined, signed; inf outside the range, also after a voice coder's grid."""
    off = hz - defined_hz
    if abs(off) <= range_hz:
        return off
    if grid_hz:
        snapped = hz - round(defined_hz / grid_hz) * grid_hz
        if abs(snapped) <= range_hz:
            return snapped
    return math.inf


def fit_page(
    gate: Gate, definition: TwoTone, a: Measured, b: Measured, other: SteadyTone, off_b: float
) -> Fit | None:
    slack = length_slack_s(a)
    off_a = miss_hz(a.hz, definition.a_hz, definition.a_range_hz + hz_slack(a), definition.vocoder_grid_hz)
    if off_a == math.inf or not gate.lets(a):
        return None
    if abs(a.level_dbfs - b.level_dbfs) > MOST_TWIST_DB:
        return None
    gap_s = (b.start - a.end) / EAR_RATE_HZ
    edge_s = OVERLAP_S + slack + length_slack_s(b)
    # Tones a few hertz apart line up with each other again and again: their edges are less certain.
    blurred_s = min(BLURRED_MOST_S, BLURRED_TURNS / max(abs(a.hz - b.hz), 1e-6))
    if not -edge_s - blurred_s <= gap_s <= definition.gap_s + edge_s - OVERLAP_S:
        return None
    begin = a.start
    shared = False
    if other.used_until > a.start + EAR_RATE_HZ // 10:
        # Another page's B. What it lasted beyond that page may be this one's A.
        begin, shared = other.used_until, True
    length_s = (a.end - begin) / EAR_RATE_HZ
    if length_s < definition.a_length_s - slack:
        return None
    if not shared and length_s > longest_a_s(definition) + slack:
        return None
    distance = math.hypot(off_a / definition.a_hz, off_b / definition.b_hz)
    sure = min(confidence(a), confidence(b))
    return Fit(definition, a, b, other, distance, sure, shared)


def could_be_a(definition: TwoTone, other: SteadyTone) -> bool:
    off = abs(other.rough_hz - definition.a_hz)
    return off <= definition.a_range_hz + definition.vocoder_grid_hz / 2 + ROUGH_HZ + 2.0


def may_be_one_run(d: TwoTone, tone: SteadyTone) -> bool:
    """A and B are so close that one run may hold both, and this one began where A is."""
    close = abs(d.a_hz - d.b_hz) <= CLOSE_HZ + d.a_range_hz + d.b_range_hz
    return close and abs(tone.run.hz[0] - d.a_hz) <= d.a_range_hz + ROUGH_HZ + 2.0


def surest(fits: list[Fit]) -> list[Fit]:
    """One A for each definition: fading gives a tone runs beside its own."""
    best: dict[str, Fit] = {}
    for fit in fits:
        known = best.get(fit.definition.tone_id)
        if known is None or fit.a.energy > known.a.energy:
            best[fit.definition.tone_id] = fit
    return list(best.values())


def same_time(one: Measured, other: Measured) -> bool:
    together = min(one.end, other.end) - max(one.start, other.start)
    return together > 0.5 * min(one.end - one.start, other.end - other.start)


def finished(fit: Fit, tone: SteadyTone) -> Fit:
    """The same with all of B."""
    if fit.a_tone is tone:
        step = int(np.searchsorted(tone.run.ends, fit.b.start + WINDOW // 2))
        b = tone.part(min(step, len(tone.run.ends) - 1), len(tone.run.ends))
    else:
        b = tone.measured(fresh=True)
    longer = b is not None and b.end > fit.b.end and abs(b.start - fit.b.start) < EAR_RATE_HZ
    return dataclasses.replace(fit, b=b) if b is not None and longer else fit


def page_of(fit: Fit, now: int) -> Detection:
    a, b, definition = fit.a, fit.b, fit.definition
    spans = (_span(a, definition.a_hz), _span(b, definition.b_hz))
    return Detection(
        kind=Kind.TWO_TONE,
        tone_id=definition.tone_id,
        start=a.start,
        end=b.end,
        decided=now,
        tones=spans,
        snr_db=min(a.snr_db, b.snr_db),
        level_dbfs=b.level_dbfs,
        twist_db=b.level_dbfs - a.level_dbfs,
        confidence=fit.confidence,
    )


def _span(tone: Measured, defined_hz: float) -> ToneSpan:
    return ToneSpan(tone.hz, tone.start, tone.end, tone.level_dbfs, tone.snr_db, tone.hz - defined_hz)
