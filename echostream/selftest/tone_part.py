"""The steady tone that came back: level, distortion, whether it was steady. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ
from echostream.audio.levels import FLOOR_DBFS
from echostream.selftest.signal import TONE_HZ, Float

_HARMONICS: Final = range(2, 11)
_BLOCK: Final = RATE_HZ // 100
"""10 ms."""
_WINDOW: Final = np.hanning(_BLOCK + 2)[1:-1] / np.hanning(_BLOCK + 2).sum()
_JUMP: Final = 0.13
"""Radians between two blocks: one sample of 48, lost or said twice."""
_TINY: Final = 1e-30


@dataclass(frozen=True, slots=True)
class ToneMeasured:
    """level_dbfs: RMS of the tone alone. thd_percent: harmonics 2 to 10 over the tone.

    drift_db: from the first fifth to the last, what an automatic gain control does. jumps: places where
    samples were lost or came twice. clock_ppm: how much faster the playing clock runs than the capturing one.
    """

    level_dbfs: float
    thd_percent: float
    drift_db: float
    jumps: int
    clock_ppm: float


def power_dbfs(mean_square: float) -> float:
    """Mean square of a wave of peak 1 at full scale -> dBFS; as in audio.levels a full sine reads -3.01."""
    return max(FLOOR_DBFS, 10 * math.log10(max(mean_square, _TINY)))


def measure_tone(wave: Float) -> ToneMeasured:
    """wave: shape (n,), of peak 1 at full scale; at least 0.1 s of the tone, its fades left out."""
    count = len(wave) // _BLOCK
    if count < 10:
        return ToneMeasured(FLOOR_DBFS, 0.0, 0.0, 0, 0.0)
    vectors = _blocks(wave[: count * _BLOCK])
    size = np.abs(vectors)
    fifth = max(1, count // 5)
    first, last = float(np.median(size[:fifth])), float(np.median(size[-fifth:]))
    # Steps of the phase from block to block: all the same, unless something is missing.
    steps = np.angle(vectors[1:] * np.conj(vectors[:-1]))
    usual = float(np.median(steps))
    broken = (np.abs(steps - usual) > _JUMP) | (np.minimum(size[1:], size[:-1]) < 0.1 * np.median(size))
    jumps = np.flatnonzero(broken)
    step = float(np.mean(steps[~broken])) if not broken.all() else 0.0
    ppm = step / (2 * np.pi * TONE_HZ * _BLOCK / RATE_HZ) * 1e6
    return ToneMeasured(
        level_dbfs=power_dbfs(float(np.median(size)) ** 2 / 2),
        thd_percent=100 * _harmonics(wave, TONE_HZ * (1 + ppm * 1e-6)),
        drift_db=20 * math.log10((last + _TINY) / (first + _TINY)),
        # A break inside a block bends two steps: neighbours are one place.
        jumps=0 if len(jumps) == 0 else 1 + int(np.count_nonzero(np.diff(jumps) > 2)),
        clock_ppm=ppm,
    )


def _blocks(wave: Float) -> Float:
    """Amplitude and phase of the tone in each block: shape (blocks,), complex."""
    t = np.arange(len(wave)) / RATE_HZ
    turned = wave * np.exp(-2j * np.pi * TONE_HZ * t)
    result: Float = 2 * turned.reshape(-1, _BLOCK) @ _WINDOW
    return result


def _harmonics(wave: Float, hz: float) -> float:
    """Amplitude of the harmonics together, over the tone's."""
    window = np.hanning(len(wave))
    weight = window.sum() / 2
    t = np.arange(len(wave)) / RATE_HZ

    def amplitude(number: int) -> float:
        return float(abs(np.dot(wave * window, np.exp(-2j * np.pi * number * hz * t))) / weight)

    tone = amplitude(1)
    if tone < 1e-9:
        return 0.0
    return math.sqrt(sum(amplitude(number) ** 2 for number in _HARMONICS)) / tone
