"""Peaks of the short-time spectrum: what may be a steady tone, told apart from noise, 31 times a second.

A Hann window of 256 ms every 32 ms is the compromise of a two-tone page: long enough that a tone 14 dB below
the noise (0 to 4 kHz) stands 14 dB above it in its bin, short enough for tones of 0.4 s. A peak counts by its
ratio to the noise beside it, never by its ratio to the loudest thing around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Signal

WINDOW: Final = 2048
HOP: Final = 256
FRAMES_A_BLOCK: Final = BLOCK_SAMPLES // HOP
BIN_HZ: Final = EAR_RATE_HZ / WINDOW
LOWEST_HZ: Final = 250.0
HIGHEST_HZ: Final = 3200.0
MOST_PEAKS: Final = 16
"""Of one frame: the strongest. A chord of speech has as many, a page two."""
_FIRST, _LAST = int(LOWEST_HZ / BIN_HZ), int(HIGHEST_HZ / BIN_HZ) + 1
_BAND: Final = 64
"""Bins over which the noise counts as flat: 250 Hz."""
_BANDS: Final = 14
_MEDIAN_TO_MEAN: Final = 1 / math.log(2.0)
"""Of the power of one bin of Gaussian noise, which is distributed exponentially."""
_QUIETEST: Final = WINDOW * 10 ** (-120 / 10)
"""Least noise power of a bin: digital silence is no reason to see tones in rounding errors."""


class Peak(NamedTuple):
    """hz: interpolated. power: of the tone, mean square (a full-scale sine: 0.5). noise: power in 0-4 kHz."""

    hz: float
    power: float
    noise: float


class PeakFinder:
    """The peaks of each frame, from blocks of 512 samples."""

    def __init__(
        self,
        least_ratio: float = 10.0,
        least_power: float = 0.0,
        removed_hz: Sequence[tuple[float, float]] = (),
    ) -> None:
        """least_ratio: of a bin's power over the noise beside it. least_power: weaker tones are not looked
        at."""
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
        self._window = window.astype(np.float32)
        self._least_ratio = least_ratio
        # What a filter removed can still be told from the noise, being far less of it: it counts as gone.
        hz = np.arange(_FIRST, _LAST) * BIN_HZ
        self._open = np.ones(hz.size, bool)
        for low, high in removed_hz:
            self._open &= (hz < low) | (hz > high)
        # A bin's power of a tone of power p: p/2 * (window sum)^2, at most 1.42 dB less between bins.
        self._tone_scale = 2.0 / float(window.sum()) ** 2
        self._noise_scale = 1.0 / float((window * window).sum())
        self._least_bin = least_power / self._tone_scale * 0.7
        self._past = np.zeros(WINDOW - HOP + BLOCK_SAMPLES, np.float32)

    def hear(self, block: Signal) -> list[list[Peak]]:
        """The peaks of the block's two frames, which end 256 and 512 samples into it, by rising frequency."""
        past = self._past
        past[:-BLOCK_SAMPLES] = past[BLOCK_SAMPLES:]
        past[-BLOCK_SAMPLES:] = block
        frames = as_strided(past, (FRAMES_A_BLOCK, WINDOW), (HOP * 4, 4), writeable=False)
        spectrum = np.fft.rfft(frames * self._window)[:, : _BANDS * _BAND]
        power = spectrum.real**2 + spectrum.imag**2
        bands = power.reshape(FRAMES_A_BLOCK, _BANDS, _BAND)
        noise = np.partition(bands, _BAND // 2, axis=2)[:, :, _BAND // 2] * np.float32(_MEDIAN_TO_MEAN)
        np.maximum(noise, np.float32(_QUIETEST), out=noise)
        middle = power[:, _FIRST:_LAST]
        above = (bands > (noise * self._least_ratio)[:, :, None]).reshape(FRAMES_A_BLOCK, -1)[:, _FIRST:_LAST]
        above &= middle >= power[:, _FIRST - 1 : _LAST - 1]
        above &= middle > power[:, _FIRST + 1 : _LAST + 1]
        above &= middle > self._least_bin
        above &= self._open
        rows, bins = np.nonzero(above)
        if not rows.size:
            return [[] for _ in range(FRAMES_A_BLOCK)]
        return self._peaks(power, noise, rows, bins + _FIRST)

    def forget(self) -> None:
        """Audio was lost."""
        self._past[:] = 0.0

    def _peaks(
        self,
        power: NDArray[np.floating],
        noise: NDArray[np.floating],
        rows: NDArray[np.intp],
        bins: NDArray[np.intp],
    ) -> list[list[Peak]]:
        here = power[rows, bins]
        below = np.log(power[rows, bins - 1] + 1e-30)
        beyond = np.log(power[rows, bins + 1] + 1e-30)
        top = np.log(here)
        bend = 2 * top - below - beyond
        offset = 0.5 * (beyond - below) / np.maximum(bend, 1e-6)
        np.clip(offset, -0.5, 0.5, out=offset)
        height = np.exp(top + 0.25 * (beyond - below) * offset) * self._tone_scale
        hz = (bins + offset) * BIN_HZ
        beside = noise[rows, bins // _BAND] * (self._noise_scale)
        found: list[list[Peak]] = [[] for _ in range(FRAMES_A_BLOCK)]
        for row, *peak in zip(rows.tolist(), hz.tolist(), height.tolist(), beside.tolist(), strict=True):
            found[row].append(Peak(*peak))
        return [_strongest(peaks) for peaks in found]


def _strongest(peaks: list[Peak]) -> list[Peak]:
    if len(peaks) <= MOST_PEAKS:
        return peaks
    least = sorted((peak.power for peak in peaks), reverse=True)[MOST_PEAKS - 1]
    return [peak for peak in peaks if peak.power >= least]
