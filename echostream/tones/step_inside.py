"""Where the frequency steps inside one run: an A and a B so close that no spectrum tells them apart."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from echostream.tones.measure import CELL, CELL_S, Complex, Float, cells
from echostream.tones.spectrum import WINDOW
from echostream.tones.steady import SteadyTone

LEAST_STEP_HZ: Final = 0.8
"""In the frequencies of a run's peaks."""
LEAST_KNEE_HZ: Final = 0.15
"""In the phase of its cells."""
AT_EACH_END: Final = 4
SMOOTH_CELLS: Final = 12
BETTER: Final = 4.0
"""By this factor two lines must fit the phase better than one."""


def find_step(tone: SteadyTone) -> int | None:
    """The frame of a run at which its frequency steps most clearly; None where it does not."""
    if len(tone.run.ends) < 3 * AT_EACH_END:
        return None
    return _step_of_peaks(tone) or _knee_of_phase(tone)


def _step_of_peaks(tone: SteadyTone) -> int | None:
    hz = np.asarray(tone.run.hz)
    size = hz.size
    total = np.cumsum(hz)
    left = np.arange(AT_EACH_END, size - AT_EACH_END)
    first = total[left - 1] / left
    second = (total[-1] - total[left - 1]) / (size - left)
    gain = left * (size - left) / size * (first - second) ** 2
    best = int(np.argmax(gain))
    rest = float(np.sum((hz - hz.mean()) ** 2)) - float(gain[best])
    if abs(first[best] - second[best]) < LEAST_STEP_HZ or gain[best] < rest:
        return None
    return int(left[best])


def _knee_of_phase(tone: SteadyTone) -> int | None:
    """The phase of a steady tone is a straight line; that of two in a row has a knee."""
    run = tone.run
    start = max(tone.past.start, run.first - WINDOW // 2)
    vector = cells(tone.past.get(start, run.last - WINDOW // 2), float(np.median(run.hz)))
    if vector.size < 6 * SMOOTH_CELLS:
        return None
    phase = np.unwrap(np.angle(_smooth(vector)))
    one = _misfit(phase)[-1]
    before = _misfit(phase)
    after = _misfit(phase[::-1])[::-1]
    inner = np.arange(2 * SMOOTH_CELLS, phase.size - 2 * SMOOTH_CELLS)
    if not inner.size:
        return None
    two = before[inner - 1] + after[inner]
    best = int(inner[int(np.argmin(two))])
    if one < BETTER * max(float(two.min()), 1e-9):
        return None
    step_hz = abs(_slope(phase[best:]) - _slope(phase[:best])) / (2 * math.pi * CELL_S)
    if step_hz < LEAST_KNEE_HZ:
        return None
    at = start + (best + SMOOTH_CELLS // 2) * CELL + WINDOW // 2
    frame = int(np.searchsorted(run.ends, at))
    return frame if AT_EACH_END <= frame <= len(run.ends) - AT_EACH_END else None


def _smooth(vector: Complex) -> Complex:
    total = np.concatenate(([0], np.cumsum(vector)))
    mean: Complex = total[SMOOTH_CELLS:] - total[:-SMOOTH_CELLS]
    return mean


def _misfit(values: Float) -> Float:
    """Sum of squares about the best line through the first 1, 2, ... values."""
    n = np.arange(1, values.size + 1, dtype=np.float64)
    x = n - 1
    sx, sxx = np.cumsum(x), np.cumsum(x * x)
    sy, sxy, syy = np.cumsum(values), np.cumsum(x * values), np.cumsum(values * values)
    spread = np.maximum(sxx - sx * sx / n, 1e-12)
    along = sxy - sx * sy / n
    rest: Float = np.maximum(syy - sy * sy / n - along * along / spread, 0.0)
    return rest


def _slope(values: Float) -> float:
    x = np.arange(values.size) - (values.size - 1) / 2
    return float(x @ values / (x @ x))
