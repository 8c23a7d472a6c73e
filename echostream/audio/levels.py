"""How loud a frame is: RMS, peak and clipping, measured where the samples come in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples

FLOOR_DBFS: Final = -120.0
"""What digital silence reads; below the quietest int16 RMS that a frame can have."""
CLIP_LEVEL: Final = 32_767
"""A converter at its stop reads 32767 or -32768; either counts as clipped."""
_FULL_SCALE_POWER: Final = FULL_SCALE * FULL_SCALE


@dataclass(frozen=True, slots=True)
class Level:
    """What a meter showed at one moment. Levels in dB against ±32768, at least FLOOR_DBFS."""

    rms_dbfs: float
    peak_dbfs: float
    clipped_frames: int
    mean_dbfs: float


def _power_dbfs(power: float) -> float:
    """Mean square in int16 units -> dBFS."""
    if power <= 0.0:
        return FLOOR_DBFS
    return max(FLOOR_DBFS, 10.0 * math.log10(power / _FULL_SCALE_POWER))


def _energy(samples: Samples) -> float:
    # In float32: a square of -32768 overflows int16, and the rounding stays under 0.001 dB.
    wide = samples.astype(np.float32)
    return float(np.dot(wide, wide))


def _peak(samples: Samples) -> int:
    # As Python integers: np.abs(-32768) is -32768 in int16. argmax() and argmin() because they are plain C,
    # at half the price of max() and min().
    return max(samples.item(samples.argmax()), -samples.item(samples.argmin()))


def rms_dbfs(samples: Samples) -> float:
    """RMS of int16 samples against a full-scale square wave: a full-scale sine reads -3.01 dBFS.

    Silence and an empty array read FLOOR_DBFS.
    """
    return _power_dbfs(_energy(samples) / samples.size) if samples.size else FLOOR_DBFS


class LevelMeter:
    """Follows one stream of frames.

    One thread updates. Another may read: each attribute is whole, but two of them can come from
    neighbouring frames.
    """

    __slots__ = ("_highest", "_peak", "_power", "clipped", "clipped_frames", "energy", "frames", "samples")

    def __init__(self) -> None:
        self._power = 0.0
        self._peak = 0
        self.clipped = 0
        """Samples at the converter's stop since the start."""
        self.clipped_frames = 0
        """Frames with at least one such sample since the start."""
        self.energy = 0.0
        """Sum of all squares since the start."""
        self.samples = 0
        """Since the start."""
        self.frames = 0
        """Since the start, but empty ones."""
        self._highest = 0

    def update(
        self,
        samples: Samples,
        converted: Samples | None = None,
        known: tuple[int, float] | None = None,
    ) -> None:
        """Measure one frame: shape (n,), int16. An empty frame changes nothing.

        `known`: the highest magnitude in `samples` and the sum of their squares, where the limiter before us
        has just found them.

        `converted`: the frame as the converter gave it, where gain and limiter came between: a limiter hides
        what the converter clipped.
        """
        size = samples.size
        if not size:
            return
        peak, energy = known or (_peak(samples), _energy(samples))
        self.energy += energy
        self.samples += size
        self.frames += 1
        if peak > self._highest:
            self._highest = peak
        self._power = energy / size
        self._peak = peak
        if converted is None:
            converted, top = samples, peak
        else:
            top = _peak(converted)
        if top >= CLIP_LEVEL:
            self.clipped += int(np.count_nonzero((converted >= CLIP_LEVEL) | (converted <= -CLIP_LEVEL)))
            self.clipped_frames += 1

    @property
    def rms_dbfs(self) -> float:
        """RMS of the last frame. (A logarithm is taken when somebody looks, not for every frame.)"""
        return _power_dbfs(self._power)

    @property
    def peak_dbfs(self) -> float:
        """Peak of the last frame."""
        peak = self._peak
        return 20.0 * math.log10(peak / FULL_SCALE) if peak > 0 else FLOOR_DBFS

    @property
    def mean_dbfs(self) -> float:
        """RMS over everything since the start."""
        return _power_dbfs(self.energy / self.samples) if self.samples else FLOOR_DBFS

    def take_highest(self) -> int:
        """The highest magnitude since the last call, 0 to 32768. For one reader."""
        highest, self._highest = self._highest, 0
        return highest

    def snapshot(self) -> Level:
        """The reading now, for a log line or a metric."""
        return Level(self.rms_dbfs, self.peak_dbfs, self.clipped_frames, self.mean_dbfs)
