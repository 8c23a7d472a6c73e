"""Times as people type them: each form, both ends of a range, summer time, and what is no time at all."""

from __future__ import annotations

import argparse
import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive_tools import times

BERLIN = ZoneInfo("Europe/Berlin")
NOW = times.microseconds(datetime(2026, 11, 21, 15, 30, 20, 250_000, tzinfo=UTC))
HOUR = 3_600_000_000


def utc(text: str) -> int:
    return times.microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("said", "is_utc"),
    [
        ("now", "2026-11-21T15:30:20.25"),
        ("-2h", "2026-11-21T13:30:20.25"),
        ("2h ago", "2026-11-21T13:30:20.25"),
        ("90m", "2026-11-21T14:00:20.25"),
        ("-1d1h30m", "2026-11-20T14:00:20.25"),
        ("-0.5s", "2026-11-21T15:30:19.75"),
        ("today", "2026-11-21"),
        ("Yesterday", "2026-11-20"),
        ("yesterday 18:30", "2026-11-20T18:30"),
        ("12:00", "2026-11-21T12:00"),
        ("9:05:07.25", "2026-11-21T09:05:07.25"),
        ("2026-11-20", "2026-11-20"),
        ("2026-11-20 12:00", "2026-11-20T12:00"),
        ("2026-11-20  12:00:30", "2026-11-20T12:00:30"),
        ("2026-11-20T12:00:30.123456", "2026-11-20T12:00:30.123456"),
        ("2026-11-20T12:00Z", "2026-11-20T12:00"),
        ("2026-11-20 12:00+02:00", "2026-11-20T10:00"),
        ("@1763726400.5", "2025-11-21T12:00:00.5"),
    ],
)
def test_each_form_in_utc(said: str, is_utc: str) -> None:
    assert times.iso(times.parse_time(said, NOW, UTC)) == times.iso(utc(is_utc))


@pytest.mark.parametrize(
    ("said", "is_utc"),
    [("today", "2026-11-22"), ("2026-11-20", "2026-11-21"), ("yesterday 12:00", "2026-11-20T12:00")],
)
def test_a_day_as_an_end_is_meant_whole(said: str, is_utc: str) -> None:
    assert times.parse_time(said, NOW, UTC, end=True) == utc(is_utc)


def test_local_time_is_local() -> None:
    assert times.parse_time("12:00", NOW, BERLIN) == utc("2026-11-21T11:00")
    assert times.parse_time("2026-07-01 12:00", NOW, BERLIN) == utc("2026-07-01T10:00")
    assert times.parse_time("2026-07-01T12:00Z", NOW, BERLIN) == utc("2026-07-01T12:00")
    late = utc("2026-11-21T23:30")
    assert times.parse_time("today", late, BERLIN) == utc("2026-11-21T23:00"), "it is the 22nd in Berlin"


def test_the_hour_that_comes_twice_and_days_that_are_not_24_hours() -> None:
    assert times.parse_time("2026-10-25 02:30", NOW, BERLIN) == utc("2026-10-25T00:30")
    assert times.parse_time("2026-10-25 02:30", NOW, BERLIN, end=True) == utc("2026-10-25T01:30")
    start = times.parse_time("2026-10-25", NOW, BERLIN)
    assert times.parse_time("2026-10-25", NOW, BERLIN, end=True) - start == 25 * HOUR
    start = times.parse_time("2026-03-29", NOW, BERLIN)
    assert times.parse_time("2026-03-29", NOW, BERLIN, end=True) - start == 23 * HOUR


@pytest.mark.parametrize(
    "said",
    [
        *("", " ", "noon", "25:00", "12:60", "2026-13-01", "2026-02-30", "-", "-2x", "@", "@1e9", "tomorrow"),
        *(
            "2026-11-21 noon",
            "12",
            "١٢:٠٠x",
            "2026-11-21T12:00Z tail",
            "99999999d",
            "0000-01-01",
        ),
    ],
)
def test_what_is_no_time_is_told_with_what_is_expected(said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no time: expected"):
        times.parse_time(said, NOW, UTC)


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_told(said: str) -> None:
    for zone in (None, UTC, BERLIN):
        with contextlib.suppress(argparse.ArgumentTypeError):
            assert isinstance(times.parse_time(said, NOW, zone), int)


@given(st.integers(0, 4_000_000_000_000_000))
def test_what_is_shown_can_be_typed_again(at_us: int) -> None:
    assert times.parse_time(times.shown(at_us, UTC, 6), NOW, UTC) == at_us
    assert times.parse_time(times.iso(at_us), NOW, BERLIN) == at_us


def test_lengths() -> None:
    assert times.parse_length("10m") == 600_000_000
    assert times.parse_length("1h30m") == 5_400_000_000
    assert times.parse_length("0.25s") == 250_000
    for wrong in ("", "0s", "10", "ten", "-5m", "5m5h"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no length: expected"):
            times.parse_length(wrong)


def test_lengths_read_well() -> None:
    assert [times.length_shown(us) for us in (0, 7_240_000, 600_000_000, 3_599_960_000)] == [
        *("0:00.0", "0:07.2", "10:00.0", "1:00:00.0")
    ]
    shown = [times.span_shown(round(1e6 * s)) for s in (0.25, 7.2, 59, 605, 12_000, 1_051_200)]
    assert shown == ["0.25 s", "7.2 s", "59 s", "10 min 5 s", "3 h 20 min", "12 d 4 h"]


def test_a_time_is_cut_not_rounded_up_into_the_next_second() -> None:
    assert times.shown(NOW + 749_999, UTC, 3) == "2026-11-21 15:30:20.999"
    assert times.shown(NOW, BERLIN) == "2026-11-21 16:30:20"
    assert times.zone_name(NOW, BERLIN) == "CET"
