"""What sound cards promise, kept by the mock and by real PortAudio alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from pulse import CardBench, Outcome, card_bench, level_at, tone

from echostream.audio.format import Frame, samples_per_frame, silence
from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.errors import AudioError, ConfigError, DeviceLost, DeviceMissing, SourceClosed

KINDS = ["mock", pytest.param("pulse", marks=pytest.mark.real_audio)]
USB0, USB1, LATE = CardSpec("usb0"), CardSpec("usb1"), CardSpec("late")
LEFT, RIGHT = CardSpec("duo", "left"), CardSpec("duo", "right")


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest) -> Iterator[CardBench]:
    with card_bench(request.param) as made:
        yield made


@pytest.fixture
def source(bench: CardBench) -> Iterator[Callable[[CardSpec], AudioSource]]:
    opened: list[AudioSource] = []

    def open_source(spec: CardSpec) -> AudioSource:
        opened.append(bench.hardware.open_source(spec))
        return opened[-1]

    yield open_source
    for each in opened:
        each.close()


@pytest.fixture
def sink(bench: CardBench) -> Iterator[Callable[[CardSpec], AudioSink]]:
    opened: list[AudioSink] = []

    def open_sink(spec: CardSpec) -> AudioSink:
        opened.append(bench.hardware.open_sink(spec))
        return opened[-1]

    yield open_sink
    for each in opened:
        each.close()


OpenSource = Callable[[CardSpec], AudioSource]
OpenSink = Callable[[CardSpec], AudioSink]


def read(source: AudioSource, count: int) -> list[Frame]:
    return [source.read() for _ in range(count)]


@pytest.mark.parametrize("frame_ms", [10, 20, 40, 60])
def test_frames_are_exact_and_counted(source: OpenSource, frame_ms: int) -> None:
    frames = read(source(CardSpec("usb0", "mono", frame_ms)), 240 // frame_ms)
    assert {len(frame.samples) for frame in frames} == {samples_per_frame(frame_ms)}
    assert {frame.samples.dtype for frame in frames} == {np.dtype(np.int16)}
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert not any(frame.gap for frame in frames)
    times = [frame.complete_at_s for frame in frames]
    assert times == sorted(times)
    assert times[-1] - times[0] == pytest.approx(0.24 - frame_ms / 1000, abs=0.08)


def test_microphone_hears_what_is_spoken(bench: CardBench, source: OpenSource) -> None:
    bench.speak("usb1", tone(500))
    microphone = source(USB1)
    read(microphone, 20)
    heard = np.concatenate([frame.samples for frame in read(microphone, 10)])
    assert level_at(heard, 500) == pytest.approx(8000, rel=0.02)


def test_loudspeaker_plays_what_is_written(bench: CardBench, sink: OpenSink) -> None:
    bench.played("usb0")
    loudspeaker = sink(USB0)
    signal = tone(1000, 0.02)
    for _ in range(30):
        loudspeaker.write(signal)
    assert level_at(bench.played("usb0")[-7200:], 1000) == pytest.approx(8000, rel=0.05)


def test_writer_is_held_to_the_pace_of_the_card(sink: OpenSink) -> None:
    loudspeaker = sink(USB0)
    began_s = time.monotonic()
    for _ in range(30):
        loudspeaker.write(silence(960))
    assert time.monotonic() - began_s == pytest.approx(0.6, abs=0.12)
    assert loudspeaker.underruns == 0  # type: ignore[attr-defined]


def test_silent_writer_is_counted_as_underrun_and_goes_on(sink: OpenSink) -> None:
    loudspeaker = sink(USB0)
    for _ in range(3):
        loudspeaker.write(silence(960))
    time.sleep(0.2)
    for _ in range(3):
        loudspeaker.write(silence(960))
    assert loudspeaker.underruns == 1  # type: ignore[attr-defined]


def test_absent_card_is_missing_and_never_null(bench: CardBench) -> None:
    for spec in (LATE, CardSpec("nothing"), CardSpec("usb:9-9"), CardSpec("alsa:Nothing")):
        assert not bench.hardware.present(spec.name)
        with pytest.raises(DeviceMissing, match=spec.name):
            bench.hardware.open_source(spec)
        with pytest.raises(DeviceMissing, match=spec.name):
            bench.hardware.open_sink(spec)


def test_index_as_a_name_is_refused(bench: CardBench) -> None:
    with pytest.raises(ConfigError, match="an index changes"):
        bench.hardware.open_source(CardSpec("hw:1,0"))


def test_card_that_was_absent_at_start_is_opened_later(bench: CardBench, source: OpenSource) -> None:
    bench.plug("late")
    try:
        began_s = time.monotonic()
        assert bench.hardware.present("late")
        read(source(LATE), 5)
        assert time.monotonic() - began_s < 2.0
    finally:
        bench.unplug("late")


def test_unplugged_card_is_lost_and_the_other_never_notices(
    bench: CardBench, source: OpenSource, sink: OpenSink
) -> None:
    other = source(USB1)
    microphone, loudspeaker = source(USB0), sink(USB0)
    reader = Outcome(microphone.read)
    writer = Outcome(lambda: loudspeaker.write(silence(960)))
    read(other, 10)
    pulled_s = time.monotonic()
    bench.unplug("usb0")
    after = read(other, 10)
    assert isinstance(reader.wait(), DeviceLost)
    assert isinstance(writer.wait(), DeviceLost)
    assert max(reader.at_s, writer.at_s) - pulled_s < 0.25
    assert not bench.hardware.present("usb0")
    microphone.close()
    loudspeaker.close()

    back_s = time.monotonic()
    bench.plug("usb0")
    after += read(other, 5)
    read(source(USB0), 3)
    assert time.monotonic() - back_s < 2.0
    after += read(other, 10)
    assert [frame.index for frame in after] == list(range(10, 35))
    assert not any(frame.gap for frame in after)
    assert np.diff([frame.complete_at_s for frame in after]).max() < 0.15


def test_close_frees_a_blocked_reader_and_writer(source: OpenSource, sink: OpenSink) -> None:
    for _ in range(3):
        microphone, loudspeaker = source(USB0), sink(USB0)
        reader = Outcome(microphone.read)
        writer = Outcome(partial(loudspeaker.write, silence(960)))
        time.sleep(0.05)
        closed_s = time.monotonic()
        microphone.close()
        loudspeaker.close()
        assert isinstance(reader.wait(), SourceClosed)
        assert isinstance(writer.wait(), SourceClosed)
        assert max(reader.at_s, writer.at_s) - closed_s < 0.3
        microphone.close()
        with pytest.raises(SourceClosed):
            microphone.read()
        with pytest.raises(SourceClosed):
            loudspeaker.write(silence(960))


def test_sides_of_a_card_are_heard_apart(bench: CardBench, source: OpenSource) -> None:
    bench.speak("duo", np.stack((tone(400), tone(700)), axis=1))
    left, right = source(LEFT), source(RIGHT)
    read(left, 20)
    read(right, 20)
    heard = [np.concatenate([f.samples for f in read(each, 10)]) for each in (left, right)]
    assert [round(level_at(x, 400), -3) for x in heard] == [8000, 0]
    assert [round(level_at(x, 700), -3) for x in heard] == [0, 8000]


def test_sides_of_a_card_play_apart(bench: CardBench, sink: OpenSink) -> None:
    bench.played("duo", "left")
    bench.played("duo", "right")
    left, right = sink(LEFT), sink(RIGHT)
    for _ in range(30):
        left.write(tone(1000, 0.02))
        right.write(tone(1500, 0.02))
    heard = [bench.played("duo", side)[-7200:] for side in ("left", "right")]
    assert [level_at(x, 1000) > 6000 for x in heard] == [True, False]
    assert [level_at(x, 1500) > 6000 for x in heard] == [False, True]
    assert max(level_at(heard[1], 1000), level_at(heard[0], 1500)) < 100


def test_side_that_nobody_reads_or_writes_disturbs_no_one(source: OpenSource, sink: OpenSink) -> None:
    ignored = source(LEFT)
    sink(LEFT)
    heard, loudspeaker = source(RIGHT), sink(RIGHT)
    writer = Outcome(lambda: loudspeaker.write(silence(960)))
    frames = read(heard, 65)
    assert [frame.index for frame in frames] == list(range(frames[0].index, frames[0].index + 65))
    assert not any(frame.gap for frame in frames)
    assert writer.calls >= 50
    late = read(ignored, 2)
    assert late[0].gap
    assert late[0].index > 0
    assert ignored.overruns > 0  # type: ignore[attr-defined]
    ignored.close()
    assert not any(frame.gap for frame in read(heard, 5))


def test_side_can_be_used_once(source: OpenSource) -> None:
    first = source(LEFT)
    with pytest.raises(AudioError, match="left side is already in use"):
        source(LEFT)
    first.close()
    read(source(LEFT), 1)


def test_both_sides_learn_that_their_card_is_gone_and_come_back(bench: CardBench, source: OpenSource) -> None:
    left, right = source(LEFT), source(RIGHT)
    readers = [Outcome(left.read), Outcome(right.read)]
    bench.unplug("duo")
    assert all(isinstance(reader.wait(), DeviceLost) for reader in readers)
    left.close()
    bench.plug("duo")
    fresh = source(LEFT)
    read(fresh, 3)
    right.close()
    read(fresh, 3)


def test_hanging_card_shows_and_is_freed_by_close(bench: CardBench, source: OpenSource) -> None:
    bench.plug("late")
    try:
        microphone = source(LATE)
        read(microphone, 3)
        bench.hang("late")
        reader = Outcome(microphone.read)
        time.sleep(0.3)
        assert reader.error is None
        assert time.monotonic() - microphone.last_frame_at_s > 0.2  # type: ignore[attr-defined]
        closed_s = time.monotonic()
        microphone.close()
        assert isinstance(reader.wait(), SourceClosed)
        assert reader.at_s - closed_s < 0.3
    finally:
        bench.unplug("late")


def test_side_that_gives_up_on_a_hanging_card_takes_the_other_with_it(
    bench: CardBench, source: OpenSource
) -> None:
    """Else the card would stay open for the other side, and hang, and could never be opened afresh."""
    left, right = source(LEFT), source(RIGHT)
    read(left, 3)
    bench.hang("duo")
    reader = Outcome(right.read)
    time.sleep(0.7)
    assert reader.error is None
    left.close()
    assert isinstance(reader.wait(), DeviceLost)
    bench.unplug("duo")
    bench.plug("duo")
    read(source(RIGHT), 3)
