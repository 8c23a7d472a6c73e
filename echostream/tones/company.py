"""What sounds beside a tone: a page's tone is alone, a note of music has company."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from echostream.tones.measure import Measured
from echostream.tones.spectrum import HOP, WINDOW
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ

BESIDE_HZ: Final = 30.0
"""Nearer is a sideband of the tone itself: fading, packets that were lost."""
TOGETHER: Final = 0.5
"""Company sounds for this part of the tone's length at least."""
BEFORE_S: Final = 0.4
"""What sounded this long before the page and goes on is hum or a whistle, and none of the page's business;
and so is what sounds through all of its tones."""
HARMONICS: Final = (2, 3, 4, 5, 6, 7)
HARMONICS_DB: Final = -4.0
"""An encoder that is overdriven or a transmitter that clips makes harmonics, together at most this strong."""
FEW_DB, MANY_DB = 3.0, 8.0
"""Other peaks together: a voice over a page is this strong for moments, music is all the time."""
LEAST_FRAMES: Final = 4
ALONE_DB, CROWDED_DB = -10.0, -3.0
"""Company this weak is none; this strong, the tone is a note of a chord."""


def alone(page: Sequence[tuple[Measured, SteadyTone]], others: Iterable[SteadyTone]) -> float:
    """1 for a page's tones (in their order, each with its run) without company, 0 for notes among others."""
    since = page[0][0].start
    tones = [measured for measured, _ in page]
    candidates = [
        other
        for other in others
        if other.run.last > since
        and other.run.first - WINDOW // 2 >= since - BEFORE_S * EAR_RATE_HZ
        and not (len(tones) > 1 and all(_beside(tone, other) is not None for tone in tones))
    ]
    strongest = max(_company_db(tone, candidates) for tone in tones)
    among = max(_crowd_db(tone, own) for tone, own in page)
    return _fall(strongest, ALONE_DB, CROWDED_DB) * _fall(among, FEW_DB, MANY_DB)


def _fall(value: float, one: float, none: float) -> float:
    return min(1.0, max(0.0, (none - value) / (none - one)))


def _crowd_db(tone: Measured, own: SteadyTone) -> float:
    """All other peaks of the spectrum over the tone's, in half of its frames at least."""
    run = own.run
    low, high = np.searchsorted(run.ends, (tone.start + WINDOW // 2, tone.end + WINDOW // 2))
    if high - low < LEAST_FRAMES:
        return -math.inf
    # The run may be a sideband's; the tone is what was measured.
    everything = np.asarray(run.rests[low:high]) + np.asarray(run.powers[low:high])
    return 10 * math.log10(max(float(np.median(everything)) / max(tone.power, 1e-15) - 1, 1e-9))


def _beside(tone: Measured, other: SteadyTone) -> slice | None:
    """The frames of another run while a tone sounds; None where they are too few."""
    low, high = np.searchsorted(other.run.ends, (tone.start + WINDOW // 2, tone.end + WINDOW // 2))
    return slice(low, high) if (high - low) * HOP >= TOGETHER * (tone.end - tone.start) else None


def _company_db(tone: Measured, others: Iterable[SteadyTone]) -> float:
    """Level over this tone's of the strongest other one, or of its harmonics where they are strong."""
    strongest = harmonics = 1e-9
    for other in others:
        beside = _beside(tone, other)
        if beside is None:
            continue
        hz = float(np.median(other.run.hz[beside]))
        if abs(hz - tone.hz) < BESIDE_HZ:
            continue
        ratio = float(np.median(other.run.powers[beside])) / max(tone.power, 1e-15)
        if any(abs(hz - n * tone.hz) < 5.0 * n for n in HARMONICS):
            harmonics += ratio
        else:
            strongest = max(strongest, ratio)
    if harmonics > 10 ** (HARMONICS_DB / 10):
        strongest = max(strongest, harmonics)
    return 10 * math.log10(strongest)


def share_of_all(tone: Measured, whole: SteadyTone) -> float:
    """Power of the tone over all that was heard while it sounded, 0 to 1."""
    signal = whole.past.get(tone.start, tone.end)
    everything = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return min(1.0, tone.power / everything) if everything > 0 else 0.0
