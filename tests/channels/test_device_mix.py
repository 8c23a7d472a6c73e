"""Network microphones on a channel's transmit path: what leaves of them, when, and at which rate."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from device_bench import Microphone, info, level_at, tone
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.format import Frame, Samples, silence
from echostream.audio.opus_codec import OpusDecoder, packet_samples
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
    # The voice begins at 0.5 s and is read 32 ms late; 200 ms before it are sent too.
    assert ticks[0] * 0.02 == pytest.approx(0.5 + 0.032 - 0.2, abs=0.021)


def test_a_16_khz_microphone_is_encoded_at_its_own_rate() -> None:
    channel = Channel()
    channel.add(spoken(0.5))
    channel.run(3.0)
    assert list(channel.path._other_encoders) == [320]


def test_two_microphones_are_mixed_at_the_higher_of_their_rates() -> None:
    channel = Channel()
    channel.add(spoken(2.0))
    eight = np.concatenate((silence(4000), tone(8000, 1200, 2.0), silence(12_000)))
    channel.add(eight, rate_hz=8000, block=160)
    channel.run(4.5)
    assert list(channel.path._other_encoders) == [320]
    heard = channel.wire.heard[30_000:90_000]
    assert level_at(heard, 500, 48_000) == pytest.approx(8000, rel=0.1)
    assert level_at(heard, 1200, 48_000) == pytest.approx(8000, rel=0.1)


def test_one_that_joins_a_transmission_is_late_by_its_pre_roll_and_loses_nothing() -> None:
    """No tick is sent twice, so the second voice's pre-roll delays it until its valve shuts."""
    channel = Channel()
    channel.add(spoken(4.0))
    later = np.concatenate((silence(32_000), tone(16_000, 1300, 0.5), silence(32_000)))
    second = channel.add(later)
    channel.run(2.5)
    assert second.voice.late_frames in (9, 10)
    channel.run(4.5)
    heard = channel.wire.heard
    rows = heard[: heard.size // 480 * 480].reshape(-1, 480)
    loud = [level_at(row, 1300, 48_000) > 2000 for row in rows]
    assert sum(loud) * 0.01 == pytest.approx(0.5, abs=0.03)
    assert channel.drained == [1]
    assert len(set(channel.wire.ticks)) == len(channel.wire.ticks)


def test_a_button_while_a_microphone_talks_adds_the_card_and_its_release_takes_it_away() -> None:
    channel = Channel(card=6000)
    channel.add(spoken(6.0))
    channel.run(2.0)
    alone = len(channel.wire.packets)
    channel.path.card_talks(True)
    channel.run(1.5)
    both = len(channel.wire.packets)
    channel.path.card_talks(False)
    channel.run(1.5)
    heard = channel.wire.heard
    parts = [heard[960 * first + 9600 : 960 * last] for first, last in ((0, alone), (alone, both))]
    parts.append(heard[960 * both + 9600 :])
    assert [level_at(part, 3000, 48_000) > 3000 for part in parts] == [False, True, False]
    assert all(level_at(part, 500, 48_000) > 6000 for part in parts)


def test_nothing_that_the_card_captured_goes_out_with_a_microphone_not_even_as_pre_roll() -> None:
    channel = Channel(card=6000)
    channel.add(spoken(1.0))
    channel.run(4.0)
    heard = channel.wire.heard
    assert max(level_at(part, 3000, 48_000) for part in np.split(heard[: heard.size // 960 * 960], 20)) < 100


def test_a_microphone_that_is_always_on_the_air_needs_no_voice() -> None:
    channel = Channel()
    channel.add(tone(16_000, 500, 10.0, level=30), ALWAYS)
    channel.run(3.0)
    assert [told[:2] for told in channel.told] == [(Opener.STREAM, True)]
    assert len(channel.wire.packets) > 140


def test_packets_of_10_ms_frames_are_whole_and_at_48_khz() -> None:
    channel = Channel(frame_ms=10)
    channel.add(spoken(1.0), block=160)
    channel.run(4.0)
    assert channel.path._other_encoders == {}
    ticks = channel.wire.ticks
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    assert level_at(channel.wire.heard[24_000:48_000], 500, 48_000) == pytest.approx(8000, rel=0.05)


@pytest.mark.parametrize("frame_ms", [40, 60])
def test_longer_frames(frame_ms: int) -> None:
    channel = Channel(frame_ms=frame_ms)
    channel.add(spoken(1.0))
    channel.run(4.2)
    assert channel.drained == [1]
    assert level_at(channel.wire.heard[24_000:48_000], 500, 48_000) == pytest.approx(8000, rel=0.05)


def test_a_microphone_that_disappears_in_the_middle_of_a_word_ends_its_transmission() -> None:
    channel = Channel()
    sink = channel.add(tone(16_000, 500, 10.0))
    channel.run(2.0)
    sink.ended("device gone")
    channel.microphones.clear()
    channel.run(0.5)
    assert channel.drained == [1]
    assert channel.mix.sinks == ()


def test_a_microphone_that_stops_without_a_word_holds_the_channel_for_two_seconds() -> None:
    channel = Channel()
    channel.add(tone(16_000, 500, 1.0))
    channel.run(2.9)
    assert channel.drained == []
    channel.run(0.5)
    assert channel.drained == [1]


def test_while_nobody_may_talk_the_voice_waits_and_its_last_second_is_kept() -> None:
    """Offline: the valve opens, nothing is armed; back online the transmission begins with what was said."""
    channel = Channel(obeys=False)
    channel.add(tone(16_000, 500, 20.0))
    channel.run(5.0)
    assert channel.wire.packets == []
    channel.key(card_talks=False)
    channel.run(0.02)
    behind = channel.index - channel.wire.ticks[0]
    assert 50 <= behind <= 62
    channel.run(2.0)
    assert channel.wire.ticks[-1] == channel.index


def test_a_microphone_beside_a_pump_that_timed_out_bars_no_other_microphone() -> None:
    channel = Channel()
    channel.add(tone(16_000, 500, 30.0))
    channel.run(3.0)
    channel.mix.bar()  # the time-out timer
    channel.run(1.0)
    assert channel.drained == [1]
    packets = len(channel.wire.packets)
    channel.add(tone(16_000, 1500, 1.0))
    channel.run(4.0)
    assert channel.drained == [1, 2]
    heard = channel.wire.heard[packets * 960 :]
    assert level_at(heard[9600:38_400], 1500, 48_000) > 2000
    assert level_at(heard[9600:38_400], 500, 48_000) < 100


def test_a_microphone_that_timed_out_is_heard_again_after_it_was_quiet() -> None:
    channel = Channel()
    channel.add(np.concatenate((tone(16_000, 500, 5.0), silence(48_000), tone(16_000, 500, 2.0))))
    channel.run(3.0)
    channel.mix.bar()
    channel.run(4.0)
    assert channel.drained == [1]
    channel.run(2.0)
    assert channel.told[-1][:2] == (Opener.DEVICE, True)


def test_our_own_loudspeaker_opens_no_valve_of_a_microphone_near_it() -> None:
    for shy in (True, False):
        channel = Channel(obeys=False)
        channel.mix = DeviceMix(20, 0.0, channel._opener, channel._first, shy=shy)
        channel.path._is_playing = lambda: True
        channel.add(tone(16_000, 500, 3.0))
        channel.run(1.0)
        assert bool(channel.told) is not shy


def test_streams_that_come_and_go_while_the_card_is_away_do_not_pile_up() -> None:
    channel = Channel()
    for number in range(500):
        channel.mix.open(info("porch", stream=number), VOICED).ended("device gone")
    held = [len(channel.mix.sinks)]
    channel.run(0.02)
    assert [*held, len(channel.mix.sinks)] == [1, 0]


def test_a_relay_that_nobody_listens_to_costs_bounded_memory() -> None:
    channel = Channel()
    sink = channel.add(tone(16_000, 500, 60.0))
    for frame in range(3000):
        channel.microphones[0].run(frame * 0.02)
    assert sink.dropped == 3000 - 1 - 256
    channel.microphones[0].began_s -= 60.0
    channel.run(1.0)  # and then it goes on
    assert channel.told[0][:2] == (Opener.DEVICE, True)


def test_a_mix_of_many_never_clips() -> None:
    channel = Channel()
    for number in range(8):
        channel.add(tone(16_000, 400 + 10 * number, 3.0, level=20_000))
    channel.run(3.0)
    assert int(np.abs(channel.wire.heard.astype(int)).max()) < 32_500


def test_without_a_card_taps_and_meter_hear_the_microphones_and_only_for_who_asks() -> None:
    channel = Channel(obeys=False)
    channel.mix = DeviceMix(20, 0.0, channel._opener, channel._first, stands_for_card=True)
    channel.add(tone(16_000, 500, 20.0))
    channel.run(1.0)
    assert channel.path.meter.rms_dbfs < -100
    taken: list[Samples] = []
    channel.path.taps = (lambda frame: taken.append(frame.samples),)
    channel.run(2.0)
    assert level_at(np.concatenate(taken[20:]), 500, 48_000) == pytest.approx(8000, rel=0.05)
    assert channel.path.meter.rms_dbfs == pytest.approx(-15.3, abs=0.5)
    voice = channel.mix.sinks[0].voice
    assert voice.card.position is not None
    channel.path.taps = ()
    channel.run(0.04)
    assert voice.card.position is None  # what waits for nobody is not late for the next
    channel.key(card_talks=False)
    channel.run(1.0)
    assert channel.path.meter.rms_dbfs == pytest.approx(-15.3, abs=0.5)


def test_without_a_card_a_button_sends_every_microphone_once() -> None:
    channel = Channel(obeys=False)
    channel.mix = DeviceMix(
        20, 0.0, channel._opener, channel._first, stands_for_card=True, listens_always=True
    )
    channel.add(tone(16_000, 500, 20.0), DeviceDefaults(channel="c", transmit="vox", gain_db=-6.0))
    channel.run(2.0)
    channel.key(card_talks=True)
    channel.run(1.0)
    assert level_at(channel.wire.heard[-4800:], 500, 48_000) == pytest.approx(4010, rel=0.05)


@pytest.mark.parametrize("began", ["the button", "the voice"])
def test_without_a_card_nothing_is_said_again_after_a_button_is_released(began: str) -> None:
    """What went out as what a card hears goes out no second time as what a microphone says."""
    channel = Channel(obeys=False)
    channel.mix = DeviceMix(20, 0.0, channel._opener, channel._first, stands_for_card=True)
    frequencies = [300 + 100 * step for step in range(20)]  # each a quarter of a second
    channel.add(np.concatenate([tone(16_000, f, 0.25) for f in frequencies]))
    channel.run(0.3)
    channel.key(card_talks=began == "the button")
    channel.run(0.7)
    channel.path.card_talks(True)
    channel.run(1.0)
    channel.path.card_talks(False)
    channel.run(2.5)
    heard = channel.wire.heard
    loudest = []
    for at in range(0, heard.size - 4800, 2400):
        spectrum = np.abs(np.fft.rfft(heard[at : at + 4800] * np.hanning(4800)))
        if spectrum.max() > 1e5:
            loudest.append(round(int(spectrum.argmax()) * 10 / 100))
    assert loudest == sorted(loudest)


ACTIONS = st.sampled_from(
    ["run", "run", "run", "key", "card", "release", "abort", "add", "gone", "stall", "lost"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ACTIONS, max_size=25), st.sampled_from([10, 20, 60]), st.integers(0, 99))
def test_whatever_happens_no_tick_comes_twice_and_each_transmission_drains(
    actions: list[str], frame_ms: int, seed: int
) -> None:
    """A tick that does not grow would be refused by the sealer, and end the channel's worker."""
    channel, rng = Channel(frame_ms, obeys=False, card=3000), np.random.default_rng(seed)
    talking = False
    for action in actions:
        match action:
            case "key" | "card" if not talking:
                channel.key(card_talks=action == "card")
                talking = True
            case "key" | "card":
                channel.path.card_talks(action == "card")
            case "release":
                channel.release()
            case "abort":
                channel.path.abort(channel.number)
            case "add" if len(channel.microphones) < 4:
                rate_hz = int(rng.choice([8000, 16_000, 44_100]))
                device = ALWAYS if rng.random() < 0.3 else VOICED
                channel.add(
                    tone(rate_hz, 500, 20.0), device, rate_hz=rate_hz, block=int(rng.integers(1, 4000))
                )
            case "gone" if channel.microphones:
                channel.microphones.pop().sink.ended("device gone")
            case "stall" if channel.microphones:
                channel.microphones[0].stalls = ((channel.now, channel.now + 0.5),)
            case "lost":
                channel.path.source_lost()
                channel.index += 7
        channel.run(0.24)
        if action in ("release", "abort"):
            channel.run(1.2)
            assert channel.path._current is None
            talking = False
    ticks = channel.wire.ticks
    assert all(earlier < later for earlier, later in itertools.pairwise(ticks))
    for packet in channel.wire.packets[:3]:
        assert packet_samples(packet) == max(960, channel.count)
