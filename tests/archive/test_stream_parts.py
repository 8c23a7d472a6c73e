"""The small parts of the recorder: stream time, the feed of a channel, the room on the disk, levels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.channel_feed import ChannelFeed
from echostream.archive.disk_room import Disk, DiskRoom, nearly_full
from echostream.archive.history import History
from echostream.archive.level_meter import WholeLevel
from echostream.archive.source_tap import MOST_ITEMS, ChannelTap, DeviceTap, Edge, Ended
from echostream.archive.stream_time import StreamTime
from echostream.audio.device_ports import DeviceAudio
from echostream.audio.format import Frame
from echostream.audio.levels import rms_dbfs

RATE = 16_000


# ---- stream time


@pytest.mark.parametrize("ppm", [-500.0, -20.0, 0.0, 20.0, 500.0])
def test_a_clock_is_measured_although_arrivals_wander(ppm: float) -> None:
    random = np.random.default_rng(3)
    time = StreamTime(RATE)
    true_hz = RATE * (1 + ppm * 1e-6)
    for step in range(1, 6001):
        time.note(step * 1600, step * 1600 / true_hz + float(random.uniform(-0.005, 0.005)))
    assert time.ppm == pytest.approx(ppm, abs=25.0)
    for position in (0, 3000 * 1600, 6000 * 1600):
        assert time.at(position) == pytest.approx(position / true_hz, abs=0.03)
        assert abs(time.position_at(time.at(position)) - position) <= 1


def test_what_is_told_comes_before_what_is_measured() -> None:
    time = StreamTime(RATE)
    time.note(RATE, 1.0, 37.0, 12.0)
    assert (time.ppm, time.error_ms, time.settled) == (37.0, 12.0, True)
    time.note(2 * RATE, 2.0, 37.0, 3000.0)
    assert not time.settled
    time.restart()
    time.note(3 * RATE, 60.0)
    assert time.ppm == 37.0
    assert not time.settled


# ---- a channel's feed


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 3)), min_size=1, max_size=12),
    st.integers(1, 40),
)
def test_every_third_sample_is_where_its_index_says(plan: list[tuple[int, int]], batch: int) -> None:
    """A slow ramp passes the resampler as it is: its value tells where it came from."""
    feed = ChannelFeed()
    frames = []
    index = 0
    for count, lost in plan:
        index += lost * 960
        for _ in range(count):
            ramp = ((np.arange(index, index + 960) / 48) % 20_000).astype(np.int16)
            frames.append(Frame(ramp, index, (index + 960) / 48_000))
            index += 960
    blocks = []
    for at in range(0, len(frames), batch):
        blocks += feed.take(frames[at : at + batch])
    blocks += feed.flush()
    total = sum(len(block.samples) for block in blocks)
    assert total == len(frames) * 320
    following = frames[0].index // 3
    for block in blocks:
        assert block.position >= following
        assert (block.cause is not None) == (block.position > following)
        following = block.position + len(block.samples)
        assert block.ends_at_s == pytest.approx(following / RATE, abs=1e-6)
    assert following == index // 3
    whole = np.concatenate([block.samples for block in blocks if block.position == blocks[0].position])
    middle = whole[60:-60].astype(int)
    start = blocks[0].position + 60
    assert np.abs(middle - (np.arange(start, start + len(middle)) / 16) % 20_000).max(initial=0) < 40


def test_frames_that_found_no_room_are_overload_and_not_a_card_that_was_away() -> None:
    feed = ChannelFeed()
    frame = np.zeros(960, np.int16)
    feed.take([Frame(frame, 0, 0.02)])
    (block,) = [one for one in feed.take([Frame(frame, 96_000, 2.02)], overloaded=True) if one.cause]
    assert block.cause == "overload"
    (block,) = [one for one in feed.take([Frame(frame, 960_000, 20.02)]) if one.cause]
    assert block.cause == "card gone"


# ---- taps


def test_a_device_of_tiny_blocks_cannot_fill_the_memory() -> None:
    tap = DeviceTap(RATE)
    one = np.zeros(1, np.int16)
    for number in range(2 * MOST_ITEMS):
        tap.audio(DeviceAudio(one, number, 0.0))
    tap.ended("device gone")
    items = tap.take()
    assert len(items) == MOST_ITEMS + 1
    assert isinstance(items[-1], Ended)
    assert tap.dropped == MOST_ITEMS
    tap.audio(DeviceAudio(one, 2 * MOST_ITEMS, 0.0))
    (item,) = tap.take()
    assert isinstance(item, DeviceAudio)
    assert item.cause == "overload"


def test_a_loudspeaker_whose_card_was_away_leaves_a_gap_of_that_length() -> None:
    tap = ChannelTap(lambda tap, cause: None)
    frame = np.full(960, 1e6, np.float32)
    for number in range(10):
        tap.received(frame, True, 1.0 + 0.02 * number)
    tap.received(frame, True, 5.0)
    frames = [item for item in tap.take() if isinstance(item, Frame)]
    assert [one.index for one in frames[:3]] == [0, 960, 1920]
    assert frames[-1].index - frames[-2].index == pytest.approx((5.0 - 1.18) * 48_000, abs=480)
    assert frames[0].samples.max() == 32_767  # several talkers may exceed full scale


def test_edges_are_told_once_each() -> None:
    tap = ChannelTap(lambda tap, cause: None)
    for active in (True, True, False, False, True):
        tap.active(active, 1.0)
    assert [item.active for item in tap.take() if isinstance(item, Edge)] == [True, False, True]


# ---- history, levels


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30),
    st.integers(0, 500),
    st.integers(0, 6000),
    st.integers(0, 700),
)
def test_history_gives_what_it_promises(sizes: list[int], keep: int, begin: int, length: int) -> None:
    history = History(keep)
    stream = np.arange(sum(sizes), dtype=np.int16)
    at = 0
    for size in sizes:
        history.add(stream[at : at + size], at)
        at += size
    promised = max(0, at - sizes[-1] - keep)
    begin = max(begin, promised)
    samples, position = history.cut(begin, begin + length)
    expected = stream[begin : begin + length]
    np.testing.assert_array_equal(samples, expected)
    assert position == begin or not len(samples)


def test_the_level_of_the_whole_is_that_of_its_parts_together() -> None:
    random = np.random.default_rng(5)
    parts = [np.asarray(random.normal(0, 2000, count), np.int16) for count in (0, 1, 777, 16_000)]
    parts.append(np.array([-32_768], np.int16))
    level = WholeLevel()
    assert level.peak_dbfs is None
    for part in parts:
        level.add(part)
    assert level.peak_dbfs == 0.0
    assert level.rms_dbfs == pytest.approx(rms_dbfs(np.concatenate(parts)), abs=0.01)
    silent = WholeLevel()
    silent.add(np.zeros(10, np.int16))
    assert (silent.peak_dbfs, silent.rms_dbfs) == (-120.0, -120.0)


# ---- the disk


def test_who_may_write_as_the_disk_gets_full(caplog: pytest.LogCaptureFixture) -> None:
    disk = Disk(10**12, 10**12)
    room = DiskRoom(Path("/archive"), lambda folder: disk)
    caplog.set_level(logging.WARNING)
    seen = []
    for free_mb in (1000, 400, 399, 300, 201, 200, 199, 0):
        disk = Disk(free_mb * 1_000_000, 10**12)
        room.look()
        seen.append(room.lowest)
    assert seen == [0, 0, 1, 5, 9, 9, 10, 10]
    assert "nothing is recorded" in caplog.text
    assert not room.allows(9)
    disk = Disk(205_000_000, 10**12)
    room.look()
    assert room.lowest == 10  # not at once: what is freed fills again
    disk = Disk(500_000_000, 10**12)
    room.look()
    assert room.allows(0)
    assert "recorded again" in caplog.text


def test_a_disk_that_does_not_answer_takes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def away(folder: Path) -> Disk:
        raise OSError(5, "Input/output error")

    room = DiskRoom(Path("/archive"), away)
    room.look()
    assert not room.allows(9)
    assert "Input/output error" in caplog.text


def test_the_disk_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    assert not nearly_full(tmp_path / "not" / "there")
