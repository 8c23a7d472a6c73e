"""The front of the ears for short tones (DTMF, five-tone): 40 ms spectra every 8 ms, one look at each block.

A frame is a Hann window of 320 samples, as long as the shortest tone that counts; a block of 512 samples
completes eight. All eight go through one FFT, and each listener decides by a few sums over the result whether
there is anything to follow. Only then the samples themselves are looked at again (`Past`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Final, Protocol

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from echostream.tones.heard import Detection, Heard
from echostream.tones.measure import Past
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Signal

WINDOW: Final = 320
HOP: Final = 64
FRAMES: Final = BLOCK_SAMPLES // HOP
"""Frames that one block completes."""
FFT: Final = 512
BIN_HZ: Final = EAR_RATE_HZ / FFT
LOBE_BINS: Final = 1.5 * FFT / WINDOW
"""The energy of a tone is its highest bin times this (noise bandwidth of a Hann window, in bins)."""
PAST_S: Final = 2.0

Spectra = NDArray[np.float32]
"""Shape (8, 257), float32: power of each bin of each frame; the first frame is the oldest."""

ROWS: Final = np.arange(FRAMES)

_HANN: Final[Signal] = np.hanning(WINDOW + 1)[:WINDOW].astype(np.float32)


class Listener(Protocol):
    """What looks for one kind of short tone in the frames."""

    def look(self, spectra: Spectra, first_end: int, past: Past) -> list[Heard]:
        """The frames of a block: frame n ends before sample first_end + n * HOP; `past` holds the samples."""
        ...

    def finish(self, past: Past) -> list[Heard]:
        """The stream is over."""
        ...

    def forget(self) -> None:
        """Audio was lost: nothing that sounds now belongs to what sounded before."""
        ...


class ShortToneEar:
    """All listeners for short tones of one channel, on common spectra. See `Ear`."""

    def __init__(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        self._past = Past(PAST_S)
        self._samples: Signal = np.zeros(WINDOW - HOP + BLOCK_SAMPLES, np.float32)
        self._frames = sliding_window_view(self._samples, WINDOW)[::HOP]

    def hear(self, block: Signal) -> list[Heard]:
        """See `Ear`."""
        samples = self._samples
        samples[:-BLOCK_SAMPLES] = samples[BLOCK_SAMPLES:]
        samples[-BLOCK_SAMPLES:] = block
        self._past.add(block)
        spectrum = np.fft.rfft(self._frames * _HANN, FFT)
        spectra = (spectrum.real**2 + spectrum.imag**2).astype(np.float32, copy=False)
        first_end = self._past.end - BLOCK_SAMPLES + HOP
        heard: list[Heard] = []
        for listener in self._listeners:
            heard += listener.look(spectra, first_end, self._past)
        return heard

    @property
    def pressing(self) -> bool:
        """See `Ear`: none of its findings is so urgent."""
        return False

    def finish(self) -> list[Heard]:
        """See `Ear`."""
        # Two blocks of silence let the listeners see the end of what still sounds.
        end = self._past.end
        silence = np.zeros(BLOCK_SAMPLES, np.float32)
        heard = self.hear(silence) + self.hear(silence)
        for listener in self._listeners:
            heard += listener.finish(self._past)
        return [_until(end, item) for item in heard]

    def reset(self, position: int) -> None:
        """See `Ear`."""
        self._samples[:] = 0.0
        self._past.forget(position)
        for listener in self._listeners:
            listener.forget()


def peak_hz(power: Spectra, at: int) -> float:
    """power: shape (257,). Where the peak at bin `at` really is, by a parabola through the logarithms."""
    left, middle, right = (math.log(value + 1e-30) for value in power[at - 1 : at + 2].tolist())
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return (at + max(-0.5, min(0.5, shift))) * BIN_HZ


def _until(end: int, item: Heard) -> Heard:
    """Nothing was heard after the stream's end."""
    tones = tuple(dataclasses.replace(tone, end=min(tone.end, end)) for tone in item.tones)
    if isinstance(item, Detection):
        decided = min(item.decided, end)
        return dataclasses.replace(item, end=min(item.end, end), decided=decided, tones=tones)
    return dataclasses.replace(item, end=min(item.end, end), tones=tones)
