"""What a cable, a card and a radio do to a known signal, so that a measurement of it can be checked."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, signal

from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples

Wave = NDArray[np.float64]
"""Of peak 1 at full scale."""


@dataclass
class Line:
    """From output to input. delay: samples, or fractions. ppm: how much faster the playing clock runs.

    hum: (Hz, RMS of all its harmonics together in dBFS). filters: second-order sections, one after another.
    dropped: (first sample, count) that are lost. fade_db: what an automatic gain control takes away from the
    beginning of the signal to its end.
    """

    delay: float = 480.0
    gain_db: float = 0.0
    ppm: float = 0.0
    noise_dbfs: float | None = None
    hum: tuple[float, float] | None = None
    inverted: bool = False
    squared: float = 0.0
    filters: list[NDArray[np.float64]] = field(default_factory=list)
    dropped: tuple[int, int] | None = None
    fade_db: float = 0.0
    seed: int = 1

    def hear(self, played: Samples) -> Samples:
        """shape (n,), int16 -> what comes back, as long and a second longer."""
        wave = np.concatenate((played.astype(np.float64) / FULL_SCALE, np.zeros(RATE_HZ)))
        wave *= 10 ** (self.gain_db / 20) * (-1 if self.inverted else 1)
        if self.fade_db:
            wave *= 10 ** (-self.fade_db / 20 * np.arange(len(wave)) / len(played))
        for sections in self.filters:
            wave = signal.sosfilt(sections, wave)
        wave = wave + self.squared * wave**2
        wave = _moved(wave, self.delay, self.ppm)
        if self.dropped is not None:
            first, count = self.dropped
            wave = np.delete(wave, slice(first, first + count))
        rng = np.random.default_rng(self.seed)
        if self.noise_dbfs is not None:
            wave = wave + rng.normal(0.0, 10 ** (self.noise_dbfs / 20), len(wave))
        if self.hum is not None:
            wave = wave + _hum(*self.hum, len(wave))
        return np.clip(np.rint(wave * FULL_SCALE), -32768, 32767).astype(np.int16)


def high_pass(hz: float) -> NDArray[np.float64]:
    """Second order, as a coupling capacitor and a little more."""
    return np.asarray(signal.butter(2, hz, "highpass", fs=RATE_HZ, output="sos"))


def low_pass(hz: float) -> NDArray[np.float64]:
    """Fourth order."""
    return np.asarray(signal.butter(4, hz, "lowpass", fs=RATE_HZ, output="sos"))


def gain_db(sections: NDArray[np.float64], hz: float) -> float:
    """Of a filter at one frequency."""
    _, gain = signal.sosfreqz(sections, [hz], fs=RATE_HZ)
    return float(20 * np.log10(abs(gain[0])))


def _moved(wave: Wave, delay: float, ppm: float) -> Wave:
    """Later by `delay` samples, faster by `ppm`: four times as many samples, and a spline between them."""
    if not ppm and delay == int(delay):
        return np.concatenate((np.zeros(int(delay)), wave))[: len(wave)]
    over = 4
    fine = signal.resample_poly(wave, over, 1, window=("kaiser", 10.0))
    curve = interpolate.CubicSpline(np.arange(len(fine)) / over, fine)
    at = (np.arange(len(wave)) - delay) * (1 + ppm * 1e-6)
    return np.where((at >= 0) & (at < len(wave) - 1), curve(np.clip(at, 0, len(wave) - 1)), 0.0)


def _hum(hz: float, level_dbfs: float, count: int) -> Wave:
    t = np.arange(count) / RATE_HZ
    wave: Wave = sum((np.sin(2 * np.pi * hz * n * t + n) / n for n in (1, 2, 3, 5)), np.zeros(count))
    scaled: Wave = wave * (10 ** (level_dbfs / 20) / np.sqrt(np.mean(np.square(wave))))
    return scaled
