"""A picture's worth of a sound of any length, in bounded memory: level by time and frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tone_tools.sound_files import Float32

HIGHEST_HZ: Final = 3600.0
MOST_COLUMNS: Final = 4000
_WINDOW_S: Final = 0.064
_HOP_S: Final = 0.016
_QUIETEST: Final = 1e-14


@dataclass(frozen=True, slots=True)
class Picture:
    """levels_db: shape (frequencies, times), a sine of full scale is 0. column_s: seconds of one column."""

    levels_db: NDArray[np.float32]
    column_s: float
    duration_s: float
    highest_hz: float


class Spectrogram:
    """Fed with blocks of any size. Where columns become too many, each two become one, the louder of both."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._size = max(64, round(rate_hz * _WINDOW_S))
        self._hop = max(16, round(rate_hz * _HOP_S))
        self._window = np.hanning(self._size).astype(np.float32)
        self._scale = np.float32((2.0 / float(self._window.sum())) ** 2)
        self._bins = int(HIGHEST_HZ / rate_hz * self._size) + 1
        self._rest = np.zeros(self._size // 2, np.float32)
        self._columns: NDArray[np.float32] = np.zeros((MOST_COLUMNS, self._bins), np.float32)
        self._count = 0
        self._of_column = 1
        self._open: NDArray[np.float32] = np.zeros(self._bins, np.float32)
        self._in_open = 0
        self._samples = 0

    def add(self, block: Float32) -> None:
        """Shape (n,), ±1.0."""
        self._samples += block.size
        data = np.concatenate((self._rest, block))
        count = max(0, (data.size - self._size) // self._hop + 1)
        for first in range(0, count, 64):
            many = min(64, count - first)
            starts = (first + np.arange(many))[:, None] * self._hop + np.arange(self._size)
            spectrum = np.fft.rfft(data[starts] * self._window)[:, : self._bins]
            for column in (spectrum.real**2 + spectrum.imag**2) * self._scale:
                self._take(column)
        self._rest = data[count * self._hop :]

    def _take(self, column: NDArray[np.float32]) -> None:
        np.maximum(self._open, column, out=self._open)
        self._in_open += 1
        if self._in_open < self._of_column:
            return
        self._columns[self._count] = self._open
        self._count += 1
        self._open[:] = 0.0
        self._in_open = 0
        if self._count == MOST_COLUMNS:
            half = MOST_COLUMNS // 2
            self._columns[:half] = self._columns.reshape(half, 2, -1).max(axis=1)
            self._count = half
            self._of_column *= 2

    def result(self) -> Picture:
        """What was seen so far."""
        columns = self._columns[: max(1, self._count)].T
        return Picture(
            levels_db=10 * np.log10(np.maximum(columns, _QUIETEST)),
            column_s=self._of_column * self._hop / self._rate_hz,
            duration_s=self._samples / self._rate_hz,
            highest_hz=self._bins * self._rate_hz / self._size,
        )
