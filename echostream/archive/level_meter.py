"""How loud a whole recording is, added up while it is written."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples

_FLOOR_DBFS: Final = -120.0


class WholeLevel:
    """Peak and RMS of everything that was added, in dB against ±32768."""

    def __init__(self) -> None:
        self._peak = 0
        self._energy = 0.0
        self._count = 0

    def add(self, samples: Samples) -> None:
        if not len(samples):
            return
        # argmax and argmin are plain C, at half the price of max and min; -32768 has no abs in int16.
        peak = max(samples.item(samples.argmax()), -samples.item(samples.argmin()))
        self._peak = max(self._peak, peak)
        wide = samples.astype(np.float32)
        self._energy += float(np.dot(wide, wide))
        self._count += len(samples)

    @property
    def peak_dbfs(self) -> float | None:
        """None: nothing was added."""
        return None if not self._count else _dbfs(self._peak / FULL_SCALE)

    @property
    def rms_dbfs(self) -> float | None:
        return None if not self._count else _dbfs(math.sqrt(self._energy / self._count) / FULL_SCALE)


def _dbfs(amplitude: float) -> float:
    return _FLOOR_DBFS if amplitude <= 0 else max(_FLOOR_DBFS, round(20 * math.log10(amplitude), 2))
