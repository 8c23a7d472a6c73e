"""Between what a card offers (rate, channels) and the gateway's 48 kHz mono. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Frame, Samples, samples_per_frame
from echostream.audio.ports import Side
from echostream.audio.resampler import RationalResampler
from echostream.hardware.card_identity import Half

_DEFAULT_RATES_HZ = (48_000, 44_100, 96_000, 32_000, 16_000)
_MOST_CHANNELS = 8


def formats(half: Half | None, side: Side) -> tuple[tuple[int, int], ...]:
    """(rate in Hz, channels) to try on a card, best first.

    Our own rate comes before any other, and mono before stereo unless one side is asked for. What the driver
    tells of the card leaves out what it cannot do.
    """
    told_rates = half.rates_hz if half else ()
    told_channels = half.channels if half else ()
    rates = sorted(told_rates, key=lambda hz: (hz != RATE_HZ, hz < RATE_HZ, abs(hz - RATE_HZ)))
    usable = [hz for hz in rates or _DEFAULT_RATES_HZ if hz % 100 == 0]
    least = 1 if side == "mono" else 2
    counts = [count for count in sorted(told_channels) or (1, 2) if least <= count <= _MOST_CHANNELS]
    # A card that has but one channel still serves a side: both sides are the same then.
    return tuple((hz, count) for hz in usable for count in counts or sorted(told_channels) or (1,))


def device_frame(rate_hz: int, frame_ms: int) -> int:
    """Samples per channel of one frame at the card's rate."""
    return rate_hz * frame_ms // 1000


@dataclass(slots=True)
class Captured:
    """One frame as a card gave it: interleaved int16 of its own rate. Other fields as in Frame."""

    data: bytes
    index: int
    complete_at_s: float
    gap: bool


class CaptureLayout:
    """Interleaved bytes of a card in, mono frames of exact length at 48 kHz out."""

    def __init__(self, rate_hz: int, channels: int, side: Side, frame_ms: int) -> None:
        self._channels = channels
        self._side = side
        self._frame = samples_per_frame(frame_ms)
        self._resampler = None if rate_hz == RATE_HZ else RationalResampler(rate_hz, RATE_HZ)

    def frame(self, data: bytes) -> Samples:
        """One device frame (device_frame(...) * channels int16) -> shape (samples_per_frame,), int16."""
        block = np.frombuffer(data, np.int16)
        if self._channels > 1:
            block = one_side(block.reshape(-1, self._channels), self._side)
        if self._resampler is not None:
            # Of a whole number of milliseconds the resampler makes exactly as many, every time.
            block = self._resampler.process(block)
        return block

    def captured(self, raw: Captured) -> Frame:
        """The same frame in the gateway's format."""
        if raw.gap and self._resampler is not None:
            self._resampler.reset()
        return Frame(self.frame(raw.data), raw.index, raw.complete_at_s, raw.gap)


class PlaybackLayout:
    """Mono frames at 48 kHz in, interleaved bytes for a card out."""

    def __init__(self, rate_hz: int, channels: int, side: Side) -> None:
        self._channels = channels
        self._side = side
        self._resampler = None if rate_hz == RATE_HZ else RationalResampler(RATE_HZ, rate_hz)

    def data(self, samples: Samples) -> bytes:
        """Shape (n,), int16 -> interleaved int16 of the card's rate; mono goes to every channel."""
        block = samples if self._resampler is None else self._resampler.process(samples)
        if self._channels == 1:
            return bytes(block)
        wide = np.zeros((len(block), self._channels), np.int16)
        if self._side == "mono":
            wide[:] = block[:, np.newaxis]
        else:
            wide[:, 0 if self._side == "left" else 1] = block
        return wide.tobytes()


class StereoLayout:
    """Two mono frames at 48 kHz in, one for each side of a card; interleaved bytes out."""

    def __init__(self, rate_hz: int, channels: int) -> None:
        self._channels = channels
        self._resamplers = (
            None
            if rate_hz == RATE_HZ
            else (RationalResampler(RATE_HZ, rate_hz), RationalResampler(RATE_HZ, rate_hz))
        )

    def data(self, left: Samples, right: Samples) -> bytes:
        """Shapes (n,) and (n,), int16 -> interleaved int16. A card with one channel plays their sum."""
        if self._resamplers is not None:
            left, right = self._resamplers[0].process(left), self._resamplers[1].process(right)
        if self._channels == 1:
            total = left.astype(np.int32) + right
            return bytes(np.clip(total, -32768, 32767).astype(np.int16))
        wide = np.zeros((len(left), self._channels), np.int16)
        wide[:, 0], wide[:, 1] = left, right
        return wide.tobytes()


def one_side(block: NDArray[np.int16], side: Side) -> Samples:
    """Shape (n, channels), int16 -> (n,): left, right, or the mean of the first two."""
    if side == "left" or block.shape[1] == 1:
        return np.ascontiguousarray(block[:, 0])
    if side == "right":
        return np.ascontiguousarray(block[:, 1])
    return ((block[:, 0].astype(np.int32) + block[:, 1]) >> 1).astype(np.int16)
