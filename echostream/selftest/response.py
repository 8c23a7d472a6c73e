"""Frequency response and impulse response from an exponential sweep (Farina, AES 108, 2000). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ
from echostream.selftest.signal import Float

OCTAVES_HZ: Final = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Centres of octave bands (ISO 266, IEC 61260; those of ITU-T P-series measurements)."""
REFERENCE_HZ: Final = 1000.0
_BEFORE_S: Final = 0.01
_AFTER_S: Final = 0.2
_REGULAR: Final = 1e-6
"""Of the sweep's strongest line: what is divided by is at least that, so nothing beside its band explodes."""
_BAND: Final = 2 ** (1 / 6)
"""Half of a third octave: what one value is the mean of."""
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True)
class Response:
    """hz: shape (n,), ascending. gain_db: the same shape, relative to that at 1 kHz.

    impulse: shape (m,), at 48 kHz, its peak 10 ms from the beginning.
    """

    hz: Float
    gain_db: Float
    impulse: Float

    def at(self, hz: float) -> float:
        """dB relative to 1 kHz."""
        return float(np.interp(np.log(hz), np.log(self.hz), self.gain_db))

    def range_db(self, low_hz: float, high_hz: float) -> tuple[float, float]:
        """Lowest and highest gain between two frequencies."""
        inside = self.gain_db[(self.hz >= low_hz) & (self.hz <= high_hz)]
        return float(inside.min()), float(inside.max())


def response(played: Float, heard: Float) -> Response:
    """played: the sweep, shape (n,); heard: what came back, from its beginning on and some time longer."""
    size = 1 << (max(len(played), len(heard)) * 2).bit_length()
    spectrum = np.fft.rfft(played, size)
    power = np.abs(spectrum) ** 2
    whole = np.fft.irfft(
        np.fft.rfft(heard, size) * np.conj(spectrum) / (power + _REGULAR * power.max()), size
    )
    impulse = _windowed(whole)
    lines = np.abs(np.fft.rfft(impulse, 1 << 15)) ** 2
    step_hz = RATE_HZ / (1 << 15)
    centres = np.geomspace(50.0, 18_000.0, _SHOWN)
    below = np.concatenate(([0.0], np.cumsum(lines)))
    low = np.floor(centres / _BAND / step_hz).astype(int)
    high = np.ceil(centres * _BAND / step_hz).astype(int) + 1
    means = (below[high] - below[low]) / (high - low)
    gains = 10 * np.log10(np.maximum(means, 1e-20))
    reference = float(np.interp(np.log(REFERENCE_HZ), np.log(centres), gains))
    return Response(centres, gains - reference, impulse)


def _windowed(whole: Float) -> Float:
    """The linear response alone: harmonics lie before it by the sweep's own construction."""
    before, after = round(_BEFORE_S * RATE_HZ), round(_AFTER_S * RATE_HZ)
    peak = int(np.argmax(np.abs(whole)))
    piece = np.take(whole, np.arange(peak - before, peak + after), mode="wrap")
    fade = before // 2
    piece[:fade] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / fade)
    tail = after // 2
    piece[-tail:] *= 0.5 + 0.5 * np.cos(np.pi * np.arange(tail) / tail)
    return piece
