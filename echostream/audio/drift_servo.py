"""Holds the delay between two clocks that disagree by some hundred ppm, by a speed change nobody hears.

A proportional-integral controller: the proportional part removes what is too much or too little within
about ten seconds, the integral part learns how far the clocks differ and keeps that over pauses.
"""

from __future__ import annotations

from typing import Final

MOST_SLEW: Final = 0.003
"""±0.3 %: a twentieth of a semitone, below what is heard in speech and in tones."""
MOST_DRIFT: Final = 0.001
"""±1000 ppm: worse clocks than that are not sold."""
_PROPORTIONAL_PER_S: Final = 0.1
_INTEGRAL_PER_S2: Final = 0.0012
_LEARN_WITHIN_MS: Final = 8.0
"""A larger error comes from the network, not from the clocks: nothing is learned from it."""
_SMOOTHING_S: Final = 1.5


class DriftServo:
    """Depth at each pull in, resampling ratio (outputs per input) out."""

    def __init__(self, learns: bool = True) -> None:
        """learns: keep the difference of the clocks; without, the depth settles 2 ms off at 200 ppm."""
        self._learns = learns
        self._drift = 0.0
        self._error_s: float | None = None
        self.ratio = 1.0
        """The last ratio that was given."""

    @property
    def ppm(self) -> float:
        """How much faster the sender's clock runs than ours, as learned so far."""
        return 1e6 * self._drift

    def update(self, depth_ms: float, target_ms: float, elapsed_s: float) -> float:
        """The ratio for the next pull: below 1 while there is too much.

        depth_ms: audio in hand (any measure that grows as playback falls behind). elapsed_s: since the last
        call.
        """
        error_s = (depth_ms - target_ms) / 1000.0
        if self._error_s is None:
            self._error_s = error_s
        self._error_s += (error_s - self._error_s) * min(1.0, elapsed_s / _SMOOTHING_S)
        if self._learns and 1000.0 * abs(self._error_s) < _LEARN_WITHIN_MS:
            self._drift += _INTEGRAL_PER_S2 * self._error_s * elapsed_s
            self._drift = min(MOST_DRIFT, max(-MOST_DRIFT, self._drift))
        slew = self._drift + _PROPORTIONAL_PER_S * self._error_s
        self.ratio = 1.0 / (1.0 + min(MOST_SLEW, max(-MOST_SLEW, slew)))
        return self.ratio

    def hold(self) -> float:
        """The ratio that only makes up for the clocks, while something else changes the depth."""
        self._error_s = None
        self.ratio = 1.0 / (1.0 + self._drift)
        return self.ratio
