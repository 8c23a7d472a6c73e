"""A USB sound card whose output is cabled to its input: level and round trip."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Samples, samples_per_frame
from echostream.audio.ports import CardSpec
from echostream.errors import EchoStreamError
from echostream.hardware.audio_hardware import AudioHardware
from hwtests.here import open_cards
from hwtests.machine import SLACK

FRAME_MS = 20
TONE_HZ = 1000.0
TONE_DBFS = -12.0
CLICK_AT = 25
FRAMES = 100


@dataclass(frozen=True, slots=True)
class Loop:
    """What came back of a tone that started `played_at_s`. heard: int16, from the capture's start."""

    heard: Samples
    heard_until_s: float
    played_at_s: float
    gaps: int


@pytest.fixture(scope="module")
def loop(sound_card: str) -> Loop:
    """One pass: silence, then a tone; skips when nothing of it comes back."""
    hardware = open_cards(sound_card)
    try:
        loop = _pass(hardware, CardSpec(sound_card, "mono", FRAME_MS))
    except EchoStreamError as error:
        pytest.skip(f"{sound_card}: {error}")
    finally:
        hardware.close()
    quiet, loud = _tone_dbfs(loop.heard[: RATE_HZ // 4]), _tone_dbfs(loop.heard[-RATE_HZ // 2 :])
    if loud < quiet + 20:
        pytest.skip(
            f"{sound_card}: the tone does not come back ({loud:.0f} dBFS against {quiet:.0f} before it): "
            "cable its output to its input and raise both levels in alsamixer"
        )
    return loop


def _pass(hardware: AudioHardware, spec: CardSpec) -> Loop:
    count = samples_per_frame(FRAME_MS)
    phase = 2 * np.pi * TONE_HZ * np.arange(count * FRAMES) / RATE_HZ
    tone = (10 ** (TONE_DBFS / 20) * 32767 * np.sin(phase)).astype(np.int16)
    tone[: CLICK_AT * count] = 0
    started: list[float] = []
    source, sink = hardware.open_source(spec), hardware.open_sink(spec)

    def play() -> None:
        for index in range(FRAMES):
            if index == CLICK_AT:
                started.append(time.monotonic())
            sink.write(tone[index * count : (index + 1) * count])

    player = threading.Thread(target=play, name="hwtest-play")
    player.start()
    try:
        frames = [source.read() for _ in range(FRAMES - 5)]
    finally:
        player.join(10)
        sink.close()
        source.close()
    heard = np.concatenate([frame.samples for frame in frames])
    return Loop(heard, frames[-1].complete_at_s, started[0], sum(frame.gap for frame in frames))


def _tone_dbfs(samples: Samples) -> float:
    """Level of TONE_HZ alone, by one bin of a Fourier transform."""
    angle = 2 * np.pi * TONE_HZ * np.arange(len(samples)) / RATE_HZ
    bin_value = np.abs(np.dot(samples.astype(np.float64), np.exp(-1j * angle))) * 2 / len(samples)
    return float(20 * np.log10(max(bin_value, 1e-3) / 32768))


def test_tone_comes_back_clean(loop: Loop) -> None:
    end = loop.heard[-RATE_HZ // 2 :].astype(np.float64)
    tone = _tone_dbfs(loop.heard[-RATE_HZ // 2 :])
    total = 20 * np.log10(np.sqrt(np.mean(end**2)) * np.sqrt(2) / 32768)
    print(f"tone at {tone:.1f} dBFS of {TONE_DBFS:.0f} played")
    assert tone > -50
    assert np.max(np.abs(end)) < 32700, "the input clips: lower its level in alsamixer"
    assert total - tone < 3, "more noise than tone: check the cable and the mixer"


def test_round_trip_is_short(loop: Loop) -> None:
    """From handing the first tone frame to the card to its first sample in our hands."""
    envelope = np.abs(loop.heard.astype(np.float64))
    first = int(np.argmax(envelope > np.max(envelope) / 4))
    heard_at_s = loop.heard_until_s - (len(loop.heard) - first) / RATE_HZ
    round_trip_ms = (heard_at_s - loop.played_at_s) * 1000
    print(f"round trip {round_trip_ms:.0f} ms")
    assert 0 < round_trip_ms < 250 * SLACK


def test_nothing_is_lost_in_two_seconds(loop: Loop) -> None:
    assert loop.gaps <= SLACK - 1
