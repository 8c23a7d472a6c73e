"""Two clocks that differ by 200 ppm: does the delay stay where it is, and is nothing thrown away?

24 h go through the servo alone, step by step, because that is what acts over hours; ten minutes (an hour with
--long) go through the whole receive path with real Opus, and the delay is measured by ear: the sound that
comes out is looked for in the sound that went in.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import numpy as np

from echostream.audio.drift_servo import DriftServo
from echostream.audio.format import RATE_HZ, TICK_SAMPLES
from tests.bench._simulated import (
    FRAME_S,
    Arrival,
    Float32,
    decode,
    encode,
    find,
    gateway_encoder,
    pulls,
    receive_path,
)
from tests.bench._speech import speech
from tests.bench.rows import Row, percentile

DAY_S = 24 * 3600.0
PPM = 200.0
GOAL_MS = 10.0
TARGET_MS = 40.0
NETWORK_S = 0.005
LAG_SMOOTHING = 0.1
"""How the talker smooths the lag it measures before the servo sees it."""
SPEECH_S = 60.0
WINDOW_S = 0.4
LISTEN_EVERY_S = 2.0
LIKE = 0.9
"""Below this likeness the window was found nowhere: a pause, or a splice in it."""


def run(long: bool = False) -> list[Row]:
    """Both signs at both levels."""
    rows = [_servo_row(ppm) for ppm in (PPM, -PPM)]
    minutes = 60 if long else 10
    return rows + [_path_row(ppm, minutes) for ppm in (PPM, -PPM)]


def _servo_row(ppm: float) -> Row:
    least, most, end_ppm = _servo_day(ppm / 1e6)
    wander = most - least
    return Row(
        "drift",
        f"{ppm:+.0f} ppm, 24 h through the servo: delay wanders",
        f"{wander:.2f} ms",
        f"<= {GOAL_MS:.0f} ms",
        wander <= GOAL_MS,
        f"from {least - TARGET_MS:+.2f} to {most - TARGET_MS:+.2f} ms, lock-in included; "
        f"learned {end_ppm:+.1f} ppm",
    )


def _servo_day(drift: float) -> tuple[float, float, float]:
    """Least and greatest lag (ms) over a day of pulls, from the first one on, and what the servo learned."""
    servo = DriftServo()
    lag_ms = smooth_ms = least = most = TARGET_MS
    frame_ms = 1000.0 * FRAME_S
    for _ in range(int(DAY_S / FRAME_S)):
        smooth_ms += LAG_SMOOTHING * (lag_ms - smooth_ms)
        ratio = servo.update(smooth_ms, TARGET_MS, FRAME_S)
        # In one pull the sender makes 1 + drift frames; 1 / ratio of them are taken.
        lag_ms += frame_ms * (1.0 + drift - 1.0 / ratio)
        if lag_ms < least:
            least = lag_ms
        elif lag_ms > most:
            most = lag_ms
    return least, most, servo.ppm


def _path_row(ppm: float, minutes: int) -> Row:
    packets = encode(speech(SPEECH_S)[: int(SPEECH_S * RATE_HZ)], gateway_encoder())
    twice = decode(packets * 2).astype(np.float32)
    once = twice[-len(packets) * TICK_SAMPLES :]  # as it sounds from the second round on
    drift = ppm / 1e6
    path = receive_path()
    track: list[tuple[float, float]] = []
    unlike = 0
    for played_s, heard in _windows(pulls(path, packets, _arrivals(drift), int(minutes * 60 / FRAME_S))):
        media_per_s = RATE_HZ * (1.0 + drift)
        expected = int((played_s - 0.05) * media_per_s)
        found = find(heard, np.concatenate((once, once)), expected % once.size, int(0.1 * RATE_HZ))
        if found is None:
            continue
        at, likeness = found
        if likeness < LIKE:
            unlike += 1
            continue
        offset = at - expected % once.size
        track.append((played_s, 1000.0 * (played_s - (expected + offset) / media_per_s)))
    delays = [delay for _, delay in track]
    stats = path.stats
    lost = stats.packets_lost + stats.packets_late + stats.dropped + stats.concealed
    wander = max(delays) - min(delays)
    return Row(
        "drift",
        f"{ppm:+.0f} ppm, {minutes} min of speech through the receive path: delay wanders",
        f"{wander:.2f} ms, {lost} packets lost, late, dropped or concealed",
        f"<= {GOAL_MS:.0f} ms, 0",
        wander <= GOAL_MS and lost == 0,
        f"median {percentile(delays, 0.5):.1f} ms in {len(delays)} places, {unlike} not recognised; "
        f"learned {stats.drift_ppm:+.0f} ppm",
    )


def _arrivals(drift: float) -> Iterator[Arrival]:
    """Each packet when its frame is complete on the sender's clock, and NETWORK_S later."""
    for number in count():
        yield Arrival((number + 1) * FRAME_S / (1.0 + drift) + NETWORK_S, number)


def _windows(frames: Iterator[tuple[Float32, bool]]) -> Iterator[tuple[float, Float32]]:
    """Every LISTEN_EVERY_S a piece of WINDOW_S: (seconds at which its first sample is played, samples)."""
    every, length = int(LISTEN_EVERY_S / FRAME_S), int(WINDOW_S / FRAME_S)
    piece: list[Float32] = []
    for number, (frame, _talking) in enumerate(frames):
        if number % every < length:
            piece.append(frame)
        if number % every == length - 1:
            yield (number - length + 1) * FRAME_S, np.concatenate(piece)
            piece = []
