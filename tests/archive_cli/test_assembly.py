"""Where each sample of a range of time goes: seams, gaps, overlaps, clocks that are off, other rates."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from archive_house import NOON, SECOND
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive.recording import Gap, Recording, Trigger
from echostream.archive_tools.assembly import Piece, Timeline, assemble, end_us, true_rate_hz

RATE = 16_000
MINUTE = 60 * SECOND


def recording(
    number: int,
    start_us: int,
    samples: int,
    ppm: float | None = None,
    ended: str = "segment",
    trigger: Trigger = "continuous",
    rate_hz: int = RATE,
    gap_before: Gap | None = None,
) -> Recording:
    return Recording(
        id=f"{number:032x}",
        path=f"2024-11-21/{number}.wav",
        form="wav",
        gateway="station-7",
        source="porch",
        kind="device",
        trigger=trigger,
        start_us=start_us,
        rate_hz=rate_hz,
        samples=samples,
        ppm=ppm,
        ended=ended,
        gap_before=gap_before,
    )


def day(ppm: float, segments: int, error_us: int = 0) -> list[Recording]:
    """Ten-minute segments without a gap, of a device whose clock is off; starts are off by up to error_us."""
    samples = round(600 * RATE * (1 + ppm * 1e-6))
    errors = [error_us * (1, -1, 0)[number % 3] for number in range(segments)]
    return [
        recording(number, NOON + number * 600 * SECOND + errors[number], samples, ppm)
        for number in range(segments)
    ]


def placed(timeline: Timeline) -> list[tuple[int, int, int, int]]:
    return [(int(one.recording.id, 16), one.first, one.count, one.at) for one in timeline.pieces]


@pytest.mark.parametrize("ppm", [-500.0, -20.0, 0.0, 20.0, 500.0])
@pytest.mark.parametrize("error_us", [0, 3_000, 60_000])
def test_a_run_of_segments_keeps_each_sample_once_whatever_the_clocks(ppm: float, error_us: int) -> None:
    segments = [replace(one, start_error_ms=error_us / 1000) for one in day(ppm, 12, error_us)]
    timeline = assemble(segments, NOON - SECOND, NOON + 7201 * SECOND, RATE)
    assert timeline.recorded == sum(one.samples for one in segments)
    assert timeline.left_out == 0
    assert [one.joined for one in timeline.pieces] == [False] + [True] * 11
    assert all(after.at == before.end for before, after in pairwise(timeline.pieces))
    assert abs(timeline.late_us) == pytest.approx(abs(11 * 600 * ppm), abs=2 * error_us + 100)
    assert error_us or timeline.late_us * ppm >= 0, "a fast clock makes it late"


@pytest.mark.parametrize("ppm", [-500.0, 500.0])
def test_by_time_each_recording_begins_where_it_began(ppm: float) -> None:
    timeline = assemble(day(ppm, 12), NOON, NOON + 7200 * SECOND, RATE, "time")
    off = [one.at - one.first - at * 600 * RATE for at, one in enumerate(timeline.pieces)]
    assert max(map(abs, off)) <= 1
    assert abs(timeline.late_us) < 1000
    assert timeline.samples == 7200 * RATE
    assert timeline.left_out == max(0, sum(one.samples for one in day(ppm, 12)) - 7200 * RATE)
    assert timeline.recorded + timeline.left_out == sum(one.samples for one in day(ppm, 12))


def test_by_time_what_is_off_by_little_is_joined_without_a_seam() -> None:
    """Starts are known to some milliseconds: between segments there is neither silence nor a page's sound."""
    segments = day(20.0, 30, error_us=10_000)
    page = recording(99, NOON + 590 * SECOND, 20 * RATE, trigger="page", ended="pause")
    timeline = assemble([*segments, page], NOON, NOON + 18_000 * SECOND, RATE, "time")
    assert "63" not in {one.recording.id[-2:] for one in timeline.pieces}
    assert abs(timeline.late_us) <= 50_000
    seams = [after.at - before.end for before, after in pairwise(timeline.pieces)]
    assert max(seams) == 0
    assert sum(one.joined for one in timeline.pieces) > 20


def test_a_cut_at_the_sample() -> None:
    whole = [recording(1, NOON, 600 * RATE)]
    timeline = assemble(whole, NOON + 1_000_031, NOON + 2_000_031, RATE)
    assert placed(timeline) == [(1, 16_000, 16_000, 0)], "half a sample is the next one's"
    assert timeline.samples == RATE


def test_after_a_gap_the_sound_is_where_time_says() -> None:
    gap = Gap(NOON + 10 * SECOND, NOON + 15 * SECOND, "device gone")
    parts = [
        recording(1, NOON, 10 * RATE, ended="device gone"),
        recording(2, NOON + 15 * SECOND, 5 * RATE, gap_before=gap),
    ]
    timeline = assemble(parts, NOON, NOON + MINUTE, RATE)
    assert placed(timeline) == [(1, 0, 10 * RATE, 0), (2, 0, 5 * RATE, 15 * RATE)]
    assert timeline.samples == 60 * RATE


def test_a_gap_takes_up_what_a_fast_clock_sent_too_much() -> None:
    """24 h at +300 ppm: 26 s more than time has. None of it is lost to the gap of 5 s that follows."""
    before = day(300.0, 144)
    end = end_us(before[-1])
    after = recording(999, end + 5 * SECOND, RATE, 300.0, gap_before=Gap(end, end + 5 * SECOND, "overload"))
    before[-1] = replace(before[-1], ended="overload")
    timeline = assemble([*before, after], NOON, end + MINUTE, RATE)
    assert timeline.recorded == sum(one.samples for one in [*before, after])
    assert timeline.pieces[-1].at == timeline.pieces[-2].end


def test_two_recordings_of_the_same_time_are_not_heard_twice() -> None:
    first, second = recording(1, NOON, 10 * RATE, ended="pause"), recording(2, NOON + 4 * SECOND, 10 * RATE)
    timeline = assemble([second, first], NOON, NOON + MINUTE, RATE)
    assert placed(timeline) == [(1, 0, 10 * RATE, 0), (2, 6 * RATE, 4 * RATE, 10 * RATE)]
    assert timeline.left_out == 6 * RATE
    within = recording(3, NOON + 2 * SECOND, 3 * RATE, ended="pause")
    follows = recording(4, NOON + 10 * SECOND, RATE)
    seamless = replace(first, ended="segment")
    timeline = assemble([seamless, within, follows], NOON, NOON + MINUTE, RATE)
    assert placed(timeline) == [(1, 0, 10 * RATE, 0), (4, 0, RATE, 10 * RATE)]
    assert timeline.pieces[1].joined, "what lay within the first does not part it from its next"


def test_pages_only_fill_what_is_left() -> None:
    spoken = [
        recording(1, NOON + 5 * SECOND, 5 * RATE, ended="pause", trigger="vox"),
        recording(2, NOON + 12 * SECOND, 3 * RATE, ended="pause", trigger="vox"),
    ]
    page = recording(3, NOON, 20 * RATE, ended="pause", trigger="page")
    timeline = assemble([page, *spoken], NOON, NOON + MINUTE, RATE)
    assert placed(timeline) == [
        (3, 0, 5 * RATE, 0),
        (1, 0, 5 * RATE, 5 * RATE),
        (3, 10 * RATE, 2 * RATE, 10 * RATE),
        (2, 0, 3 * RATE, 12 * RATE),
        (3, 15 * RATE, 5 * RATE, 15 * RATE),
    ]
    assert timeline.left_out == 8 * RATE


def test_a_device_that_changed_its_rate() -> None:
    parts = [
        recording(1, NOON, 10 * RATE),
        recording(2, NOON + 10 * SECOND, 80_000, rate_hz=8000),
        recording(3, NOON + 20 * SECOND, 441_000, rate_hz=44_100),
    ]
    timeline = assemble(parts, NOON, NOON + 30 * SECOND, RATE)
    assert placed(timeline) == [(1, 0, 10 * RATE, 0), (2, 0, 80_000, 10 * RATE), (3, 0, 441_000, 20 * RATE)]
    assert [one.length for one in timeline.pieces] == [10 * RATE] * 3
    assert not any(one.joined for one in timeline.pieces)


def test_nothing_recorded_is_silence_of_the_right_length() -> None:
    assert assemble([], NOON, NOON + SECOND, RATE) == Timeline(RATE, NOON, RATE)
    assert assemble([recording(1, NOON, RATE)], NOON + MINUTE, 2 * MINUTE + NOON, RATE).pieces == ()
    with pytest.raises(ValueError, match="ends before it begins"):
        assemble([], NOON, NOON - 1, RATE)


SOME = st.lists(
    st.tuples(
        st.integers(0, 100_000),
        st.integers(0, 40_000),
        st.sampled_from(["segment", "pause", "device gone"]),
        st.sampled_from(["continuous", "vox", "page"]),
        st.sampled_from([None, -500.0, 0.0, 137.0, 500.0]),
        st.sampled_from([8000, 16_000]),
    ),
    max_size=12,
)


@given(SOME, st.integers(-50_000, 120_000), st.integers(0, 150_000), st.sampled_from(["samples", "time"]))
def test_whatever_lies_there_pieces_never_overlap_and_nothing_is_made_up(
    some: list[tuple[int, int, str, Trigger, float | None, int]], from_ms: int, length_ms: int, join: str
) -> None:
    recordings = [
        recording(number, NOON + start_ms * 1000, samples, ppm, ended, trigger, rate_hz)
        for number, (start_ms, samples, ended, trigger, ppm, rate_hz) in enumerate(some)
    ]
    start, end = NOON + from_ms * 1000, NOON + (from_ms + length_ms) * 1000
    timeline = assemble(recordings, start, end, RATE, "time" if join == "time" else "samples")
    at = 0
    taken: dict[str, list[Piece]] = {}
    for piece in timeline.pieces:
        assert piece.at >= at, "in order, without overlap"
        assert piece.count > 0
        assert 0 <= piece.first <= piece.first + piece.count <= piece.recording.samples
        at = piece.end
        taken.setdefault(piece.recording.id, []).append(piece)
    assert timeline.samples >= max(at, length_ms * 16)
    for pieces in taken.values():
        ordered = sorted(pieces, key=lambda piece: piece.first)
        assert all(a.first + a.count <= b.first for a, b in pairwise(ordered))
    if join == "time":
        for piece in timeline.pieces:
            one = piece.recording
            at_us = one.start_us + piece.first * SECOND / true_rate_hz(one)
            off_us = abs(timeline.time_of(piece.at) - at_us)
            assert off_us < (51_000 if piece.joined or one.trigger == "page" else 1000), "where time says"
    inside = sum(count_inside(one, start, end) for one in recordings)
    assert sum(piece.count for piece in timeline.pieces) + timeline.left_out == inside


def count_inside(one: Recording, start: int, end: int) -> int:
    rate = true_rate_hz(one)
    edges = [min(max(round((at - one.start_us) * rate / SECOND), 0), one.samples) for at in (start, end)]
    return edges[1] - edges[0]
