"""Change of sample rate: by a fixed fraction for cards and files, by a wandering factor near 1 for clocks.

Both are windowed-sinc interpolators (Kaiser window). Both are streams: the output does not depend on how
the input was cut into blocks.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ
from echostream.errors import StateError

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_HALF_WIDTH: Final = 34
"""Zero crossings on each side of the fixed resampler's sinc, counted at the lower rate."""
_CUTOFF: Final = 0.46
"""Middle of its transition band in parts of the lower rate: flat to 0.42, stopped from 0.5."""
_KAISER_BETA: Final = 8.4
"""86 dB stop-band; with _HALF_WIDTH the transition is 0.08 of the lower rate (Kaiser's formula)."""
_MOST_PHASES: Final = 1000
_LONGEST_BLOCK: Final = 1 << 16


class RationalResampler:
    """From one fixed rate to another.

    N samples in make ceil(N * out_hz / in_hz) out, counted over the whole stream, so 882 at 44.1 kHz make
    960 at 48 kHz every time. The signal is latency_samples (of the output) late.
    """

    def __init__(
        self,
        in_hz: int,
        out_hz: int,
        half_width: int = _HALF_WIDTH,
        cutoff: float = _CUTOFF,
        beta: float = _KAISER_BETA,
    ) -> None:
        """ValueError for a rate below 1, or a pair whose fraction in lowest terms exceeds 1000.

        half_width, cutoff, beta: of the low-pass, as the constants above; for who can do with a shorter one.
        """
        if in_hz < 1 or out_hz < 1:
            raise ValueError(f"{in_hz} to {out_hz} Hz: expected two rates of 1 or more")
        common = math.gcd(in_hz, out_hz)
        self._up, self._down = out_hz // common, in_hz // common
        if max(self._up, self._down) > _MOST_PHASES:
            raise ValueError(
                f"{in_hz} to {out_hz} Hz: {self._up}/{self._down} has a term above {_MOST_PHASES}; "
                "expected usual rates (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)"
            )
        self.latency_samples = math.ceil(half_width * max(1.0, self._up / self._down))
        """Delay of the signal in output samples, exact: the sinc's middle falls on a sample."""
        phases = self._polyphase(cutoff, beta)
        self._taps = phases.shape[1]
        # Where the fraction has a short period several make one block: BLAS likes its products square.
        periods = max(1, self._taps // (2 * self._down))
        self._block_in, self._block_out = periods * self._down, periods * self._up
        self._matrix = self._block_matrix(phases)
        self._input: Float64 = np.zeros(self._taps - 1)
        self._given = 0

    def process(self, x: NDArray[Any]) -> NDArray[Any]:
        """Take a block of any length, int16 or float; give what it completes in the same kind.

        int16 in: int16 out, rounded, and clipped where the filter overshoots. Float in: float32 out.
        """
        if x.size > _LONGEST_BLOCK:
            parts = [x[at : at + _LONGEST_BLOCK] for at in range(0, x.size, _LONGEST_BLOCK)]
            return np.concatenate([self.process(part) for part in parts])
        y = self._resampled(x)
        if x.dtype != np.int16:
            return y.astype(np.float32)
        return np.clip(np.rint(y), -32768, 32767).astype(np.int16)

    def reset(self) -> None:
        """Forget the past: after a gap in the audio."""
        self._input = np.zeros(self._taps - 1)
        self._given = 0

    def _polyphase(self, cutoff: float, beta: float) -> Float64:
        """The prototype low-pass, shape (phases, taps): row p, column d weighs the input d samples back."""
        half = self.latency_samples * self._down
        taps = -(-(2 * half + 1) // self._up)
        # The prototype runs at in_hz * up; the lower of the two rates is 1 / max(up, down) of that.
        offset = np.arange(2 * half + 1) - half
        width = 2 * cutoff / max(self._up, self._down)
        prototype = np.sinc(width * offset) * np.kaiser(2 * half + 1, beta)
        prototype *= self._up / prototype.sum()
        padded = np.pad(prototype, (0, taps * self._up - prototype.size))
        return padded.reshape(taps, self._up).T

    def _block_matrix(self, phases: Float64) -> Float64:
        """All outputs of a block from all inputs they need: (taps - 1 + block_in, block_out), a band."""
        matrix = np.zeros((self._taps - 1 + self._block_in, self._block_out))
        for j in range(self._block_out):
            newest, phase = divmod(j * self._down, self._up)
            matrix[newest : newest + self._taps, j] = phases[phase, ::-1]
        return matrix

    def _resampled(self, x: NDArray[Any]) -> Float64:
        # `_input` begins taps - 1 samples before the current block; `_given` of its outputs are out already.
        data = np.concatenate([self._input, x])
        ready = data.size - (self._taps - 1)
        count = -(-ready * self._up // self._down)
        rows = -(-count // self._block_out)
        width = len(self._matrix)
        # What a last, unfinished block lacks is filled with zeros; its outputs that need them are not given.
        missing = (rows - 1) * self._block_in + width - data.size
        padded = np.concatenate([data, np.zeros(missing)]) if missing > 0 else data
        step = padded.itemsize
        windows = as_strided(padded, (rows, width), (self._block_in * step, step), writeable=False)
        y: Float64 = (np.ascontiguousarray(windows) @ self._matrix).ravel()[self._given : count]
        finished = ready // self._block_in
        self._input = data[finished * self._block_in :]
        self._given = count - finished * self._block_out
        return y


MIN_RATIO: Final = 0.98
MAX_RATIO: Final = 1.02
MAX_BUFFERED: Final = RATE_HZ
"""Inputs that may wait in a VariableResampler: a second. More means that nobody pulls."""
_POLYNOMIAL_DEGREE: Final = 7
_VARIABLE_BETA: Final = 8.0


@lru_cache(maxsize=4)
def _interpolator(taps: int) -> Float32:
    """Each tap of the windowed sinc as a polynomial in (fraction - 0.5), shape (degree + 1, taps).

    Row m holds the factors of power m; column j weighs the input taps/2 - 1 - j samples before the position.
    Fitted at Chebyshev points, where a polynomial comes closest to the largest error being smallest.
    """
    points = np.cos(np.pi * (np.arange(64) + 0.5) / 64) / 2
    distance = np.arange(taps)[:, None] - (taps // 2 - 1) - (points + 0.5)[None, :]
    inside = np.clip(1 - (distance / (taps / 2)) ** 2, 0, None)
    values = np.sinc(distance) * np.i0(_VARIABLE_BETA * np.sqrt(inside)) / np.i0(_VARIABLE_BETA)
    powers = points[:, None] ** np.arange(_POLYNOMIAL_DEGREE + 1)
    factors = np.linalg.lstsq(powers, values.T, rcond=None)[0]
    return np.ascontiguousarray(factors, np.float32)


class VariableResampler:
    """Follows a clock: makes `ratio` output samples per input sample, and ratio may change at every call.

    The position between two inputs is carried exactly from call to call, so a change of ratio is a change of
    speed and never a jump. A Farrow structure: the windowed sinc at any fraction of a sample, from a few
    fixed filters and a polynomial in the fraction. Clean to 80 dB up to 16 kHz with 16 taps at 48 kHz.
    """

    def __init__(self, taps: int = 16) -> None:
        """taps: length of the sinc, even, 4 to 64. ValueError otherwise."""
        if not (4 <= taps <= 64 and taps % 2 == 0):
            raise ValueError(f"taps {taps}: expected an even number from 4 to 64")
        self._taps = taps
        self._before = taps // 2 - 1
        self.latency_samples = taps // 2
        """Delay in input samples; at ratio 1 as many outputs are available as inputs were pushed."""
        self._factors = _interpolator(taps)
        self.reset()

    def reset(self) -> None:
        """Empty, as when new."""
        self._input: Float32 = np.zeros(self._taps - 1, np.float32)
        self._position = float(self._before)

    def push(self, x: NDArray[Any]) -> None:
        """Add inputs: shape (n,), float32 (int16 is widened). StateError beyond MAX_BUFFERED."""
        if self._input.size + x.size > MAX_BUFFERED + self._taps:
            raise StateError(f"{self._input.size + x.size} samples wait: pull before pushing more")
        self._input = np.concatenate([self._input, x], dtype=np.float32)

    def available(self, ratio: float) -> int:
        """Outputs that can be pulled now at this ratio."""
        step = _step(ratio)
        end = self._input.size - self._taps // 2
        count = max(0, math.ceil((end - self._position) / step))
        # The division above rounds; the positions that pull() computes decide.
        while count and self._position + (count - 1) * step >= end:
            count -= 1
        while self._position + count * step < end:
            count += 1
        return count

    def needed(self, n_out: int, ratio: float) -> int:
        """Inputs that must still be pushed before n_out outputs can be pulled at this ratio."""
        last = math.floor(self._position + (n_out - 1) * _step(ratio))
        return max(0, last + self._taps // 2 + 1 - self._input.size) if n_out else 0

    def pull(self, n_out: int, ratio: float) -> Float32:
        """Exactly n_out outputs, shape (n_out,), float32. StateError if fewer are available."""
        if n_out > self.available(ratio):
            raise StateError(f"{n_out} outputs asked for, {self.available(ratio)} available: push more input")
        first = math.floor(self._position)
        if ratio == 1.0 and self._position == first:
            y = self._input[first : first + n_out].copy()
        else:
            y = self._interpolated(n_out, _step(ratio), first)
        self._advance(self._position + n_out * _step(ratio))
        return y

    def process(self, x: NDArray[Any], ratio: float) -> Float32:
        """Push a block and pull all that it makes available."""
        self.push(x)
        return self.pull(self.available(ratio), ratio)

    def _interpolated(self, n_out: int, step: float, first: int) -> Float32:
        if not n_out:
            return np.zeros(0, np.float32)
        positions = self._position + np.arange(n_out) * step
        whole = positions.astype(np.intp)
        fraction = (positions - whole - 0.5).astype(np.float32)
        span = int(whole[-1]) - first + 1
        start = self._input[first - self._before :]
        item = start.itemsize
        # Row j: the input shifted by j. Each of the fixed filters is then one row of a single product.
        shifted = np.ascontiguousarray(as_strided(start, (self._taps, span), (item, item), writeable=False))
        filtered = (self._factors @ shifted).take(whole - first, axis=1)
        y: Float32 = filtered[-1]
        for row in filtered[-2::-1]:  # Horner's scheme: eight steps, each over all samples
            y *= fraction
            y += row
        return y

    def _advance(self, position: float) -> None:
        drop = math.floor(position) - self._before
        self._input = self._input[drop:]
        self._position = position - drop


def _step(ratio: float) -> float:
    if not MIN_RATIO <= ratio <= MAX_RATIO:
        raise ValueError(f"ratio {ratio}: expected {MIN_RATIO} to {MAX_RATIO}")
    return 1.0 / ratio
