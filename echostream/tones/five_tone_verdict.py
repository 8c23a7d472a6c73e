"""Whether a chain of short tones was a five-tone call of a system: frequencies, lengths, levels, purity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

from echostream.tones.sines import Fit
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.tables import FiveToneSystem

RANGE: Final = 0.017
"""Senders hold 1.5 %."""
REFUSED_RANGE: Final = 0.029
"""However much noise: less than half of the way to the next tone."""
LENGTH_RANGE_S: Final = {"ccir": 0.010, "ccitt": 0.010, "zvei1": 0.015, "zvei2": 0.015, "zvei3": 0.015}
"""What senders hold; the others a tenth of the length."""
LENGTH_SLACK_S: Final = 0.009
"""Frames come every 8 ms."""
MEAN_SLACK_S: Final = 0.004
LEAST_SHARE: Final = 0.24
LEAST_MEAN_SHARE: Final = 0.33
THIRD: Final = 0.06
_MOST_THIRD: Final = 0.35
MOST_STEP_DB: Final = 7.0
"""Between a tone and the next: a path may be uneven, a voice jumps."""
MOST_SPREAD_DB: Final = 12.0
MOST_BEND: Final = 0.4
"""Radians, without noise: a whistle that glides past the tones bends by 0.8 to 3."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """reason: "" where it was a call, else a short word. clear: its tones stand out as those of no speech do.

    distance: how much of the limits it took (0 to 1 for a call).
    """

    reason: str
    explanation: str
    clear: bool
    distance: float


def judge(
    fits: Sequence[Fit],
    bend: float,
    nominal_hz: Sequence[float],
    lengths: Sequence[int],
    system: FiveToneSystem,
    least_power: float,
) -> Judgement:
    """fits, nominal_hz, lengths (samples): of each tone. bend: median over the tones.

    least_power: mean square that counts at least.
    """
    offs = [_off(*tone) for tone in zip(fits, nominal_hz, lengths, strict=True)]
    off = max(offs)
    worst = offs.index(off)
    rhythm = _rhythm(lengths, system)
    shares = [fit.share for fit in fits]
    impurity = _impurity(fits, lengths, bend)
    distance = max(off, rhythm, impurity)
    clear = min(shares) > 0.75 and impurity < 0.6
    if min(shares) < LEAST_SHARE or sum(shares) / len(shares) < LEAST_MEAN_SHARE or impurity > 1:
        return Judgement("not_pure", "other sounds are as strong as its tones", False, distance)
    if off > 1:
        hz, nominal = fits[worst].hz[0], nominal_hz[worst]
        apart = f"{hz / nominal - 1:+.1%} from {nominal:.0f} Hz"
        explanation = f"tone {worst + 1} was {hz:.1f} Hz, {apart}: 1.5 % is allowed"
        return Judgement("off_frequency", explanation, clear, distance)
    if rhythm > 1:
        heard = ", ".join(f"{length / EAR_RATE_HZ * 1000:.0f}" for length in lengths)
        explanation = f"its tones lasted {heard} ms: {system.name} has {system.tone_s * 1000:.0f} ms"
        return Judgement("tone_length", explanation, clear, distance)
    power = sum(fit.power for fit in fits) / len(fits)
    if power < least_power:
        have, want = (10 * math.log10(2 * each) for each in (power, least_power))
        explanation = f"its level was {have:.1f} dBFS, below the {want:.1f} dBFS that are set"
        return Judgement("level", explanation, clear, distance)
    return Judgement("", "", clear, distance)


def _off(fit: Fit, nominal_hz: float, length: int) -> float:
    """Deviation over what it may be, with what noise can add (3.5 standard errors, about)."""
    noise = (1 - fit.share) / fit.share
    unsure = math.sqrt(noise) * math.pow(400 / min(length, 1600), 1.5)
    limit = min(RANGE * nominal_hz + 1.0 + 3.5 * unsure, REFUSED_RANGE * nominal_hz)
    return abs(fit.hz[0] - nominal_hz) / limit


def _impurity(fits: Sequence[Fit], lengths: Sequence[int], bend: float) -> float:
    """The worst of other sounds, uneven levels and gliding, over what is allowed, with what noise can add."""
    levels_db = [10 * math.log10(fit.power) for fit in fits]
    steps_db = [abs(after - before) for before, after in pairwise(levels_db)]
    level = max(max(steps_db) / MOST_STEP_DB, (max(levels_db) - min(levels_db)) / MOST_SPREAD_DB)
    third = max(fit.third / _third_limit(fit, length) for fit, length in zip(fits, lengths, strict=True))
    noise = median(1 / fit.share - 1 for fit in fits)
    rising = [after.hz > before.hz for before, after in pairwise(fits)]
    one_way = all(rising) or not any(rising)  # as a glide is
    most_bend = MOST_BEND + (0.15 if one_way else 0.45) * math.sqrt(noise * 400 / median(lengths))
    return max(level, third, bend / most_bend)


def _third_limit(fit: Fit, length: int) -> float:
    noise = (1 - fit.share) / fit.share
    return min(THIRD + 0.17 * noise * 400 / min(length, 1600), _MOST_THIRD)


def _rhythm(lengths: Sequence[int], system: FiveToneSystem) -> float:
    """How far the lengths are from the system's, over what is allowed. The first tone may be longer."""
    allowed_s = LENGTH_RANGE_S.get(system.name, 0.1 * system.tone_s)
    lengths_s = [length / EAR_RATE_HZ for length in lengths]
    first_s = min(lengths_s[0], system.tone_s)
    worst_s = max(abs(length_s - system.tone_s) for length_s in (first_s, *lengths_s[1:]))
    mean_s = sum(lengths_s[1:]) / len(lengths_s[1:])
    return max(
        worst_s / (allowed_s + LENGTH_SLACK_S),
        abs(mean_s - system.tone_s) / (allowed_s + MEAN_SLACK_S),
    )
