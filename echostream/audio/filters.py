"""Linear filters on the way in and on the way out: gain, high-pass, pre-emphasis and de-emphasis.

An IIR filter is a recurrence over samples, which numpy cannot run sample by sample at a bearable cost.
So it runs in state-space form over sub-blocks of SUB_BLOCK samples: what a sub-block adds to its own
output and to the state at its end is one matrix product for all sub-blocks at once, and the few state
vectors at the sub-block borders follow from another. The result is that of the recurrence to the last
digits of float64, whatever the lengths of the blocks it is fed with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]

LOWEST_CORNER_HZ: Final = 1.0
"""Below it the poles come so close to 1 that float64 loses digits, and nothing audible is there."""
SUB_BLOCK: Final = 48
"""Samples; divides every frame length."""
_BORDER_VALUES: Final = 90
"""State values in one product: 90 x 90 is as large as OpenBLAS still multiplies on the calling core alone,
and with two sections enough for 20 ms at 48 kHz. Longer blocks take several products."""
_NEGLIGIBLE_POWER: Final = 1e-30
"""A state this small is silence; cleared, it never decays into denormal numbers, which cost far more time."""


class Biquad(NamedTuple):
    """Second-order section (b0 + b1/z + b2/z²) / (1 + a1/z + a2/z²)."""

    b0: float
    b1: float
    b2: float
    a1: float
    a2: float

    def gain_at(self, frequency_hz: float, rate_hz: int) -> float:
        """Magnitude of the response at one frequency, linear."""
        z = np.exp(-2j * math.pi * frequency_hz / rate_hz)
        top = self.b0 + self.b1 * z + self.b2 * z * z
        return float(abs(top / (1 + self.a1 * z + self.a2 * z * z)))

    def scaled(self, gain: float) -> Biquad:
        """The same section with another overall gain (linear)."""
        return self._replace(b0=self.b0 * gain, b1=self.b1 * gain, b2=self.b2 * gain)


def high_pass(corner_hz: float, rate_hz: int = RATE_HZ) -> Biquad:
    """Second-order Butterworth high-pass, -3.01 dB at corner_hz (bilinear transform, prewarped there).

    ValueError unless LOWEST_CORNER_HZ <= corner_hz < rate_hz / 2.
    """
    if not LOWEST_CORNER_HZ <= corner_hz < rate_hz / 2:
        raise ValueError(
            f"corner_hz {corner_hz}: expected at least {LOWEST_CORNER_HZ:g} and less than {rate_hz / 2:g}"
        )
    k = math.tan(math.pi * corner_hz / rate_hz)
    norm = 1 / (1 + math.sqrt(2) * k + k * k)
    return Biquad(norm, -2 * norm, norm, 2 * (k * k - 1) * norm, (1 - math.sqrt(2) * k + k * k) * norm)


# Two-way FM radio: 6 dB per octave between 300 and 3000 Hz, told against 1000 Hz; tolerance +1/-3 dB.
# (TIA-603-E, audio frequency response of transmitter and receiver; ETSI EN 300 086 asks for the same slope.)
# A resonance far outside that band has exactly these slopes inside it, and rolls off beyond it on the side
# where a bare integrator or differentiator would grow without end: de-emphasis does not blow up hum and
# CTCSS, pre-emphasis does not blow up hiss. With this Q the slope is true to 0.2 dB in the voice band.
_DE_EMPHASIS_PEAK_HZ: Final = 200.0
_PRE_EMPHASIS_PEAK_HZ: Final = 4500.0
_EMPHASIS_Q: Final = 0.8
_EMPHASIS_REFERENCE_HZ: Final = 1000.0


def de_emphasis(rate_hz: int = RATE_HZ) -> Biquad:
    """-6 dB per octave from 300 to 3000 Hz, 0 dB at 1 kHz (TIA-603-E); falls off below 200 Hz.

    Highest gain 12 dB, at 200 Hz. ValueError below 16 kHz, where the slope no longer fits.
    """
    return _emphasis(_DE_EMPHASIS_PEAK_HZ, rate_hz)


def pre_emphasis(rate_hz: int = RATE_HZ) -> Biquad:
    """+6 dB per octave from 300 to 3000 Hz, 0 dB at 1 kHz: undoes de_emphasis there; falls off above 4.5 kHz.

    Highest gain 11 dB, at 4.5 kHz. ValueError below 16 kHz.
    """
    return _emphasis(_PRE_EMPHASIS_PEAK_HZ, rate_hz)


def _emphasis(peak_hz: float, rate_hz: int) -> Biquad:
    if rate_hz < 16_000:
        raise ValueError(f"rate_hz {rate_hz}: expected 16000 or more")
    k = math.tan(math.pi * peak_hz / rate_hz)
    norm = 1 / (1 + k / _EMPHASIS_Q + k * k)
    band = k / _EMPHASIS_Q * norm
    section = Biquad(band, 0.0, -band, 2 * (k * k - 1) * norm, (1 - k / _EMPHASIS_Q + k * k) * norm)
    return section.scaled(1 / section.gain_at(_EMPHASIS_REFERENCE_HZ, rate_hz))


def _state_space(sections: Sequence[Biquad]) -> tuple[Float64, Float64, Float64, float]:
    """The cascade as x' = A x + B u, y = C x + D u; each section in transposed direct form II, two states."""
    a, b, c, d = np.zeros((0, 0)), np.zeros(0), np.zeros(0), 1.0
    for s in sections:
        own_a = np.array([[-s.a1, 1.0], [-s.a2, 0.0]])
        own_b = np.array([s.b1 - s.a1 * s.b0, s.b2 - s.a2 * s.b0])
        a = np.block([[a, np.zeros((len(a), 2))], [np.outer(own_b, c), own_a]])
        b = np.concatenate([b, own_b * d])
        c = np.concatenate([s.b0 * c, [1.0, 0.0]])
        d *= s.b0
    return a, b, c, d


def _border_matrix(step: Float64, count: int) -> Float64:
    """Maps [first state, what sub-block 0 adds, what sub-block 1 adds, ...] to the state at each border."""
    order = len(step)
    matrix = np.zeros((count, order, count, order))
    power = np.eye(order)
    for distance in range(count):
        for k in range(distance, count):
            matrix[k, :, k - distance, :] = power
        power = power @ step
    return matrix.reshape(count * order, count * order)


class BiquadChain:
    """A cascade of second-order sections, causal, with its state carried from block to block."""

    def __init__(self, sections: Sequence[Biquad]) -> None:
        """At least one section, at most four. ValueError otherwise, or if one is unstable."""
        if not 1 <= len(sections) <= 4:
            raise ValueError(f"{len(sections)} sections: expected 1 to 4")
        for s in sections:
            if not (abs(s.a2) < 1 and abs(s.a1) < 1 + s.a2):
                raise ValueError(f"{s}: unstable, a pole lies on or outside the unit circle")
        a, b, c, d = _state_space(sections)
        order, size = len(a), SUB_BLOCK
        powers = np.empty((size + 1, order, order))
        powers[0] = np.eye(order)
        for k in range(size):
            powers[k + 1] = powers[k] @ a
        # Row j: the state that an impulse at sample j of a sub-block leaves at its end.
        to_state = powers[size - 1 :: -1] @ b
        response = np.concatenate([[d], (powers[: size - 1] @ b) @ c])
        lag = np.arange(size)[None, :] - np.arange(size)[:, None]
        forced = np.where(lag >= 0, response[np.maximum(lag, 0)], 0.0)
        self._to_state = to_state
        # One product for both: a row of samples with its sub-block's first state -> that row's output.
        self._to_output: Float64 = np.vstack([forced, (c @ powers[:size]).T])
        self._powers = powers
        self._most_rows = _BORDER_VALUES // order - 1
        self._borders = _border_matrix(powers[size], self._most_rows + 1)
        self._order = order
        self._state = np.zeros(order)
        self._desk = _Desk(0, self._borders, order)

    def process(self, x: NDArray[Any]) -> Float64:
        """Filter one block: shape (n,), any real dtype, any n. Returns shape (n,), float64.

        The input must be finite: a NaN stays in the state until reset().
        """
        if x.size == self._desk.size:
            return self._whole(x)
        longest = SUB_BLOCK * self._most_rows
        if x.size <= longest:
            return self._any_size(x)
        # In parts of one length, as far as possible, so that all of them use the same desk.
        parts = -(-x.size // longest)
        length = -(-x.size // (parts * SUB_BLOCK)) * SUB_BLOCK
        return np.concatenate([self.process(x[at : at + length]) for at in range(0, x.size, length)])

    def reset(self) -> None:
        """Forget the past: after a gap in the audio."""
        self._state = np.zeros(self._order)

    def _any_size(self, u: NDArray[Any]) -> Float64:
        rows = u.size // SUB_BLOCK
        if rows != self._desk.rows:
            self._desk = _Desk(rows, self._borders, self._order)
        whole = rows * SUB_BLOCK
        if whole == u.size:
            return self._whole(u)
        return np.concatenate([self._whole(u[:whole]), self._part(u[whole:].astype(np.float64))])

    def _whole(self, u: NDArray[Any]) -> Float64:
        """As many sub-blocks as the desk has rows, at once."""
        desk = self._desk
        # np.dot, which goes straight to BLAS: the @ operator's way there costs several times as much.
        desk.samples[...] = u.reshape(desk.rows, SUB_BLOCK)
        desk.state_before[...] = self._state
        np.dot(desk.samples, self._to_state, out=desk.added)
        np.dot(desk.borders, desk.all_added, out=desk.all_states)
        desk.states[...] = desk.states_found
        self._state = desk.state_after
        if float(self._state.dot(self._state)) < _NEGLIGIBLE_POWER:
            self._state = np.zeros(self._order)
        y: Float64 = np.dot(desk.input, self._to_output)
        return y.ravel()

    def _part(self, u: Float64) -> Float64:
        """The rest that does not fill a sub-block."""
        n = u.size
        state = self._state
        self._state = self._powers[n] @ state + u @ self._to_state[SUB_BLOCK - n :]
        y: Float64 = u @ self._to_output[:n, :n] + state @ self._to_output[SUB_BLOCK:, :n]
        return y


class _Desk:
    """Where blocks of `rows` sub-blocks are worked on: arrays, and views of them, made once.

    Woken fifty times a second with cold caches, making arrays and views anew cost a third of the filter.
    """

    def __init__(self, rows: int, borders: Float64, order: int) -> None:
        self.rows = rows
        self.size = rows * SUB_BLOCK
        self.input = np.zeros((rows, SUB_BLOCK + order))
        """A row for each sub-block: its samples, and the state before the first of them."""
        self.samples = self.input[:, :SUB_BLOCK]
        self.states = self.input[:, SUB_BLOCK:]
        count = (rows + 1) * order
        self.borders: Float64 = np.ascontiguousarray(borders[:count, :count])
        self.all_added = np.zeros(count)
        """The state before the block, then what each sub-block adds to the state."""
        self.state_before = self.all_added[:order]
        self.added = self.all_added[order:].reshape(rows, order)
        self.all_states = np.zeros(count)
        """The state before each sub-block, then that after the block."""
        self.states_found = self.all_states[:-order].reshape(rows, order)
        self.state_after = self.all_states[-order:]


class _GainAndFilters:
    """A gain and some sections in one pass; with neither it only changes the type."""

    def __init__(self, gain_db: float, sections: Sequence[Biquad]) -> None:
        if not -120.0 <= gain_db <= 120.0:
            raise ValueError(f"gain_db {gain_db}: expected -120 to 120")
        gain = 10 ** (gain_db / 20)
        self._gain = np.float32(gain)
        self._unity = gain_db == 0
        self._chain = BiquadChain([sections[0].scaled(gain), *sections[1:]]) if sections else None

    def process(self, x: NDArray[Any]) -> Float32:
        """Shape (n,), int16 or float32 in its units -> float32, same shape; may exceed ±32768 (limit it)."""
        if self._chain is not None:
            return self._chain.process(x).astype(np.float32)
        if self._unity:
            return x.astype(np.float32)
        scaled: Float32 = np.multiply(x, self._gain, dtype=np.float32)
        return scaled

    def reset(self) -> None:
        """Forget the past: after a gap in the audio."""
        if self._chain is not None:
            self._chain.reset()


class InputFilter(_GainAndFilters):
    """What a captured frame goes through before anything else looks at it."""

    def __init__(
        self,
        gain_db: float = 0.0,
        high_pass_hz: float = 0.0,
        de_emphasis: bool = False,
        rate_hz: int = RATE_HZ,
    ) -> None:
        """high_pass_hz from 0 to below LOWEST_CORNER_HZ: no high-pass. ValueError for a gain, corner or
        rate that cannot be meant."""
        without = 0 <= high_pass_hz < LOWEST_CORNER_HZ
        sections = [] if without else [high_pass(high_pass_hz, rate_hz)]
        if de_emphasis:
            sections.append(_emphasis(_DE_EMPHASIS_PEAK_HZ, rate_hz))
        super().__init__(gain_db, sections)


class OutputFilter(_GainAndFilters):
    """What a frame goes through on its way to the limiter and the card."""

    def __init__(self, gain_db: float = 0.0, pre_emphasis: bool = False, rate_hz: int = RATE_HZ) -> None:
        """ValueError for a gain or rate that cannot be meant."""
        super().__init__(gain_db, [_emphasis(_PRE_EMPHASIS_PEAK_HZ, rate_hz)] if pre_emphasis else [])
