"""Network microphones on a simulated clock: their blocks into a channel's mix, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from echostream.audio.device_ports import DeviceAudio, DeviceSink, GapCause, StreamInfo
from echostream.audio.format import Samples


def tone(rate_hz: int, frequency_hz: float, duration_s: float, level: float = 8000.0) -> Samples:
    """A sine, shape (n,), int16."""
    at = np.arange(int(rate_hz * duration_s)) / rate_hz
    return np.round(level * np.sin(2 * np.pi * frequency_hz * at)).astype(np.int16)


def info(name: str = "porch", rate_hz: int = 16_000, stream: int = 1) -> StreamInfo:
    return StreamInfo(name, name, rate_hz, "192.0.2.17", stream)


@dataclass
class Microphone:
    """Speaks `samples` in blocks of `block` samples by a clock that is `ppm` fast, from `began_s` on.

    stalls: (from, to) in seconds: what is due in between arrives at its end. lost: positions (from, to) that
    never arrive; the block behind them says so.
    """

    sink: DeviceSink
    samples: Samples
    rate_hz: int = 16_000
    block: int = 320
    ppm: float = 0.0
    began_s: float = 0.0
    burst: int = 0
    stalls: tuple[tuple[float, float], ...] = ()
    lost: tuple[tuple[int, int], ...] = ()
    sent: int = 0
    _gap: int = field(default=0, init=False)

    def run(self, now: float) -> None:
        """Hand on what is complete by now."""
        if any(begin <= now < end for begin, end in self.stalls):
            return
        due = self.burst + (now - self.began_s) * self.rate_hz * (1 + self.ppm * 1e-6) + 1e-6
        while self.sent + self.block <= min(due, self.samples.size):
            first, self.sent = self.sent, self.sent + self.block
            if any(begin <= first < end for begin, end in self.lost):
                self._gap += self.block
                continue
            gap_s, self._gap = self._gap / self.rate_hz, 0
            block = self.samples[first : self.sent]
            cause: GapCause | None = "device lost audio" if gap_s else None
            self.sink.audio(DeviceAudio(block, first, now, gap_s, cause))


def clock(seconds: float, frame_s: float = 0.02, begin: int = 0) -> Iterator[float]:
    """The ends of the frames."""
    for index in range(begin, begin + round(seconds / frame_s)):
        yield (index + 1) * frame_s


def level_at(samples: NDArray[np.floating] | Samples, frequency_hz: float, rate_hz: int) -> float:
    """Amplitude of one frequency."""
    wide = np.asarray(samples, np.float64)
    at = np.arange(wide.size) / rate_hz
    window = np.hanning(wide.size)
    return float(2 * abs((wide * window * np.exp(-2j * np.pi * frequency_hz * at)).sum()) / window.sum())
