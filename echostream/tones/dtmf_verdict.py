"""Whether a measured pair was a DTMF key: ITU-T Q.24's limits, and what keeps speech out.

Speech that happens to have its two strongest parts on a low and a high DTMF frequency has more of the same
sort beside them: other harmonics, a fundamental below, levels and frequencies that move. A key in noise has
only what that noise explains. So each limit grows with the noise that is there, and no further.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from echostream.tones.sines import MOST_FIT, Fit
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.tables import DTMF_HIGH_HZ, DTMF_LOW_HZ

BAND_HZ: Final = 560.0
"""Where anything besides the pair counts begins: hum and dial tone lie below."""
LEAST_TONE: Final = round(0.0315 * EAR_RATE_HZ)
"""Between the 23 ms that are refused and the 40 ms that are accepted."""
NEARLY: Final = round(0.015 * EAR_RATE_HZ)
"""A pair of this length is a near miss; shorter is a click."""
RANGE: Final = 0.015
RANGE_MORE_HZ: Final = 2.0
REFUSED_RANGE: Final = 0.033
"""However much noise: ±3.5 % is never accepted."""
NEARLY_OFF: Final = 2.4
"""Times what Q.24 allows, about 4 %: farther off it is another signal's tone."""
MOST_TWIST_DB: Final = 11.0
LEAST_SHARE: Final = 0.52
THIRD: Final = 0.065
"""A third tone 16 dB below the pair is 0.05 of one of its tones."""
NOT_PURE: Final = "not_pure"
_SLACK_HZ: Final = 4.0
_MOST_THIRD: Final = 0.2
_BELOW: Final = 0.12
_BELOW_SHARE: Final = 0.85
_MOST_SLOPE_DB: Final = 9.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """reason: "" where it was a key, else a short word. clear: its tones stand out as those of no speech do.

    used: how much of the limits it took (0 to 1 for a key).
    """

    reason: str
    explanation: str
    clear: bool
    used: float


def judge(fit: Fit, row: int, column: int, length: float, least_power: float) -> Verdict:
    """length: in samples. row, column: of the key. least_power: mean square below which nothing counts."""
    noise = (1 - fit.share) / fit.share  # the rest, over the pair
    weak = fit.power / 2 / min(fit.powers)
    shortness = 400 / min(length, float(MOST_FIT))
    third_limit, slope_limit_db = _limits(fit, noise, noise * weak * shortness)
    off, off_limit = _off(fit, row, column, math.sqrt(noise * weak) * math.pow(shortness, 1.5))
    used = max(off / off_limit, abs(fit.twist_db) / MOST_TWIST_DB, fit.third / max(third_limit, 1e-9))
    if fit.share < LEAST_SHARE or fit.third > third_limit or fit.slope_db > slope_limit_db:
        return Verdict(NOT_PURE, "other sounds are as strong as its tones", False, used)
    pure = fit.share > 0.8 and fit.third < THIRD and fit.slope_db < 2 + 8 * noise and fit.below < _BELOW
    clear = pure and off < NEARLY_OFF
    if off > off_limit:
        return Verdict("off_frequency", _say_off(fit, row, column), clear, used)
    if abs(fit.twist_db) > MOST_TWIST_DB:
        which = "high" if fit.twist_db > 0 else "low"
        more = f"{abs(fit.twist_db):.1f} dB above the other"
        explanation = f"its {which} tone was {more}: {MOST_TWIST_DB:g} dB at most"
        return Verdict("twist", explanation, clear, used)
    if length < LEAST_TONE:
        explanation = f"it lasted {length / EAR_RATE_HZ * 1000:.0f} ms: at least 40 ms are sent"
        return Verdict("too_short", explanation, clear, used)
    if fit.power < least_power:
        have, want = (10 * math.log10(2 * power) for power in (fit.power, least_power))
        explanation = f"its level was {have:.1f} dBFS, below the {want:.1f} dBFS that are set"
        return Verdict("level", explanation, clear, used)
    return Verdict("", "", clear, used)


def _say_off(fit: Fit, row: int, column: int) -> str:
    low, high = DTMF_LOW_HZ[row], DTMF_HIGH_HZ[column]
    return (
        f"its tones were {fit.hz[0]:.1f} and {fit.hz[1]:.1f} Hz, {fit.hz[0] / low - 1:+.1%} and "
        f"{fit.hz[1] / high - 1:+.1%} from {low:.0f} and {high:.0f} Hz: DTMF allows 1.5 % and 2 Hz"
    )


def _limits(fit: Fit, noise: float, explained: float) -> tuple[float, float]:
    """(third, slope in dB) at most."""
    if fit.below < _BELOW + 0.4 * noise:
        return min(max(0.06 + 0.15 * explained, 0.115), _MOST_THIRD), _MOST_SLOPE_DB
    # Something sounds below 560 Hz: hum or dial tone, or a voice. The pair has to be quite pure then.
    return (THIRD if fit.share > _BELOW_SHARE else 0.0), 1.5 + 8 * noise


def _off(fit: Fit, row: int, column: int, unsure: float) -> tuple[float, float]:
    """(worst deviation over what Q.24 allows, what it may be here). unsure: about the standard error, Hz."""
    worst, limit = 0.0, math.inf
    for hz, nominal in zip(fit.hz, (DTMF_LOW_HZ[row], DTMF_HIGH_HZ[column]), strict=True):
        allowed = RANGE * nominal + RANGE_MORE_HZ
        worst = max(worst, abs(hz - nominal) / allowed)
        most = min(allowed + _SLACK_HZ - RANGE_MORE_HZ + 4 * unsure, REFUSED_RANGE * nominal)
        limit = min(limit, most / allowed)
    return worst, limit
