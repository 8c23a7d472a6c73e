"""How sure a measured tone is one, and how exactly it is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from echostream.tones.measure import Measured

LEAST_ENERGY: Final = 30.0
"""Of a tone over the noise in its own band: 15 dB, seldom reached by noise alone in a year."""
SINE_DB: Final = 3.0103
"""A sine of full scale is 0 dBFS by AES17 and -3.01 by its RMS."""
LEVEL_SLACK_DB: Final = 0.5


@dataclass(frozen=True, slots=True)
class Gate:
    """threshold: least confidence. level_dbfs: least level (AES17)."""

    threshold: float
    level_dbfs: float

    def lets(self, tone: Measured) -> bool:
        """Loud enough, and more than chance."""
        loud = tone.level_dbfs + SINE_DB >= self.level_dbfs - LEVEL_SLACK_DB
        return loud and tone.energy >= LEAST_ENERGY


def confidence(tone: Measured) -> float:
    """0 to 1: of one steady, pure tone rather than a voice, a chord or a siren."""
    pure = _ramp(tone.purity, 0.15, 0.65)
    steady = _ramp(-tone.swing_db, -5.0, -2.0)
    return pure * steady


def hz_slack(tone: Measured) -> float:
    """What noise may have added to the frequency (2.5 standard errors)."""
    return 0.02 + 2.5 * tone.hz_sigma


def length_slack_s(tone: Measured) -> float:
    """What noise may have taken from a length."""
    cell = 40 * tone.power / max(tone.noise, 1e-15)  # over the noise, in one cell of 10 ms
    return 0.025 + min(0.25, 0.15 / max(cell, 0.1), 0.12 * tone.length_s)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
