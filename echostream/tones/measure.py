"""What a tone is: its frequency, edges, level and how pure it is, from the samples around it.

Where a run of peaks says "perhaps here", the samples are turned down to 0 Hz at the run's frequency and summed over
cells of 10 ms. In cells the tone is one slowly turning vector: its rotation is the frequency (to the Cramér-Rao
bound), its length the level; noise, speech and music are what does not line up with it. The edges are the
most likely ones for a vector that is there between them and not outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tones.stream import EAR_RATE_HZ, Signal

Complex = NDArray[np.complex128]
Float = NDArray[np.float64]

CELL: Final = 80
CELL_S: Final = CELL / EAR_RATE_HZ
CELL_HZ: Final = EAR_RATE_HZ / CELL
"""Rate of the cells, and the width of band that they see: ± half of it."""
SEARCH_HZ: Final = 6.0
"""The frequency is looked for this far around the run's."""
REFERENCE_CELLS: Final = 25
"""The vector is taken as constant over 250 ms: slower changes (flutter, drift) are followed."""
HOLE_CELLS: Final = 18
"""A drop-out that does not end a tone: 180 ms."""
_PADDING: Final = 4


class Past:
    """The last seconds of the stream."""

    def __init__(self, seconds: float = 16.0) -> None:
        self._ring = np.zeros(int(seconds * EAR_RATE_HZ), np.float32)
        self.end = 0
        self.start = 0
        """Sample indices: of the first one held, and of the one to come."""

    def add(self, block: Signal) -> None:
        """Append; the oldest goes."""
        size = self._ring.size
        at = self.end % size
        first = min(block.size, size - at)
        self._ring[at : at + first] = block[:first]
        self._ring[: block.size - first] = block[first:]
        self.end += block.size
        self.start = max(self.start, self.end - size)

    def get(self, start: int, end: int) -> Signal:
        """Samples start to end - 1, both clipped to what is held."""
        start, end = max(start, self.start), min(end, self.end)
        if end <= start:
            return np.zeros(0, np.float32)
        size = self._ring.size
        a, b = start % size, (end - 1) % size + 1
        return self._ring[a:b] if a < b else np.concatenate((self._ring[a:], self._ring[:b]))

    def forget(self, position: int) -> None:
        """Audio was lost: what comes next is sample `position`."""
        self.start = self.end = position


@dataclass(frozen=True, slots=True)
class Measured:
    """A tone. start, end: samples. power: mean square while it sounds. hz_sigma: standard error of hz.

    purity: share of the tone in the power within ± 50 Hz of it. swing_db: standard deviation of its level over
    tenths of a second. jump_hz: largest step of the frequency inside (0 for one steady tone).
    """

    hz: float
    start: int
    end: int
    power: float
    purity: float
    swing_db: float
    hz_sigma: float
    sounding: bool

    @property
    def length_s(self) -> float:
        return (self.end - self.start) / EAR_RATE_HZ


def cells(signal: Signal, hz: float) -> Complex:
    """The signal turned down from hz to 0, mean over each cell: a tone of power p has cells of |c|² = p / 2."""
    count = signal.size // CELL
    turn = np.exp(-2j * math.pi * hz / EAR_RATE_HZ * np.arange(CELL)) / CELL
    basis = np.stack((turn.real, turn.imag), axis=1)
    parts = signal[: count * CELL].reshape(count, CELL).astype(np.float64) @ basis
    vector: Complex = parts[:, 0] + 1j * parts[:, 1]
    vector *= np.exp(-2j * math.pi * hz / EAR_RATE_HZ * CELL * np.arange(count))
    return vector


def finest_hz(vector: Complex, search_hz: float = SEARCH_HZ) -> float:
    """How fast the vector turns, Hz, within ± search_hz: the peak of its spectrum."""
    size = 1 << (vector.size * _PADDING - 1).bit_length()
    power = np.abs(np.fft.fft(vector, size)) ** 2
    reach = max(1, min(size // 2 - 1, math.ceil(search_hz / CELL_HZ * size)))
    near = np.concatenate((power[-reach:], power[: reach + 1]))
    top = int(np.argmax(near))
    offset = 0.0
    if 0 < top < near.size - 1:
        left, here, right = near[top - 1 : top + 2]
        bend = 2 * here - left - right
        offset = 0.5 * (right - left) / bend if bend > 0 else 0.0
    return (top - reach + offset) * CELL_HZ / size


def measure(past: Past, hz: float, first: int, last: int, core: tuple[int, int]) -> Measured | None:
    """The tone near hz whose edges lie between samples first and last, and which sounds from core[0] to core[1].

    None where there is no tone to speak of.
    """
    start = max(first, past.start)
    signal = past.get(start, last)
    count = signal.size // CELL
    if count < 4:
        return None
    vector = cells(signal, hz)
    inside = slice(max(0, (core[0] - start) // CELL), max(1, min(count, -(-(core[1] - start) // CELL))))
    if inside.stop - inside.start < 4:
        middle = min(max((inside.start + inside.stop) // 2, 2), count - 2)
        inside = slice(middle - 2, middle + 2)
    for _ in range(2):
        off = finest_hz(vector[inside])
        vector *= np.exp(-2j * math.pi * off * CELL_S * np.arange(count))
        hz += off
        edges = _edges(vector, inside)
        if edges.stop - edges.start < 4:
            return None
        inside = edges
    return _verdict(vector, inside, hz, start, sounding=inside.stop >= count - 1)


def _verdict(vector: Complex, inside: slice, hz: float, start: int, sounding: bool) -> Measured:
    tone = vector[inside]
    reference = _reference(tone)
    along = np.real(tone * np.conj(reference)) / np.maximum(np.abs(reference), 1e-15)
    on = along > 0.3 * np.median(along)  # drop-outs say nothing about level or purity
    kept = tone[on] if np.count_nonzero(on) >= 4 else tone
    steady = np.abs(reference[on] if np.count_nonzero(on) >= 4 else reference)
    power = float(np.mean(steady**2))
    total = float(np.mean(np.abs(kept) ** 2))
    noise = max(total - power, 1e-18)
    # A reference that is a mean over n cells holds 1/n of the noise.
    cells_a_mean = min(REFERENCE_CELLS, tone.size)
    power = max(power - noise / cells_a_mean, 1e-18)
    levels = _tenths(np.abs(kept) if total > 4 * noise else steady)
    swing = float(np.std(20 * np.log10(np.maximum(levels, 1e-9)))) if levels.size > 1 else 0.0
    length_s = tone.size * CELL_S
    over_noise = max(power / noise, 1e-6)
    sigma = math.sqrt(3 / (2 * math.pi**2 * length_s**2 * over_noise * tone.size))
    left = start + inside.start * CELL + _part(vector, inside.start, reference[0])
    right = start + inside.stop * CELL - _part(vector, inside.stop - 1, reference[-1])
    return Measured(hz, round(left), round(right), 2 * power, min(1.0, power / total), swing, sigma, sounding)


def _part(vector: Complex, at: int, reference: complex) -> float:
    """Samples of the edge's own cell in which the tone is not there."""
    share = float(np.real(vector[at] * np.conj(reference))) / max(abs(reference) ** 2, 1e-18)
    return CELL * (1.0 - min(1.0, max(0.0, share)))


def _tenths(levels: Float) -> Float:
    whole = levels.size // 10 * 10
    return levels[:whole].reshape(-1, 10).mean(axis=1) if whole else levels


def _reference(tone: Complex) -> Complex:
    """The slowly changing vector: its mean over 250 ms around each cell."""
    width = min(REFERENCE_CELLS, tone.size)
    total = np.concatenate(([0], np.cumsum(tone)))
    mean = (total[width:] - total[:-width]) / width
    lead = (width - 1) // 2
    return np.concatenate((np.full(lead, mean[0]), mean, np.full(tone.size - mean.size - lead, mean[-1])))


def _edges(vector: Complex, core: slice) -> slice:
    """The most likely cells of the tone, from the core outwards."""
    reference = _reference(vector[core])
    stop = _reach(vector, reference[-1], core.stop, vector.size)
    begin = _reach(vector[::-1], reference[0], vector.size - core.start, vector.size)
    # The core itself may reach beyond the tone: shrink to where the likelihood begins to rise.
    head = _likelihood(vector[core], reference[0])
    lost_head = int(np.argmin(np.concatenate(([0.0], np.cumsum(head)))[: max(1, head.size // 2)]))
    tail = _likelihood(vector[core][::-1], reference[-1])
    lost_tail = int(np.argmin(np.concatenate(([0.0], np.cumsum(tail)))[: max(1, tail.size // 2)]))
    left = vector.size - begin if vector.size - begin < core.start else core.start + lost_head
    right = stop if stop > core.stop else core.stop - lost_tail
    return slice(left, right)


def _likelihood(vector: Complex, reference: complex) -> Float:
    """Of "the tone is here" over "it is not", a cell, in units that the noise alone scales."""
    lean: Float = np.real(vector * np.conj(reference)) - 0.5 * abs(reference) ** 2
    return lean


def _reach(vector: Complex, reference: complex, start: int, end: int) -> int:
    """How far the tone goes on from cell `start`: the last cell of the most likely stretch, drop-outs bridged."""
    lean = _likelihood(vector[start:end], reference)
    if not lean.size:
        return start
    total = np.cumsum(lean)
    best = int(np.argmax(total))
    return start + best + 1 if total[best] > 0 else start
