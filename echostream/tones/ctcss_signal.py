"""The sub-audible band of the stream at 1 kHz, and what one frequency does in it, by cells of 32 ms.

A cell is the signal turned down from that frequency to 0 Hz under a Hann window of 64 ms: it sees ± 15 Hz
around it and nothing 31 Hz away. A steady tone makes all cells the same vector; voice, music and noise do
not.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Signal

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]

DOWN: Final = 8
RATE_HZ: Final = EAR_RATE_HZ // DOWN
STEP: Final = BLOCK_SAMPLES // DOWN
"""Samples of a block at 1 kHz."""
KEPT: Final = 16 * STEP
"""What is looked back on: 1.024 s."""
CELL: Final = STEP // 2
CELL_S: Final = CELL / RATE_HZ
WIDTH: Final = 2 * CELL
"""Samples from one cell to the next, and under one cell's window."""
CELLS: Final = (KEPT - WIDTH) // CELL + 1
"""In what is kept."""
SIDE_HZ: Final = RATE_HZ / WIDTH * 2
"""So far off, a tone is not seen by a cell at all."""
CELL_NOISE_HZ: Final = 1.5 * RATE_HZ / WIDTH
"""Width of a cell's band for noise."""

_TAPS: Final = 96
_BAND_FROM_HZ, _BAND_TO_HZ = 60.0, 270.0
_PASS_TO_HZ, _STOP_FROM_HZ = 260.0, 740.0
_LATE: Final = (_TAPS - 1) / 2


def _low_pass(beta: float = 7.0) -> NDArray[np.float32]:
    """Kaiser-windowed sinc: even to 260 Hz, -70 dB from 740 Hz, which is what would fold onto the band."""
    t = np.arange(_TAPS) - _LATE
    corner = (_PASS_TO_HZ + _STOP_FROM_HZ) / EAR_RATE_HZ
    taps = corner * np.sinc(corner * t) * np.kaiser(_TAPS, beta)
    even: NDArray[np.float32] = (taps / taps.sum()).astype(np.float32)
    return even


_HANN: Final = (0.5 - 0.5 * np.cos(2 * math.pi * (np.arange(WIDTH) + 0.5) / WIDTH)) / (0.5 * WIDTH)
_T: Final = np.arange(WIDTH) - (WIDTH - 1) / 2


def _basis(frequencies_hz: tuple[float, ...]) -> Float:
    turns = [_HANN * np.exp((-2j * math.pi * hz / RATE_HZ) * _T) for hz in frequencies_hz]
    return np.stack([part for turn in turns for part in (turn.real, turn.imag)], axis=1)


class Tuned:
    """To one frequency, for the cells of block after block."""

    def __init__(self, hz: float) -> None:
        self.hz = hz
        self.basis = _basis((hz, hz - SIDE_HZ, hz + SIDE_HZ))


class SubAudible:
    """The last 1.024 s of the stream, at 1 kHz. `end`: index at 8 kHz of the next sample to come in."""

    def __init__(self) -> None:
        self._taps = _low_pass()
        lead = _TAPS - DOWN
        self._input = np.zeros(lead + BLOCK_SAMPLES, np.float32)
        step = self._input.itemsize
        self._rows = as_strided(self._input, (STEP, _TAPS), (DOWN * step, step), writeable=False)
        self.kept: Float = np.zeros(KEPT)
        self.end = 0
        row = self.kept.itemsize
        self._cells = as_strided(self.kept, (CELLS, WIDTH), (CELL * row, row), writeable=False)

    def add(self, block: Signal) -> None:
        """The next 512 samples."""
        self._input[:-BLOCK_SAMPLES] = self._input[BLOCK_SAMPLES:]
        self._input[-BLOCK_SAMPLES:] = block
        self.kept[:-STEP] = self.kept[STEP:]
        self.kept[-STEP:] = self._rows @ self._taps
        self.end += BLOCK_SAMPLES

    def forget(self, position: int) -> None:
        """What comes next is sample `position`; before it was silence."""
        self._input[:] = 0
        self.kept[:] = 0
        self.end = position

    def cells(self, hz: float) -> Complex:
        """All cells at hz: shape (CELLS,). A steady tone of amplitude A makes vectors of length A / 2.

        Phases count from sample 0 of the stream, so that the cells of one block go on from those of the last.
        """
        found = self._cells @ _basis((hz,))
        number = self._number(np.arange(CELLS))
        turned: Complex = (found[:, 0] + 1j * found[:, 1]) * np.exp((-2j * math.pi * hz * CELL_S) * number)
        return turned

    def newest(self, tuned: Tuned) -> tuple[list[complex], list[float]]:
        """The two cells of the last block, as `cells` has them; power of what a cell sees beside each."""
        found = self._cells[-2:] @ tuned.basis
        squares = found[:, 2:] ** 2
        number = self._number(np.arange(CELLS - 2, CELLS))
        turned = (found[:, 0] + 1j * found[:, 1]) * np.exp((-2j * math.pi * tuned.hz * CELL_S) * number)
        return turned.tolist(), (0.5 * squares.sum(axis=1)).tolist()

    def _number(self, cell: NDArray[np.intp]) -> NDArray[np.intp]:
        return cell + (self.end - KEPT * DOWN) // (CELL * DOWN)

    def power(self, cells: int) -> tuple[float, float]:
        """What is in the band (60 to 270 Hz) in the last cells: mean square, and the noise in each Hz.

        The noise is what lies between the lines (the median of the spectrum).
        """
        size = (cells + 1) * CELL
        window = np.hanning(size)
        spectrum = np.fft.rfft(self.kept[-size:] * window)
        first, last = (round(hz * size / RATE_HZ) for hz in (_BAND_FROM_HZ, _BAND_TO_HZ))
        inside = spectrum[first : last + 1]
        power = (inside.real**2 + inside.imag**2) * (2 / (size * float(window @ window)))
        between = float(np.median(power)) / math.log(2)
        return float(power.sum()), between * size / RATE_HZ

    def sample_of(self, cell: float) -> int:
        """Sample index at 8 kHz of the middle of a cell (counted from the first one kept)."""
        back = KEPT - (cell * CELL + WIDTH / 2)
        return max(0, round(self.end - back * DOWN - _LATE + DOWN - 1))
