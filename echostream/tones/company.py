"""What sounds beside a tone: a page's tone is alone, a note of music has company."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np

from echostream.tones.measure import Measured
from echostream.tones.spectrum import HOP, WINDOW
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ

BESIDE_HZ: Final = 15.0
"""Nearer is a sideband of the tone itself."""
TOGETHER: Final = 0.5
"""Company sounds for this part of the tone's length at least."""
BEFORE_S: Final = 0.4
"""What sounded this long before the page and goes on is hum or a whistle, and none of the page's business."""
HARMONICS: Final = (2, 3, 5)
HARMONIC_DB: Final = -8.0
"""A transmitter that clips makes harmonics, at most this strong."""
ALONE_DB, CROWDED_DB = -10.0, -3.0
"""Company this weak is none; this strong, the tone is a note of a chord."""


def alone(tone: Measured, since: int, others: Iterable[SteadyTone]) -> float:
    """1 for a tone without company, 0 for one of several. since: sample at which the page began."""
    strongest = max((_company_db(tone, since, other) for other in others), default=-math.inf)
    return min(1.0, max(0.0, (CROWDED_DB - strongest) / (CROWDED_DB - ALONE_DB)))


def _company_db(tone: Measured, since: int, other: SteadyTone) -> float:
    """Level of another tone over this one's; -inf where it is no company."""
    run = other.run
    if run.last <= tone.start or run.first - WINDOW // 2 < since - BEFORE_S * EAR_RATE_HZ:
        return -math.inf
    low, high = np.searchsorted(run.ends, (tone.start + WINDOW // 2, tone.end + WINDOW // 2))
    if (high - low) * HOP < TOGETHER * (tone.end - tone.start):
        return -math.inf
    hz = float(np.median(run.hz[low:high]))
    if abs(hz - tone.hz) < BESIDE_HZ:
        return -math.inf
    level_db = 10 * math.log10(max(float(np.median(run.powers[low:high])), 1e-15) / max(tone.power, 1e-15))
    harmonic = any(abs(hz - n * tone.hz) < 5.0 * n for n in HARMONICS)
    return -math.inf if harmonic and level_db <= HARMONIC_DB else level_db


def share_of_all(tone: Measured, whole: SteadyTone) -> float:
    """Power of the tone over all that was heard while it sounded, 0 to 1."""
    signal = whole.past.get(tone.start, tone.end)
    everything = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return min(1.0, tone.power / everything) if everything > 0 else 0.0
