"""Active speech level by ITU-T P.56 (12/2011), method B: how loud somebody is while he speaks. Pure.

The RMS of a whole take says little: it falls with every pause. P.56 follows an envelope, counts for each of a
row of thresholds how long it was exceeded (with a hangover of 200 ms), and takes the level at which the power
of what is active stands 15.9 dB above the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples
from echostream.audio.levels import FLOOR_DBFS

Float = NDArray[np.float64]

_BLOCK: Final = RATE_HZ // 1000
"""The envelope is followed at 1 kHz; the standard wants at least 694 Hz."""
_BLOCK_HZ: Final = RATE_HZ / _BLOCK
_TIME_CONSTANT_S: Final = 0.03
_HANGOVER_BLOCKS: Final = 200
_MARGIN_DB: Final = 15.9
_STEPS: Final = 15
"""Thresholds: full scale, and half of it each time, as for 16 bits."""
_LEAST_BLOCKS: Final = 250
_KERNEL_BLOCKS: Final = 400
"""Where the two exponentials have fallen below 2e-5."""


@dataclass(frozen=True, slots=True)
class ActiveLevel:
    """active_dbfs: FLOOR_DBFS where nobody spoke. activity: share of the time, 0 to 1. long_term_dbfs: RMS of
    it all. dBFS against a full-scale square wave, which is ITU's dBov."""

    active_dbfs: float
    activity: float
    long_term_dbfs: float


NOBODY: Final = ActiveLevel(FLOOR_DBFS, 0.0, FLOOR_DBFS)


def active_level(samples: Samples) -> ActiveLevel:
    """Of speech, shape (n,), int16, at 48 kHz; at least a quarter of a second of it."""
    count = len(samples) // _BLOCK
    if count < _LEAST_BLOCKS:
        return NOBODY
    wave = samples[: count * _BLOCK].astype(np.float64) / FULL_SCALE
    energy = float(np.dot(wave, wave)) / _BLOCK
    if energy <= 0:
        return NOBODY
    long_term = 10 * math.log10(energy / count)
    envelope = _envelope(np.abs(wave).reshape(-1, _BLOCK).mean(axis=1))
    thresholds = 0.5 ** np.arange(_STEPS, -1, -1.0)
    counts = np.array([_active_blocks(envelope >= threshold) for threshold in thresholds])
    heard = counts > 0
    if not heard.any():
        return ActiveLevel(FLOOR_DBFS, 0.0, max(FLOOR_DBFS, long_term))
    # For each threshold: the level that what exceeds it has, and how far that is above the threshold.
    levels = 10 * np.log10(energy / counts[heard])
    margins = levels - 20 * np.log10(thresholds[heard])
    below = int(np.count_nonzero(margins >= _MARGIN_DB)) - 1
    if below < 0:  # even the lowest threshold is too near: softer than 16 bits can tell
        active = float(levels[0])
    elif below == len(levels) - 1:
        active = float(levels[below])
    else:
        share = (margins[below] - _MARGIN_DB) / (margins[below] - margins[below + 1])
        active = float(levels[below] + share * (levels[below + 1] - levels[below]))
    activity = min(1.0, 10 ** ((long_term - active) / 10))
    return ActiveLevel(max(FLOOR_DBFS, active), activity, max(FLOOR_DBFS, long_term))


def _envelope(rectified: Float) -> Float:
    """Two exponential averages one after the other, as one convolution: g² (n + 1) (1 - g)^n."""
    gone = math.exp(-1 / (_BLOCK_HZ * _TIME_CONSTANT_S))
    n = np.arange(_KERNEL_BLOCKS)
    kernel = (1 - gone) ** 2 * (n + 1) * gone**n
    size = 1 << (len(rectified) + _KERNEL_BLOCKS).bit_length()
    smooth: Float = np.fft.irfft(np.fft.rfft(rectified, size) * np.fft.rfft(kernel, size), size)
    return smooth[: len(rectified)]


def _active_blocks(over: NDArray[np.bool_]) -> int:
    """Blocks that are over the threshold, or within the hangover after one that was."""
    since = np.cumsum(over)
    before = np.concatenate((np.zeros(_HANGOVER_BLOCKS, since.dtype), since))[: len(since)]
    return int(np.count_nonzero(since > before))
