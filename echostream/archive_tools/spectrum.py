"""What a recording looks like, in a bounded number of columns however long it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.archive.file_names import place_of
from echostream.archive.peaks import read_peaks
from echostream.archive.recording import Recording
from echostream.archive_tools.sound import as_far, open_audio
from echostream.audio.format import FULL_SCALE, Samples, silence
from echostream.errors import BrokenFile

MOST_COLUMNS: Final = 1600
HIGHEST_HZ: Final = 8000.0
_WINDOW_S: Final = 0.064
_HOP_S: Final = 0.0025
_LOOKS: Final = 8
"""Windows of which a column is the loudest, where it is long."""
_QUIETEST: Final = 1e-14
_READ: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Look:
    """levels_db: shape (frequencies from 0 to highest_hz, columns), a sine of full scale is 0.

    lowest, highest: of the waveform, ±1.0, any number over the same time. missing_s: could not be read.
    """

    levels_db: NDArray[np.float32]
    highest_hz: float
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    duration_s: float
    missing_s: float = 0.0
    behind_s: float = 0.0


def look_at(directory: Path, one: Recording) -> Look:
    """Reads it once. ArchiveError, OSError where it cannot be opened."""
    one = as_far(directory, one)
    with open_audio(directory, one) as reader:
        rate_hz = reader.rate_hz
        total = max(1, round(one.samples * rate_hz / one.rate_hz))
        size = 2 ** round(np.log2(rate_hz * _WINDOW_S))
        columns = int(min(MOST_COLUMNS, max(1, total / (rate_hz * _HOP_S))))
        edges = np.arange(columns + 1) * total // columns
        spectrum = _Columns(rate_hz, size, columns)
        lowest, highest = np.zeros(columns, np.int16), np.zeros(columns, np.int16)
        rest, begin = silence(0), 0
        for at in range(columns):
            while begin + rest.size < edges[at + 1] and (block := reader.read(_READ)).size:
                rest = np.concatenate([rest, block])
            column = rest[: edges[at + 1] - begin]
            rest, begin = rest[column.size :], begin + column.size
            if column.size:
                lowest[at], highest[at] = column.min(), column.max()
            spectrum.add(at, column)
    pairs = _peaks(directory, one, columns)
    lowest, highest = (lowest, highest) if pairs is None else (pairs[:, 0], pairs[:, 1])
    return Look(
        spectrum.levels_db(),
        spectrum.highest_hz,
        (lowest / FULL_SCALE).astype(np.float32),
        (highest / FULL_SCALE).astype(np.float32),
        one.samples / one.rate_hz,
        (total - begin) / rate_hz,
        size / rate_hz / 2,
    )


class _Columns:
    """The loudest of some windows of each column. Short columns look back at those before them."""

    def __init__(self, rate_hz: int, size: int, columns: int) -> None:
        self._size = size
        self._window = np.hanning(size).astype(np.float32)
        self._bins = min(size // 2, int(HIGHEST_HZ * size / rate_hz)) + 1
        self.highest_hz = (self._bins - 1) * rate_hz / size
        self._power = np.zeros((columns, self._bins), np.float32)
        self._before: Samples = silence(size)

    def add(self, at: int, column: Samples) -> None:
        """Shape (n,) int16."""
        if not column.size:
            return
        data = np.concatenate([self._before, column])
        self._before = data[-self._size :]
        looks = min(_LOOKS, max(1, column.size // self._size))
        starts = np.linspace(max(1, column.size // looks), column.size, looks).astype(np.int64)
        windows = data[starts[:, None] + np.arange(self._size)] / np.float32(FULL_SCALE)
        spectrum = np.fft.rfft(windows * self._window)[:, : self._bins]
        self._power[at] = (spectrum.real**2 + spectrum.imag**2).max(axis=0)

    def levels_db(self) -> NDArray[np.float32]:
        """Shape (frequencies, columns)."""
        scale = (2.0 / float(self._window.sum())) ** 2
        levels: NDArray[np.float32] = 10 * np.log10(np.maximum(self._power * scale, _QUIETEST)).T
        return levels


def _peaks(directory: Path, one: Recording, columns: int) -> NDArray[np.int16] | None:
    """The waveform that is stored beside it, where that is fine enough for a picture."""
    try:
        peaks = read_peaks(place_of(directory, one.path).peaks)
    except (OSError, BrokenFile):
        return None
    whole = len(peaks.pairs) // columns
    if whole < 1 or abs(len(peaks.pairs) / peaks.pairs_per_s - one.samples / one.rate_hz) > 1:
        return None
    return peaks.pairs
