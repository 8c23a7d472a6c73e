"""Is what was heard what was said? Piece by piece, because a delay may change while somebody speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from echostream.audio.format import RATE_HZ, Samples

DECIMATED_HZ: Final = 8000
BAND_HZ: Final = (300, 3000)
"""What carries speech, and where the input's high-pass turns no phase."""
PIECE_S: Final = 0.4
REACH_S: Final = 0.4
"""How far the delay may move from where it was in the beginning."""
LOUD: Final = 300.0
"""RMS of what is not a pause (int16 units); a drop-out is less than a tenth of it."""
STEP_S: Final = 0.02
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Piece:
    """`at_s`: in what was heard. `alike`: correlation, 1 at most. `dropout_s`: the longest one in it."""

    at_s: float
    alike: float
    dropout_s: float


def compare(heard: Samples, said: Samples) -> list[Piece]:
    """Each piece of `heard`, pauses left out, with the place in the endless loop `said` that it is like."""
    loop, y = _speech_band(said), _speech_band(heard)
    size, reach = int(PIECE_S * DECIMATED_HZ), int(REACH_S * DECIMATED_HZ)
    start = int(np.argmax(_correlation(np.tile(loop, 2), y[: 4 * size]))) + len(loop)
    rounds = np.tile(loop, 4 + len(y) // len(loop))
    pieces = []
    for begin in range(0, len(y) - size, size):
        part, low = y[begin : begin + size], start + begin - reach
        alike = _correlation(rounds[low : low + size + 2 * reach], part)
        at = low + int(np.argmax(alike))
        wanted = rounds[at : at + size]
        if _rms(wanted) >= LOUD:
            pieces.append(Piece(begin / DECIMATED_HZ, float(alike.max()), _dropout_s(wanted, part)))
    return pieces


def _speech_band(samples: Samples) -> Floats:
    sections = butter(4, BAND_HZ, "bandpass", fs=RATE_HZ, output="sos")
    filtered = sosfiltfilt(sections, samples.astype(np.float64))
    return np.asarray(filtered[:: RATE_HZ // DECIMATED_HZ], np.float64)


def _correlation(x: Floats, y: Floats) -> Floats:
    """Of y with each place in x, normalised."""
    size = 1 << (len(x) + len(y)).bit_length()
    product = np.fft.irfft(np.fft.rfft(x, size) * np.conj(np.fft.rfft(y, size)), size)[: len(x) - len(y) + 1]
    power = np.cumsum(np.concatenate(([0.0], x * x)))
    norm = np.sqrt(np.maximum(1.0, power[len(y) :] - power[: -len(y)]) * max(1.0, float(np.dot(y, y))))
    return np.asarray(product / norm)


def _rms(x: Floats) -> float:
    return float(np.sqrt(np.mean(x * x)))


def _dropout_s(wanted: Floats, got: Floats) -> float:
    """The longest stretch in which something loud was to be heard and next to nothing was."""
    step = int(STEP_S * DECIMATED_HZ)
    longest = run = 0
    for begin in range(0, len(wanted) - step + 1, step):
        loud = _rms(wanted[begin : begin + step]) >= LOUD
        run = run + 1 if loud and _rms(got[begin : begin + step]) < LOUD / 10 else 0
        longest = max(longest, run)
    return longest * STEP_S
