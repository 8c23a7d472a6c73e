"""A peak limiter: nothing leaves above the ceiling, and what was below it all along leaves untouched.

A frame is known whole before any of it leaves, so it is its own look-ahead and the limiter adds no delay:
the gain comes down over ATTACK_MS before a peak. Only a peak at the very beginning of a frame cannot be
foreseen; there the gain follows the waveform down, still without a step.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

SUB_BLOCK: Final = 32
"""Samples over which one peak is taken, 0.67 ms; the gain is linear in between."""
_ATTACK_SUB_BLOCKS: Final = 3
ATTACK_MS: Final = 1000 * SUB_BLOCK * _ATTACK_SUB_BLOCKS / RATE_HZ
_RELEASE_OVERSHOOT_DB: Final = 0.1
"""The release heads for this much above unity, so that it reaches unity exactly and in finite time."""
_LONGEST: Final = 128 * SUB_BLOCK
"""Samples handled at once; keeps the release's powers inside float64."""
_MOST: Final = 2.0**26
"""66 dB over full scale, more than the largest gain makes. Beyond it a sample is damage, and a reduction
that matched it would mute the channel for seconds."""


class Limiter:
    """Limits one stream; the gain is carried from frame to frame."""

    def __init__(self, ceiling_dbfs: float = -1.0, release_ms: float = 80.0) -> None:
        """ceiling_dbfs: highest peak that leaves, -60 to 0. release_ms: time constant with which the
        reduction (in dB) goes back, 1 to 10000. ValueError outside these."""
        if not -60 <= ceiling_dbfs <= 0:
            raise ValueError(f"ceiling_dbfs {ceiling_dbfs}: expected -60 to 0")
        if not 1 <= release_ms <= 10_000:
            raise ValueError(f"release_ms {release_ms}: expected 1 to 10000")
        # A whole number, or rounding could lift a sample over it.
        self.ceiling = min(math.floor(FULL_SCALE * 10 ** (ceiling_dbfs / 20)), 32_767)
        """The highest magnitude of a sample that leaves."""
        self.gain_reduction_db = 0.0
        """The largest reduction within the last frame, 0 or more."""
        self.peak = 0
        """The highest magnitude of a sample in the last frame that left."""
        self.energy = 0.0
        """The sum of the squares of the last frame's samples as they left."""
        self.non_finite = 0
        """Samples that were NaN or infinite since the start; silence took their place."""
        self._reduction_db = 0.0
        sub_block_ms = 1000 * SUB_BLOCK / RATE_HZ
        self._decay: Float64 = np.exp(-sub_block_ms / release_ms * np.arange(_LONGEST // SUB_BLOCK + 1))

    def process(self, x: NDArray[np.floating]) -> Samples:
        """Limit one frame: shape (n,), float32 in int16 units, any n. Returns shape (n,), int16.

        With no reduction in force and no sample above the ceiling this is the input, rounded.
        """
        if not x.size:
            return np.zeros(0, np.int16)
        # NaN and infinity come through argmax() and argmin(), so one comparison finds them all. (These two
        # are plain C; max() and min() go through Python and the ufunc machinery, at twice the price.)
        peak = max(x.item(x.argmax()), -x.item(x.argmin()))
        if not peak <= _MOST:
            x, peak = self._repaired(x)
        if peak <= self.ceiling and self._reduction_db == 0.0:
            self.gain_reduction_db = 0.0
            self.peak = round(peak)
            rounded = np.rint(x)
            self.energy = float(rounded.dot(rounded))
            unchanged: Samples = rounded.astype(np.int16)
            return unchanged
        if x.size <= _LONGEST:
            out, self.gain_reduction_db = self._limited(x)
            self._measure(out)
            return out
        parts = [self._limited(x[at : at + _LONGEST]) for at in range(0, x.size, _LONGEST)]
        self.gain_reduction_db = max(reduction for _, reduction in parts)
        whole = np.concatenate([out for out, _ in parts])
        self._measure(whole)
        return whole

    def reset(self) -> None:
        """Back to unity at once: after a gap in the audio."""
        self._reduction_db = 0.0
        self.gain_reduction_db = 0.0

    def _measure(self, out: Samples) -> None:
        wide = out.astype(np.float32)
        self.peak = int(np.abs(wide).max())
        self.energy = float(wide.dot(wide))

    def _repaired(self, x: NDArray[np.floating]) -> tuple[NDArray[np.floating], float]:
        finite = np.isfinite(x)
        self.non_finite += int(x.size - np.count_nonzero(finite))
        repaired = np.clip(np.where(finite, x, 0.0), -_MOST, _MOST).astype(np.float32)
        return repaired, float(np.abs(repaired).max())

    def _limited(self, x: NDArray[np.floating]) -> tuple[Samples, float]:
        """The samples, and the largest reduction in dB."""
        rows = -(-x.size // SUB_BLOCK)
        padded = np.zeros((rows, SUB_BLOCK), np.float32)
        padded.ravel()[: x.size] = x
        magnitude = np.abs(padded)
        peaks = np.maximum(magnitude.max(axis=1).astype(np.float64), self.ceiling)
        required_db = 20 * np.log10(peaks / self.ceiling)
        knots_db = self._knots(required_db)
        knots = 10 ** (knots_db / -20)
        gain = knots[:-1, None] + (knots[1:] - knots[:-1])[:, None] * _RAMP
        if required_db[0] > knots_db[0]:
            gain[0] = self._caught_up(magnitude[0], gain[0], self.ceiling / peaks[0])
        ends_inside = x.size < gain.size
        end_db = -20 * math.log10(gain.ravel()[x.size]) if ends_inside else float(knots_db[-1])
        self._reduction_db = max(0.0, end_db)
        # The clip changes nothing but the last bit of rounding in the products above.
        out = np.clip(np.rint(padded * gain), -self.ceiling, self.ceiling).astype(np.int16)
        return out.ravel()[: x.size], float(knots_db.max())

    def _knots(self, required_db: Float64) -> Float64:
        """Reductions at the sub-block borders, from what each sub-block requires; dB, shape (rows + 1,).

        The first is where the last frame ended. Each of the others covers both neighbours, is prepared for
        by a ramp before it and released slowly after it.
        """
        knots = np.empty(required_db.size + 1)
        knots[0] = self._reduction_db
        knots[1:-1] = np.maximum(required_db[:-1], required_db[1:])
        knots[-1] = required_db[-1]
        ahead = knots.copy()
        for distance in range(1, min(_ATTACK_SUB_BLOCKS, knots.size - 1)):
            share = 1 - distance / _ATTACK_SUB_BLOCKS
            np.maximum(knots[1:-distance], ahead[1 + distance :] * share, out=knots[1:-distance])
        # d[k] = max(knots[k], d[k-1] * decay) without a loop: a running maximum of the undecayed values.
        decay = self._decay[: knots.size]
        released = np.maximum.accumulate((knots + _RELEASE_OVERSHOOT_DB) / decay) * decay
        return np.maximum(np.maximum(released - _RELEASE_OVERSHOOT_DB, knots), 0.0)

    def _caught_up(self, magnitude: Float32, line: Float64, required: float) -> Float64:
        """The gain of a first sub-block whose peak the last frame could not foresee, shape (SUB_BLOCK,).

        It goes down in a line to the peak, or along the waveform where that is steeper.
        """
        start = float(line[0])
        to_peak = np.minimum(_INDEX / max(int(magnitude.argmax()), 1), 1.0)
        allowed = self.ceiling / np.maximum(magnitude, self.ceiling / start)
        downhill = np.minimum.accumulate(allowed)
        return np.minimum(np.minimum(line, start + (required - start) * to_peak), downhill)


_INDEX: Final = np.arange(SUB_BLOCK, dtype=np.float64)
_RAMP: Final = _INDEX / SUB_BLOCK
