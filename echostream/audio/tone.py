"""A short beep: the courtesy tone before the radio's line drops."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples

EDGE_MS: Final = 5.0
"""Raised-cosine rise and fall: short enough to sound crisp, long enough not to click."""
MAX_LENGTH_MS: Final = 10_000.0
MIN_LEVEL_DBFS: Final = -120.0


def beep(frequency_hz: float, length_ms: float, level_dbfs: float, rate_hz: int = RATE_HZ) -> Samples:
    """A sine of length_ms with raised-cosine edges of EDGE_MS (half the length where it is shorter).

    level_dbfs is the sine's peak against ±32768. Shape (round(length_ms * rate_hz / 1000),), int16.
    ValueError for what cannot be made.
    """
    _check(frequency_hz, length_ms, level_dbfs, rate_hz)
    count = round(length_ms * rate_hz / 1000)
    n = np.arange(count)
    wave = np.sin((2 * math.pi * frequency_hz / rate_hz) * n) * _envelope(count, rate_hz)
    peak = min(FULL_SCALE * 10 ** (level_dbfs / 20), FULL_SCALE - 1)
    rounded: Samples = np.rint(wave * peak).astype(np.int16)
    return rounded


def _envelope(count: int, rate_hz: int) -> NDArray[np.float64]:
    edge = max(1, min(round(EDGE_MS * rate_hz / 1000), count // 2))
    n = np.arange(count)
    # Distance to the nearer end, the first and the last sample counting as 0.
    nearer = np.minimum(np.minimum(n, count - 1 - n) / edge, 1.0)
    envelope: NDArray[np.float64] = 0.5 - 0.5 * np.cos(math.pi * nearer)
    return envelope


def _check(frequency_hz: float, length_ms: float, level_dbfs: float, rate_hz: int) -> None:
    if rate_hz <= 0:
        raise ValueError(f"rate_hz {rate_hz}: expected more than 0")
    if not 0 < frequency_hz < rate_hz / 2:
        raise ValueError(f"frequency_hz {frequency_hz}: expected more than 0 and less than {rate_hz / 2:g}")
    if not 0 < length_ms <= MAX_LENGTH_MS:
        raise ValueError(f"length_ms {length_ms}: expected more than 0 and at most {MAX_LENGTH_MS:g}")
    if not MIN_LEVEL_DBFS <= level_dbfs <= 0:
        raise ValueError(f"level_dbfs {level_dbfs}: expected {MIN_LEVEL_DBFS:g} to 0")
