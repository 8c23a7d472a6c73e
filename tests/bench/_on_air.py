"""What a microphone says on a channel, as it reaches another member: marks in it, found in the packets."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from echostream.audio.format import RATE_HZ
from echostream.audio.opus_codec import OpusDecoder
from echostream.channels.media_session import Listener
from echostream.simulator.member import Member
from tests.bench._relay_bench import Sent

MARK_HZ, MARK_S, EVERY_S = 1500.0, 0.02, 0.5
NOISE_LEVEL, MARK_LEVEL = 30.0, 12_000.0
WAV_HZ = 16_000
LATEST_S = 0.45
HEARD_SHARE = 0.3


def marked_file(path: Path) -> Path:
    """10 s of faint noise with a burst of a tone each half second, 16 kHz."""
    count = 10 * WAV_HZ
    sound = np.random.default_rng(5).normal(scale=NOISE_LEVEL, size=count)
    burst = _burst(WAV_HZ)
    for begin in range(0, count, int(EVERY_S * WAV_HZ)):
        sound[begin : begin + burst.size] += MARK_LEVEL * burst
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(WAV_HZ)
        file.writeframes(np.rint(sound).astype("<i2").tobytes())
    return path


def _burst(rate_hz: int) -> NDArray[np.float64]:
    t = np.arange(int(MARK_S * rate_hz)) / rate_hz
    burst: NDArray[np.float64] = np.sin(2 * np.pi * MARK_HZ * t) * np.hanning(t.size)
    return burst


class OnAir:
    """Stands before the member's receive side of a channel and notes each packet as it comes."""

    def __init__(self, member: Member, channel_id: str) -> None:
        self._packets: list[tuple[float, bytes, int, bytes]] = []
        runtimes = {one.config.id: one.stream.receive for one in member.gateway.channels}
        self._next: Listener = runtimes[channel_id]
        member.gateway.media.set_listeners({**runtimes, channel_id: self})

    def accept(self, prefix: bytes, tick: int, packet: bytes, now: float) -> None:
        """On the member's udp thread."""
        self._packets.append((now, prefix, tick, packet))
        self._next.accept(prefix, tick, packet, now)

    def delays_ms(self, sent: Sent, chunk_bytes: int) -> list[float]:
        """Of each mark: from its middle being taken up to the packet that holds it, less the chunk."""
        if not self._packets:
            return []
        decoder = OpusDecoder()
        ordered = sorted(self._packets, key=lambda one: one[2])
        frames = [decoder.decode(packet) for _, _, _, packet in ordered]
        sound = np.concatenate(frames).astype(np.float64)
        ends = np.cumsum([frame.size for frame in frames])
        times = np.array([now for now, _, _, _ in ordered])
        found = _places(sound)
        block = np.searchsorted(ends, found, side="right")
        arrived_s = times[np.minimum(block, times.size - 1)]
        middle_s = (
            sent.first_at_s + MARK_S / 2 + EVERY_S * np.arange(int(sent.samples / sent.true_hz / EVERY_S))
        )
        own_s = chunk_bytes / 2 / sent.true_hz
        delays = []
        for at_s in arrived_s:
            before = middle_s[middle_s < at_s]
            if before.size and at_s - before[-1] < LATEST_S:
                delays.append(1e3 * (at_s - before[-1] - own_s))
        return delays


def _places(sound: NDArray[np.float64]) -> NDArray[np.intp]:
    """Middles of the marks, in samples."""
    burst = _burst(RATE_HZ)
    t = np.arange(burst.size) / RATE_HZ
    analytic = np.hanning(burst.size) * np.exp(2j * np.pi * MARK_HZ * t)
    alike = np.abs(fftconvolve(sound, np.conj(analytic[::-1]), mode="same"))
    high = HEARD_SHARE * np.quantile(alike, 0.9999)
    places = []
    step = int(0.3 * RATE_HZ)
    at = 0
    while at < alike.size:
        over = np.flatnonzero(alike[at:] > high)
        if not over.size:
            break
        first = at + int(over[0])
        places.append(first + int(np.argmax(alike[first : first + int(2 * MARK_S * RATE_HZ)])))
        at = first + step
    return np.array(places, np.intp)
