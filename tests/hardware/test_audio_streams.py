"""Sources and sinks on a clock that moves when they wait: lost audio, dry rings, cards that go or hang."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from pulse import Outcome

from echostream.audio.format import silence
from echostream.audio.ports import CardSpec
from echostream.errors import DeviceLost, DeviceMissing, SourceClosed, StateError
from echostream.hardware.audio_clock import SteppedClock
from echostream.hardware.audio_mock import MockAudioHardware
from echostream.hardware.audio_streams import CardSink, CardSource

SPEC = CardSpec("usb0")


class FakeRaw:
    """A raw stream whose next counts of available frames are scripted; the last one stays."""

    def __init__(self, available: list[int], rate_hz: int = 48_000, channels: int = 1) -> None:
        self.rate_hz, self.channels, self.capacity = rate_hz, channels, 5760
        self.counts = available
        self.closes = 0
        self.hold: threading.Event | None = None
        self.written: list[int] = []

    def available(self) -> int:
        if self.hold is not None:
            self.hold.wait(10)
        return self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]

    def read(self, frames: int) -> bytes:
        return bytes(2 * frames * self.channels)

    def write(self, data: bytes, frames: int) -> None:
        assert len(data) == 2 * frames * self.channels
        self.written.append(frames)

    def close(self) -> None:
        self.closes += 1


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def mock(clock: SteppedClock) -> MockAudioHardware:
    return MockAudioHardware(["usb0"], clock)


def test_twenty_minutes_of_frames_loses_nothing(mock: MockAudioHardware, clock: SteppedClock) -> None:
    source = mock.open_source(CardSpec("usb0", "mono", 60))
    began_s = clock.now()
    for index in range(20_000):
        frame = source.read()
        assert (frame.index, frame.gap) == (index, False)
    assert clock.now() - began_s == pytest.approx(1200, abs=0.01)


def test_fed_samples_come_out_as_they_went_in(mock: MockAudioHardware) -> None:
    signal = np.arange(-2000, 2800, dtype=np.int16)
    mock.feed("usb0", signal)
    source = mock.open_source(SPEC)
    assert np.array_equal(np.concatenate([source.read().samples for _ in range(5)]), signal)
    assert not source.read().samples.any()


def test_late_reader_within_the_ring_loses_nothing(mock: MockAudioHardware, clock: SteppedClock) -> None:
    source = mock.open_source(SPEC)
    source.read()
    clock.advance(0.1)
    frames = [source.read() for _ in range(10)]
    assert [frame.index for frame in frames] == list(range(1, 11))
    assert not any(frame.gap for frame in frames)
    assert frames[4].complete_at_s - frames[0].complete_at_s < 0.001
    assert source.overruns == 0  # type: ignore[attr-defined]


def test_overrun_is_counted_and_the_index_counts_what_was_lost(
    mock: MockAudioHardware, clock: SteppedClock
) -> None:
    source = mock.open_source(SPEC)
    for _ in range(10):
        source.read()
    clock.advance(1.0)
    frames = [source.read() for _ in range(3)]
    assert [frame.index for frame in frames] == [60, 61, 62]
    assert [frame.gap for frame in frames] == [True, False, False]
    assert source.overruns == 1  # type: ignore[attr-defined]


def test_ring_that_ran_dry_is_counted_once_and_cushioned_again(
    mock: MockAudioHardware, clock: SteppedClock
) -> None:
    sink = mock.open_sink(SPEC)
    tone = np.full(960, 7, np.int16)
    for _ in range(10):
        sink.write(tone)
    clock.advance(0.5)
    for _ in range(10):
        sink.write(tone)
    assert sink.underruns == 1  # type: ignore[attr-defined]
    played = mock.played("usb0")
    assert np.array_equal(played, np.concatenate([silence(1920), np.tile(tone, 10)] * 2))


def test_writer_is_at_most_a_cushion_and_a_frame_ahead(mock: MockAudioHardware, clock: SteppedClock) -> None:
    sink = mock.open_sink(SPEC)
    began_s = clock.now()
    for count in range(1, 500):
        sink.write(silence(960))
        ahead_s = 0.04 + count * 0.02 - (clock.now() - began_s)
        assert ahead_s < 0.0605
    assert ahead_s > 0.055
    assert sink.underruns == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("direction", ["source", "sink"])
def test_pulled_card_is_lost_and_opens_again(mock: MockAudioHardware, direction: str) -> None:
    def use() -> None:
        if direction == "source":
            mock.open_source(SPEC).read()
        else:
            mock.open_sink(SPEC).write(silence(960))

    device = mock.open_source(SPEC)
    device.read()
    mock.unplug("usb0")
    with pytest.raises(DeviceLost, match="usb0"):
        device.read()
    with pytest.raises(DeviceMissing, match="usb0 is not plugged in"):
        use()
    mock.plug("usb0")
    with pytest.raises(DeviceLost, match="usb0"):
        device.read()
    use()


@pytest.mark.parametrize("direction", ["source", "sink"])
def test_card_that_stands_still_because_it_left_the_bus_is_lost(clock: SteppedClock, direction: str) -> None:
    """A USB card that is pulled can leave ALSA saying "nothing available" for ever."""
    asked: list[float] = []

    def gone() -> bool:
        asked.append(clock.now())
        return len(asked) == 2

    def use() -> None:
        if direction == "source":
            CardSource(FakeRaw([0]), SPEC, gone, clock).read()
        else:
            CardSink(FakeRaw([0]), SPEC, gone, clock).write(silence(960))

    began_s = clock.now()
    with pytest.raises(DeviceLost, match="usb0 was unplugged"):
        use()
    assert clock.now() - began_s < 0.15


def test_errors_of_the_card_reach_the_reader_from_any_call(clock: SteppedClock) -> None:
    class Broken(FakeRaw):
        def read(self, frames: int) -> bytes:
            raise DeviceLost("PortAudio: error -9999")

    with pytest.raises(DeviceLost, match="-9999"):
        CardSource(Broken([960]), SPEC, lambda: False, clock).read()


def test_close_gives_up_on_a_driver_that_holds_a_call() -> None:
    raw = FakeRaw([0])
    source = CardSource(raw, SPEC, lambda: False)
    raw.hold = threading.Event()
    reader = Outcome(source.read)
    time.sleep(0.02)
    began_s = time.monotonic()
    source.close()
    assert time.monotonic() - began_s < 1.5
    assert raw.closes == 0
    raw.hold.set()
    assert isinstance(reader.wait(), SourceClosed)
    source.close()
    source.close()
    assert raw.closes == 1


def test_small_ring_still_takes_whole_frames(clock: SteppedClock) -> None:
    raw = FakeRaw([1920, 960])
    raw.capacity = 1920
    sink = CardSink(raw, SPEC, lambda: False, clock)
    sink.write(silence(960))
    assert raw.written == [960, 960]


def test_frame_of_the_wrong_length_is_our_own_bug(clock: SteppedClock) -> None:
    sink = CardSink(FakeRaw([5760]), SPEC, lambda: False, clock)
    with pytest.raises(StateError, match="1920 samples at once"):
        sink.write(silence(1920))


def test_other_rate_and_channels_make_exact_frames(clock: SteppedClock) -> None:
    source = CardSource(FakeRaw([882], rate_hz=44_100, channels=2), SPEC, lambda: False, clock)
    assert {len(source.read().samples) for _ in range(20)} == {960}
