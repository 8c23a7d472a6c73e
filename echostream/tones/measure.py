"""What a tone is: its frequency, edges, level and how pure it is, from the samples around it.

Where a run of peaks says "perhaps here", the samples are turned down to 0 Hz at the run's frequency and
summed over cells of 10 ms. In cells the tone is one slowly turning vector: its rotation is the frequency (to
the Cramér-Rao bound), its length the level; noise, speech and music are what does not line up with it. The
edges are the most likely ones for a vector that is there between them and not outside.
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
WANDER: Final = 0.7
"""Radians by which a phase may wander over a tone before it is followed."""
LOUDER: Final = 3.5
"""A cell with this many times the usual magnitude is something else than the tone."""
LEAST_CELLS: Final = 5
"""Shorter is no tone here."""
HERE: Final = 0.35
"""Part of the tone's vector that speaks for "it sounds" in a cell."""
HOLE_CELLS: Final = 20
"""A drop-out of this many cells does not end a tone, where PROOF_CELLS after it are sure."""
PROOF_CELLS: Final = 6
MOST_TURN: Final = 0.5
"""Radians between the halves of a proof."""
DROPPED: Final = 0.3
"""A cell with less than this of the tone is a drop-out."""
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
    """A tone. start, end: samples. power: mean square while it sounds. noise: power of the noise in 0-4 kHz.

    purity: share of the tone in what is within ± 50 Hz of it, less what the noise explains. swing_db:
    standard deviation of its level over tenths of a second. hz_sigma: standard error of hz. sounding: no end
    was seen. energy: of the tone over the noise in its own band, summed over its length (E/N0; 14 dB and more
    for sure).
    """

    hz: float
    start: int
    end: int
    power: float
    noise: float
    purity: float
    swing_db: float
    hz_sigma: float
    energy: float
    sounding: bool

    @property
    def length_s(self) -> float:
        """Between its edges."""
        return (self.end - self.start) / EAR_RATE_HZ

    @property
    def snr_db(self) -> float:
        """Tone power over noise power in 0-4 kHz."""
        return 10 * math.log10(max(self.power, 1e-15) / max(self.noise, 1e-15))

    @property
    def level_dbfs(self) -> float:
        """RMS; a sine of full scale is -3.01."""
        return 10 * math.log10(max(self.power, 1e-15))


def cells(signal: Signal, hz: float) -> Complex:
    """Turned down from hz to 0 and averaged over each cell: a tone of power p makes cells of |c|² = p / 2."""
    count = signal.size // CELL
    turn = np.exp(-2j * math.pi * hz / EAR_RATE_HZ * np.arange(CELL)) / CELL
    basis = np.stack((turn.real, turn.imag), axis=1)
    parts = signal[: count * CELL].reshape(count, CELL).astype(np.float64) @ basis
    vector: Complex = parts[:, 0] + 1j * parts[:, 1]
    vector *= np.exp(-2j * math.pi * hz * CELL_S * np.arange(count))
    return vector


def turn_hz(vector: Complex, search_hz: float = SEARCH_HZ) -> float:
    """How fast the vector turns, Hz, within ± search_hz: the peak of its spectrum."""
    size = 1 << (vector.size * _PADDING - 1).bit_length()
    spectrum = np.fft.fft(vector, size)
    power = spectrum.real**2 + spectrum.imag**2
    reach = max(1, min(size // 2 - 1, math.ceil(search_hz / CELL_HZ * size)))
    near = np.concatenate((power[-reach:], power[: reach + 1]))
    top = int(np.argmax(near))
    offset = 0.0
    if 0 < top < near.size - 1:
        left, here, right = near[top - 1 : top + 2].tolist()
        bend = 2 * here - left - right
        offset = 0.5 * (right - left) / bend if bend > 0 else 0.0
    return (top - reach + offset) * CELL_HZ / size


def measure(
    past: Past, hz: float, first: int, last: int, core: tuple[int, int], noise: float
) -> Measured | None:
    """The tone near hz whose edges lie between samples first and last; it sounds from core[0] to core[1].

    noise: power of the noise around it in 0-4 kHz. None where there is no tone to speak of.
    """
    start = max(first, past.start)
    signal = past.get(start, last)
    count = signal.size // CELL
    if count < LEAST_CELLS:
        return None
    vector = cells(signal - signal.mean(), hz)
    low = min(max(0, (core[0] - start) // CELL), count - LEAST_CELLS)
    inside = slice(low, min(count, max(low + LEAST_CELLS, -(-(core[1] - start) // CELL))))
    vector = _tamed(vector, inside)
    for _ in range(2):
        off = turn_hz(vector[inside])
        vector *= np.exp(-2j * math.pi * off * CELL_S * np.arange(count))
        hz += off
        inside = _edges(_flat(vector, inside), inside)
        if inside.stop - inside.start < LEAST_CELLS:
            return None
    return _verdict(vector, inside, hz, start, noise)


def _tamed(vector: Complex, inside: slice) -> Complex:
    """Without cells far louder than the tone (speech around it, a click): they count as drop-outs."""
    length = np.abs(vector)
    usual = float(np.median(length[inside]))
    loud = length > LOUDER * usual
    return np.where(loud, 0.0, vector) if loud.any() else vector


def _flat(vector: Complex, inside: slice) -> Complex:
    """The vector with the slow wandering of its phase taken out: a transmitter that drifts, a fading path."""
    phase = np.unwrap(np.angle(_reference(vector[inside])))
    if phase.size < 2 * REFERENCE_CELLS or float(np.ptp(phase)) < WANDER:
        return vector
    # Outside the core the phase goes on as it went at the core's ends.
    lead, tail = phase[REFERENCE_CELLS] - phase[0], phase[-1] - phase[-1 - REFERENCE_CELLS]
    before = phase[0] - lead / REFERENCE_CELLS * np.arange(inside.start, 0, -1)
    after = phase[-1] + tail / REFERENCE_CELLS * np.arange(1, vector.size - inside.stop + 1)
    flat: Complex = vector * np.exp(-1j * np.concatenate((before, phase, after)))
    return flat


def _verdict(vector: Complex, inside: slice, hz: float, start: int, noise: float) -> Measured:
    tone = vector[inside]
    reference = _reference(tone)
    length = np.abs(reference)
    along = np.real(tone * np.conj(reference)) / np.maximum(length, 1e-15)
    on = along > DROPPED * float(np.median(along))  # drop-outs say nothing about level or purity
    if np.count_nonzero(on) < LEAST_CELLS:
        on = np.ones(tone.size, bool)
    elif not on.all():
        reference = _reference(tone, on)
        length = np.abs(reference)
    total = float(np.mean(np.abs(tone[on]) ** 2))
    # What does not line up with the slow vector, counted across it: a fading path makes a tone weaker and
    # stronger along it, a voice or a chord turns it. A mean over n cells still holds 1/n of it.
    across = np.imag(tone[on] * np.conj(reference[on])) / np.maximum(length[on], 1e-15)
    width = min(REFERENCE_CELLS, tone.size)
    stray = min(2 * float(np.mean(across**2)) * width / max(width - 1, 1), total)
    power = max(total - stray, 1e-18)
    expected = noise * CELL_HZ / EAR_RATE_HZ  # half of that band's power is in each of two directions
    unexplained = max(0.0, stray - 1.3 * expected)
    levels = _tenths(length[on])
    swing = float(np.std(20 * np.log10(np.maximum(levels, 1e-9)))) if levels.size > 1 else 0.0
    energy = power / max(stray, expected, 1e-18) * int(np.count_nonzero(on))
    sigma = math.sqrt(3 / (2 * math.pi**2 * energy)) / (tone.size * CELL_S)
    left = start + inside.start * CELL + _part(vector, inside.start, complex(reference[0]))
    right = start + inside.stop * CELL - _part(vector, inside.stop - 1, complex(reference[-1]))
    return Measured(
        hz=hz,
        start=round(left),
        end=round(right),
        power=2 * power,
        noise=noise,
        purity=power / (power + unexplained),
        swing_db=swing,
        hz_sigma=sigma,
        energy=energy,
        sounding=inside.stop >= vector.size - 1,
    )


def _part(vector: Complex, at: int, reference: complex) -> float:
    """Samples of the edge's own cell in which the tone is not there."""
    share = float(np.real(vector[at] * np.conj(reference))) / max(abs(reference) ** 2, 1e-18)
    return CELL * (1.0 - min(1.0, max(0.0, share)))


def _tenths(levels: Float) -> Float:
    whole = levels.size // 10 * 10
    tenths: Float = levels[:whole].reshape(-1, 10).mean(axis=1) if whole else levels
    return tenths


def _reference(tone: Complex, on: NDArray[np.bool_] | None = None) -> Complex:
    """The slowly changing vector: its mean over 250 ms around each cell, over those that are on."""
    width = min(REFERENCE_CELLS, tone.size)
    total = np.concatenate(([0], np.cumsum(tone if on is None else tone * on)))
    mean = total[width:] - total[:-width]
    if on is None:
        mean /= width
    else:
        count = np.concatenate(([0], np.cumsum(on)))
        mean /= np.maximum(count[width:] - count[:-width], 1)
    lead = (width - 1) // 2
    rest = tone.size - mean.size - lead
    return np.concatenate((np.full(lead, mean[0]), mean, np.full(rest, mean[-1])))


def _edges(vector: Complex, core: slice) -> slice:
    """The most likely cells of the tone: each edge is looked for from the middle of the core outwards."""
    middle = (core.start + core.stop) // 2
    tone = vector[core]
    half = min(REFERENCE_CELLS, tone.size)
    # The strongest quarter second on each side of the middle: an edge or a drop-out must not dilute it.
    total = np.concatenate(([0], np.cumsum(tone)))
    means = (total[half:] - total[:-half]) / half
    split = max(1, means.size // 2)
    head = means[int(np.argmax(np.abs(means[:split])))]
    tail = means[means.size - split + int(np.argmax(np.abs(means[means.size - split :])))]
    right = middle + _reach(vector[middle:], complex(tail))
    left = middle - _reach(vector[:middle][::-1], complex(head))
    return slice(left, right)


def _reach(vector: Complex, reference: complex) -> int:
    """How many cells the tone goes on for: the most likely number, then past drop-outs."""
    if not vector.size or not reference:
        return 0
    turned = vector * np.conj(reference) / abs(reference) ** 2
    along = turned.real
    reached = _likely(along)
    while reached and reached + PROOF_CELLS <= along.size:
        after = along[reached : reached + HOLE_CELLS + PROOF_CELLS]
        means = np.convolve(after, np.full(PROOF_CELLS, 1 / PROOF_CELLS), "valid")
        best = int(np.argmax(means))
        spread = float(np.std(along[:reached])) / math.sqrt(PROOF_CELLS)
        if means[best] < HERE + 4 * spread or _turns(turned[reached + best :][:PROOF_CELLS]):
            break
        more = _likely(along[reached + best :])
        if not more:
            break
        reached += best + more
    return reached


def _turns(stretch: Complex) -> bool:
    """It is not this tone but one some hertz beside it, whose vector turns against this one's."""
    half = stretch.size // 2
    between = complex(np.sum(stretch[half:]) * np.conj(np.sum(stretch[:half])))
    return abs(math.atan2(between.imag, between.real)) > MOST_TURN


def _likely(along: Float) -> int:
    # Log-likelihood of "here" over "not here", in units that the noise alone scales; a half would be right
    # for a tone of one level, and a fading one has weaker stretches.
    total = np.cumsum(along - HERE)
    best = int(np.argmax(total))
    return best + 1 if total[best] > 0 else 0
