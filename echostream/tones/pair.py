"""A short pair of tones, measured from the samples: edges, frequencies, levels, and what is there besides.

The edges are where the envelope, seen through 15 ms at the two frequencies, passes half of its height: that
is exact for any length, and finer than a window that could tell the frequencies. Between the edges two steady
sines are fitted by least squares under a Hann window (Gauss-Newton, so the frequencies too). What remains is
noise, or it shows that this was speech.
"""

from __future__ import annotations

import math
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
HOLE: Final = 15 * EAR_RATE_HZ // 1000
"""A shorter hole is an interruption (ITU-T Q.24: under 10 ms), a longer one a pause (40 ms)."""
MOST_FIT: Final = 1600
"""Of a longer pair its first 200 ms are measured."""
BAND_HZ: Final = (560.0, 3600.0)
"""Where anything besides the pair counts: hum and dial tone lie below."""
_HUM_HZ: Final = 60.0
"""Lower, DC and hum do not count as "below" either."""
_AROUND: Final = 10
"""Steps of the envelope to either side of the core that say how strong the pair is."""
_MOST_STEP_HZ: Final = 20.0
_TINY: Final = 1e-30

_WINDOW: Final[Float] = np.hanning(ENVELOPE + 2)[1:-1]
_TURN: Final = 2.0 * np.pi / EAR_RATE_HZ


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a pair sounds, in samples from the beginning of what was looked at. holes: interruptions in it.

    open_start, open_end: it sounds up to the edge of what was looked at.
    """

    start: float
    end: float
    open_start: bool
    open_end: bool
    holes: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Fit:
    """Two steady sines, and the rest. Powers are mean squares.

    share: of the pair in the energy of 560-3600 Hz. third: the strongest other peak over the weaker tone.
    noise: power of the rest, as if it were white in 0-4 kHz. below: energy of 60-560 Hz over the pair's.
    slope_db: how much the level of either tone changes from the first half to the second, the larger of both.
    """

    low_hz: float
    high_hz: float
    low_power: float
    high_power: float
    share: float
    third: float
    noise: float
    below: float
    slope_db: float

    @property
    def power(self) -> float:
        """Of both."""
        return self.low_power + self.high_power

    @property
    def twist_db(self) -> float:
        """High over low."""
        return 10 * math.log10(self.high_power / self.low_power)

    @property
    def snr_db(self) -> float:
        """Both over the noise of 0-4 kHz, 99 at most."""
        return 10 * math.log10(self.power / max(self.noise, self.power * 10**-9.9))


def extent(samples: Float, low_hz: float, high_hz: float, core: int) -> Extent | None:
    """samples: shape (n,), n >= 120. core: index where the pair is thought to sound. None: it does not."""
    turn = _TURN * np.arange(ENVELOPE)
    bank = np.stack(
        (np.cos(low_hz * turn), np.sin(low_hz * turn), np.cos(high_hz * turn), np.sin(high_hz * turn)), axis=1
    )
    seen = sliding_window_view(samples, ENVELOPE)[::STEP] @ (bank * _WINDOW[:, None])
    seen *= seen
    low, high = np.sqrt(seen[:, 0] + seen[:, 1]), np.sqrt(seen[:, 2] + seen[:, 3])
    both = low * low + high * high
    middle = min(max((core - ENVELOPE // 2) // STEP, 0), both.size - 1)
    loud = both > 0.25 * both[max(0, middle - _AROUND) : middle + _AROUND + 1].max()
    if not loud.any():
        return None
    usual_low, usual_high = float(np.median(low[loud])), float(np.median(high[loud]))
    return _edges(low / max(usual_low, _TINY) + high / max(usual_high, _TINY), middle)


def _edges(height: Float, middle: int) -> Extent | None:
    """height: 2 where both tones are at their usual level; an edge is where it passes 1."""
    on = height > 1.0
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
        return (at - 1 + (1.0 - before) / (after - before)) * STEP + ENVELOPE / 2

    holes = tuple((crossing(left[1]), crossing(right[0])) for left, right in pairwise(parts))
    begin, stop = parts[0][0], parts[-1][1]
    return Extent(crossing(begin), crossing(stop), begin == 0, stop == on.size, holes)


def fit_pair(
    samples: Float, low_hz: float, high_hz: float, holes: tuple[tuple[float, float], ...] = ()
) -> Fit:
    """samples: shape (n,), n >= 120: the pair from edge to edge. low_hz, high_hz: within 20 Hz of the truth.

    holes: (start, end) where it is interrupted, in samples.
    """
    count = samples.size
    time = np.arange(count) - (count - 1) / 2
    window = np.hanning(count + 2)[1:-1]
    for start, end in holes:
        window[max(0, round(start) - STEP) : round(end) + STEP] = 0.0
    target = samples * window
    ramp = (time * (2.0 / count))[:, None]
    columns = np.empty((count, 8))
    hz = [low_hz, high_hz]
    for turn_number in range(2):
        low, high = (_TURN * each * time for each in hz)
        columns[:, :4] = np.stack((np.cos(low), np.sin(low), np.cos(high), np.sin(high)), axis=1)
        columns[:, :4] *= window[:, None]
        columns[:, 4:] = columns[:, :4] * ramp
        c = np.linalg.lstsq(columns.T @ columns, columns.T @ target, rcond=None)[0].tolist()
        squares = [c[0] ** 2 + c[1] ** 2 + _TINY, c[2] ** 2 + c[3] ** 2 + _TINY]
        if turn_number == 0:
            for tone in (0, 1):
                a, b, a_ramp, b_ramp = c[2 * tone], c[2 * tone + 1], c[2 * tone + 4], c[2 * tone + 5]
                step_hz = (b * a_ramp - a * b_ramp) / squares[tone] * 2.0 / count / _TURN
                hz[tone] += min(max(step_hz, -_MOST_STEP_HZ), _MOST_STEP_HZ)
    rest = target - columns[:, :4] @ np.asarray(c[:4])
    slopes = (abs(c[2 * n] * c[2 * n + 4] + c[2 * n + 1] * c[2 * n + 5]) / squares[n] for n in (0, 1))
    return _weigh(rest, window, hz, (squares[0] / 2, squares[1] / 2), min(max(slopes), 0.99))


def _weigh(rest: Float, window: Float, hz: list[float], powers: tuple[float, float], slope: float) -> Fit:
    """rest: what the sines leave, under the window."""
    size = 1 << max(9, (2 * rest.size - 1).bit_length())
    spectrum = np.fft.rfft(rest, size)
    power = spectrum.real**2 + spectrum.imag**2
    first, begin, stop = (round(each / EAR_RATE_HZ * size) for each in (_HUM_HZ, *BAND_HZ))
    squares = float(window @ window)
    pair = sum(powers) * squares
    inside = float(power[begin:stop].sum()) * 2 / size
    weaker = min(powers) / 2 * float(window.sum()) ** 2
    return Fit(
        low_hz=hz[0],
        high_hz=hz[1],
        low_power=powers[0],
        high_power=powers[1],
        share=pair / (pair + inside + _TINY),
        third=float(power[begin:stop].max()) / (weaker + _TINY),
        noise=inside / max(squares, _TINY) * (EAR_RATE_HZ / 2) / (BAND_HZ[1] - BAND_HZ[0]),
        below=float(power[first:begin].sum()) * 2 / size / (pair + _TINY),
        slope_db=20 * math.log10((1 + slope / 2) / (1 - slope / 2)),
    )
