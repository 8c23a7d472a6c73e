"""The real receive path in simulated time: real packets, a network made of numbers, and a stopwatch by sound.

Delay is not what the path says of itself but what is heard: its output is found again in the decoded original
by cross-correlation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import correlate

from echostream.audio.format import RATE_HZ, TICK_SAMPLES, Samples
from echostream.audio.opus_codec import EncoderSettings, OpusDecoder, OpusEncoder
from echostream.channels.receive_path import ReceivePath, ReceiveStats
from echostream.config.models import Audio

FRAME_S = 0.02
PREFIX = b"talker"
FIRST_TICK = 1_000_000
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Arrival:
    """Packet `number` of the talker reaches the gateway at `at_s` of simulated time."""

    at_s: float
    number: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What came out: sample i was played at i / 48000 s. `talking`: of each 20 ms pull."""

    samples: Float32
    talking: NDArray[np.bool_]
    stats: ReceiveStats


def encode(samples: Samples, settings: EncoderSettings) -> list[bytes]:
    """One packet for each 20 ms."""
    encoder = OpusEncoder(settings)
    whole = samples[: samples.size // TICK_SAMPLES * TICK_SAMPLES].reshape(-1, TICK_SAMPLES)
    packets = [encoder.encode(frame) for frame in whole]
    encoder.close()
    return packets


def decode(packets: Iterable[bytes | None]) -> Samples:
    """Straight through libopus; None is a packet that got lost, and is extrapolated."""
    decoder = OpusDecoder()
    return np.concatenate(
        [decoder.conceal(TICK_SAMPLES) if packet is None else decoder.decode(packet) for packet in packets]
    )


def gateway_encoder() -> EncoderSettings:
    """The encoder as a gateway has it without being told anything."""
    audio = Audio()
    return EncoderSettings(
        audio.bitrate_bps, audio.complexity, audio.fec, audio.dtx, audio.expected_loss_percent
    )


def receive_path() -> ReceivePath:
    """As a gateway has it without being told anything."""
    audio = Audio()
    return ReceivePath(audio.frame_ms, audio.jitter_min_ms, audio.jitter_max_ms)


def pulls(
    path: ReceivePath, packets: list[bytes], arrivals: Iterable[Arrival], count: int
) -> Iterator[tuple[Float32, bool]]:
    """`count` pulls, one every 20 ms of the loudspeaker's clock: (frame, whether somebody talks).

    arrivals: in order of time. Packets repeat from the start when the talker goes on for longer.
    """
    coming = iter(arrivals)
    following = next(coming, None)
    for pull in range(count):
        now = pull * FRAME_S
        while following is not None and following.at_s <= now:
            packet = packets[following.number % len(packets)]
            path.accept(PREFIX, FIRST_TICK + following.number, packet, following.at_s)
            following = next(coming, None)
        frame, talking = path.pull(now)
        yield frame.astype(np.float32, copy=True), talking


def receive(packets: list[bytes], arrivals: list[Arrival], duration_s: float) -> Heard:
    """All of it at once; for runs of minutes."""
    path = receive_path()
    ordered = sorted(arrivals, key=lambda arrival: arrival.at_s)
    got = list(pulls(path, packets, ordered, int(duration_s / FRAME_S)))
    samples = np.concatenate([frame for frame, _ in got])
    return Heard(samples, np.array([talks for _, talks in got]), path.stats)


def find(part: Float32, original: Float32, at: int, reach: int) -> tuple[int, float] | None:
    """Where `part` stands in `original`, searched within ±`reach` of `at`: (sample, likeness 0 to 1).

    None where there is too little sound to tell.
    """
    low, high = max(0, at - reach), min(original.size, at + part.size + reach)
    field = original[low:high]
    energy = float(part @ part)
    if field.size < part.size or energy < part.size * 30.0**2:
        return None
    match = correlate(field, part, mode="valid", method="fft")
    squared = np.concatenate(([0.0], np.cumsum(field.astype(np.float64) ** 2)))
    norms = np.sqrt(np.maximum(squared[part.size :] - squared[: -part.size], 1.0) * energy)
    likeness = match / norms
    best = int(np.argmax(likeness))
    return low + best, float(likeness[best])


def delay_track(
    heard: Float32, original: Float32, step_s: float, window_s: float, media_per_s: float = RATE_HZ
) -> list[tuple[float, float, float]]:
    """(seconds, delay in ms, likeness) every `step_s`: how long after its capture each window is played.

    media_per_s: samples of the original's clock in one second of the loudspeaker's. The first sample of the
    original was captured at 0 s.
    """
    window = int(window_s * RATE_HZ)
    track = []
    for start in range(0, heard.size - window, int(step_s * RATE_HZ)):
        played_s = start / RATE_HZ
        expected = int((played_s - 0.1) * media_per_s)
        found = find(heard[start : start + window], original, expected, int(0.25 * RATE_HZ))
        if found is not None:
            at, likeness = found
            track.append((played_s, 1000.0 * (played_s - at / media_per_s), likeness))
    return track
