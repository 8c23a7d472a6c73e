"""Network microphones on a channel's transmit path: what leaves of them, when, and at which rate."""

from __future__ import annotations

import numpy as np
import pytest
from device_bench import Microphone, info, level_at, tone

from echostream.audio.format import Frame, Samples, silence
from echostream.audio.opus_codec import OpusDecoder
from echostream.channels.device_mix import DeviceMix, MixSink
from echostream.channels.transmit_path import TransmitPath, TransmitSettings
from echostream.config.esp32_models import DeviceDefaults
from echostream.events import Opener

VOICED = DeviceDefaults(channel="c", transmit="vox")
ALWAYS = DeviceDefaults(channel="c", transmit="always")


class Wire:
    """An uplink that decodes what it is given."""

    start_tick = 0

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.packets: list[bytes] = []

    def send_packet(self, tick: int, opus: bytes) -> int:
        self.ticks.append(tick)
        self.packets.append(opus)
        return len(opus)

    @property
    def heard(self) -> Samples:
        decoder = OpusDecoder()
        return np.concatenate([decoder.decode(packet) for packet in self.packets])


class Channel:
    """A transmit path, its microphones, and a coordinator that opens at once whatever asks."""

    def __init__(self, frame_ms: int = 20, obeys: bool = True, card: int = 0) -> None:
        self.frame_s = frame_ms / 1000
        self.count = 48 * frame_ms
        self.path = TransmitPath(
            TransmitSettings(frame_ms=frame_ms, high_pass_hz=0), lambda active, at_s: None, self._drained
        )
        self.mix = DeviceMix(frame_ms, 0.0, self._opener, self._first)
        self.wire = Wire()
        self.path.set_uplink(self.wire)
        self.told: list[tuple[Opener, bool, float]] = []
        self.drained: list[int] = []
        self.microphones: list[Microphone] = []
        self.obeys = obeys
        self.card = card
        self.number = 0
        self.index = -1

    @property
    def now(self) -> float:
        return (self.index + 1) * self.frame_s

    def add(self, samples: Samples, device: DeviceDefaults = VOICED, **more: object) -> MixSink:
        rate_hz = int(more.get("rate_hz", 16_000))  # type: ignore[call-overload]
        sink = self.mix.open(info(f"mic-{len(self.microphones)}", rate_hz), device)
        self.microphones.append(Microphone(sink, samples, began_s=self.now, **more))  # type: ignore[arg-type]
        return sink

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / self.frame_s)):
            self.index += 1
            for microphone in self.microphones:
                microphone.run(self.now)
            samples = tone(48_000, 3000, self.frame_s, self.card) if self.card else silence(self.count)
            self.path.feed(Frame(samples, self.index, self.now))

    def key(self, card_talks: bool) -> None:
        self.number += 1
        self.path.card_talks(card_talks)
        self.path.arm(self.number, self.now)
        self.path.open(self.number)

    def release(self) -> None:
        self.path.close(self.number)

    def _first(self, mix: DeviceMix) -> None:
        self.path.devices = mix

    def _drained(self, number: int) -> None:
        self.drained.append(number)

    def _opener(self, opener: Opener, active: bool, at_s: float) -> None:
        self.told.append((opener, active, at_s))
        if self.obeys and active:
            self.key(card_talks=False)
        elif self.obeys:
            self.release()


def spoken(seconds: float, before_s: float = 0.5, after_s: float = 1.5, rate_hz: int = 16_000) -> Samples:
    """Silence, a tone of 500 Hz, silence."""
    quiet = [silence(int(rate_hz * length)) for length in (before_s, after_s)]
    return np.concatenate((quiet[0], tone(rate_hz, 500, seconds), quiet[1]))


def test_a_voice_at_a_microphone_leaves_as_a_transmission_and_its_end_ends_it() -> None:
    channel = Channel()
    channel.add(spoken(1.0))
    channel.run(4.0)
    assert [(opener, active) for opener, active, _ in channel.told] == [
        (Opener.DEVICE, True),
        (Opener.DEVICE, False),
    ]
    assert channel.drained == [1]
    heard = channel.wire.heard
    assert level_at(heard[24_000:48_000], 500, 48_000) == pytest.approx(8000, rel=0.05)


def test_the_first_syllable_is_there() -> None:
    """All of the tone, and the 200 ms before it."""
    channel = Channel()
    channel.add(spoken(1.0))
    channel.run(4.0)
    heard = np.abs(channel.wire.heard.astype(float))
    voiced = np.flatnonzero(heard > 2000)
    assert voiced[-1] - voiced[0] == pytest.approx(48_000, abs=500)
    assert voiced[0] >= 0.19 * 48_000


def test_the_pre_roll_goes_in_a_burst_and_no_tick_comes_twice() -> None:
    channel = Channel()
    channel.add(spoken(1.0))
    channel.run(4.0)
    ticks = channel.wire.ticks
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    # The voice begins at 0.5 s and is read 40 ms late; 200 ms before it are sent too.
    assert ticks[0] * 0.02 == pytest.approx(0.5 + 0.04 - 0.2, abs=0.021)


def test_a_16_khz_microphone_is_encoded_at_its_own_rate() -> None:
    channel = Channel()
    channel.add(spoken(0.5))
    channel.run(3.0)
    assert list(channel.path._other_encoders) == [320]
