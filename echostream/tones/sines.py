"""Short tones, measured from the samples: edges, frequencies, levels, and what is there besides.

The edges are where the envelope, seen through 15 ms at their frequencies, passes half of its height: that
is exact for any length, and finer than a window that could tell the frequencies. Between the edges steady
sines are fitted by least squares under a Hann window (Gauss-Newton, so the frequencies too). What remains is
noise, or it shows that this was speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from echostream.tones.stream import EAR_RATE_HZ

Float = NDArray[np.float64]

ENVELOPE: Final = 120
"""Samples (15 ms) that the envelope sees at once."""
STEP: Final = 8
HOLE: Final = 24 * EAR_RATE_HZ // 1000
"""A shorter hole is an interruption (ITU-T Q.24: under 10 ms; a lost packet: 20), a longer one a pause."""
MOST_FIT: Final = 1600
"""Of longer tones the first 200 ms are measured."""
HIGHEST_HZ: Final = 3600.0
"""What sounds above it does not count."""
_HUM_HZ: Final = 60.0
"""Lower, DC and hum do not count as what is below either."""
_AROUND: Final = 10
"""Steps of the envelope to either side of the core that say how strong the tones are."""
_MOST_STEP_HZ: Final = 20.0
_LIMITER: Final = 1 / 3
"""Of what a limiter makes of the tones."""
_CLEAR: Final = 0.78
_TINY: Final = 1e-30

_WINDOW: Final[Float] = np.hanning(ENVELOPE + 2)[1:-1]
_TURN: Final = 2.0 * np.pi / EAR_RATE_HZ


@dataclass(frozen=True, slots=True)
class Extent:
    """Where tones sound, in samples from the beginning of what was looked at. holes: interruptions in it.

    open_start, open_end: they sound up to the edge of what was looked at.
    """

    start: float
    end: float
    open_start: bool
    open_end: bool
    holes: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """Steady sines, and the rest. powers: mean square of each.

    share: of the sines in the energy of the band. third: the strongest other peak over the weakest sine.
    There, what a limiter makes of two sines counts for a third, if they are clear.
    noise: power of the rest, as if it were white in 0-4 kHz. below: energy under the band over the sines'.
    slope_db: the most that the level of one changes from the first half to the second.
    """

    hz: tuple[float, ...]
    powers: tuple[float, ...]
    share: float
    third: float
    noise: float
    below: float
    slope_db: float

    @property
    def power(self) -> float:
        """Of all."""
        return sum(self.powers)

    @property
    def twist_db(self) -> float:
        """The last over the first."""
        return 10 * math.log10(self.powers[-1] / self.powers[0])

    @property
    def snr_db(self) -> float:
        """All over the noise of 0-4 kHz, 99 at most."""
        return 10 * math.log10(self.power / max(self.noise, self.power * 10**-9.9))


def extent(samples: Float, hz: Sequence[float], core: int) -> Extent | None:
    """samples: shape (n,), n >= 120. core: index where the tones are thought to sound. None: they do not."""
    phases = (_TURN * np.arange(ENVELOPE))[:, None] * np.asarray(hz)
    bank = np.concatenate((np.cos(phases), np.sin(phases)), axis=1) * _WINDOW[:, None]
    seen = sliding_window_view(samples, ENVELOPE)[::STEP] @ bank
    seen *= seen
    powers = seen[:, : len(hz)] + seen[:, len(hz) :]
    all_power = powers.sum(axis=1)
    middle = min(max((core - ENVELOPE // 2) // STEP, 0), all_power.size - 1)
    loud = all_power > 0.25 * all_power[max(0, middle - _AROUND) : middle + _AROUND + 1].max()
    if not loud.any():
        return None
    heights = np.sqrt(powers)
    usual = np.median(heights[loud], axis=0) + _TINY
    return _edges(np.mean(heights / usual, axis=1), middle)


def _edges(height: Float, middle: int) -> Extent | None:
    """height: 1 where the tones are at their usual level; an edge is where it passes half of that."""
    on = height > 0.5
    bounds = [0, *(np.flatnonzero(on[1:] != on[:-1]) + 1).tolist(), on.size]
    tones: list[list[tuple[int, int]]] = []
    for begin, stop in pairwise(bounds):
        if not on[begin]:
            continue
        if tones and (begin - tones[-1][-1][1]) * STEP < HOLE:
            tones[-1].append((begin, stop))
        else:
            tones.append([(begin, stop)])
    if not tones:
        return None
    parts = min(tones, key=lambda each: max(each[0][0] - middle, middle - each[-1][1] + 1))

    def crossing(at: int) -> float:
        if at in (0, on.size):
            return float(at * STEP) if at == 0 else float(at * STEP + ENVELOPE)
        before, after = float(height[at - 1]), float(height[at])
        return (at - 1 + (0.5 - before) / (after - before)) * STEP + ENVELOPE / 2

    holes = tuple((crossing(left[1]), crossing(right[0])) for left, right in pairwise(parts))
    begin, stop = parts[0][0], parts[-1][1]
    return Extent(crossing(begin), crossing(stop), begin == 0, stop == on.size, holes)


def fit_sines(
    samples: Float, hz: Sequence[float], band_hz: float, holes: Sequence[tuple[float, float]] = ()
) -> Fit:
    """samples: shape (n,), n >= 120: the tones from edge to edge. hz: of each, within 20 Hz of the truth.

    band_hz: where the band begins whose other sounds count. holes: (start, end) of interruptions, in samples.
    """
    tones, count = len(hz), samples.size
    time = np.arange(count) - (count - 1) / 2
    window = np.hanning(count + 2)[1:-1]
    for start, end in holes:
        window[max(0, round(start) - STEP) : round(end) + STEP] = 0.0
    target = samples * window
    ramp = (time * (2.0 / count))[:, None]
    columns = np.empty((count, 4 * tones))
    refined = np.asarray(hz, np.float64)
    for again in (True, False):
        phases = time[:, None] * (refined * _TURN)
        columns[:, :tones] = np.cos(phases)
        columns[:, tones : 2 * tones] = np.sin(phases)
        columns[:, : 2 * tones] *= window[:, None]
        columns[:, 2 * tones :] = columns[:, : 2 * tones] * ramp
        solution = np.linalg.lstsq(columns.T @ columns, columns.T @ target, rcond=None)[0]
        a, b, a_ramp, b_ramp = solution.reshape(4, tones)
        squares = a * a + b * b + _TINY
        if again:
            steps_hz = (b * a_ramp - a * b_ramp) / squares * (2.0 / count / _TURN)
            refined = refined + np.clip(steps_hz, -_MOST_STEP_HZ, _MOST_STEP_HZ)
    rest = target - columns[:, : 2 * tones] @ solution[: 2 * tones]
    slope = min(float(np.max(np.abs(a * a_ramp + b * b_ramp) / squares)), 0.99)
    return _weigh(rest, window, band_hz, tuple(refined.tolist()), tuple((squares / 2).tolist()), slope)


def _weigh(
    rest: Float, window: Float, band_hz: float, hz: tuple[float, ...], powers: tuple[float, ...], slope: float
) -> Fit:
    """rest: what the sines leave, under the window."""
    size = 1 << max(9, (2 * rest.size - 1).bit_length())
    spectrum = np.fft.rfft(rest, size)
    power = spectrum.real**2 + spectrum.imag**2
    first, begin, stop = (round(each / EAR_RATE_HZ * size) for each in (_HUM_HZ, band_hz, HIGHEST_HZ))
    squares = float(window @ window)
    sines = sum(powers) * squares + _TINY
    inside = float(power[begin:stop].sum()) * 2 / size
    weakest = min(powers) / 2 * float(window.sum()) ** 2 + _TINY
    below = float(power[first:begin].sum()) * 2 / size / sines
    share = sines / (sines + inside)
    for made_hz in _made_by_limiter(hz) if share > _CLEAR else ():
        power[_around(made_hz, rest.size, size)] *= _LIMITER
    return Fit(
        hz=hz,
        powers=powers,
        share=share,
        third=float(power[begin:stop].max()) / weakest,
        noise=inside / max(squares, _TINY) * (EAR_RATE_HZ / 2) / (HIGHEST_HZ - band_hz),
        below=below,
        slope_db=20 * math.log10((1 + slope / 2) / (1 - slope / 2)),
    )


def _made_by_limiter(hz: tuple[float, ...]) -> tuple[float, ...]:
    """Where a transmitter's limiter puts the strongest products of two tones."""
    if len(hz) != 2:
        return ()
    low, high = hz
    return 2 * high - low, abs(2 * low - high), 3 * low, 2 * low + high


def _around(hz: float, count: int, size: int) -> slice:
    """The bins that a tone under a Hann window of `count` samples reaches (but for its outskirts)."""
    reach = 1.5 * size / count
    at = hz / EAR_RATE_HZ * size
    return slice(max(0, round(at - reach)), max(0, round(at + reach) + 1))


def bend(samples: Float, hz: float) -> float:
    """samples: shape (n,), n >= 30. Radians by which the phase of a tone at hz bends from third to third.

    A steady tone has none, whatever its frequency is exactly; one that glides has.
    """
    third = samples.size // 3
    turned = samples[: 3 * third] * np.exp(-1j * _TURN * hz * np.arange(3 * third))
    first, second, last = turned.reshape(3, third).sum(axis=1)
    return float(abs(np.angle(first * last * np.conj(second) ** 2)))
