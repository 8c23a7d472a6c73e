"""When the disk is full: no alarm for what retention mends, and one in time for what it does not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive.disk_room import Disk
from echostream.vitals.disk import PERIOD_S, DiskLook
from echostream.vitals.forecast import DiskForecast

HOUR = 3600.0
GB = 1e9


def fed(samples: list[tuple[float, float]]) -> DiskForecast:
    forecast = DiskForecast()
    for at_s, free in samples:
        forecast.look(free, at_s)
    return forecast


def test_a_steady_stream_is_told_exactly() -> None:
    """A megabyte a second from 100 GB: after two hours 92.8 GB are left."""
    forecast = fed([(at, 100 * GB - 1e6 * at) for at in range(0, 7201, 10)])
    assert forecast.full_s == pytest.approx(92.8 * GB / 1e6, rel=1e-6)


def test_the_first_minutes_say_nothing() -> None:
    assert DiskForecast().full_s is None
    assert fed([(at, 1 * GB - 1e6 * at) for at in range(0, 590, 10)]).full_s is None


def test_a_disk_that_gets_emptier_is_never_full() -> None:
    assert fed([(at, 1 * GB + 1e5 * at) for at in range(0, 7200, 10)]).full_s is None


def test_filing_that_halves_what_an_hour_wrote_is_no_alarm() -> None:
    """3 MB/s as WAV; each hour made half of that: it lasts 18 hours, and no tooth of the saw says 9."""

    def free(at: int) -> float:
        whole, part = divmod(at, 3600)
        return 100 * GB - whole * 3600 * 1.5e6 - part * 3e6

    forecast = DiskForecast()
    told = []
    for at in range(0, 8 * 3600, 10):
        forecast.look(free(at), at)
        if at > 3 * 3600 and forecast.full_s is not None:
            told.append((at + forecast.full_s) / HOUR)
    assert told
    assert 14 < min(told) <= max(told) < 20


def test_somebody_who_copies_a_film_onto_it_is_noticed_within_ten_minutes() -> None:
    """After a quiet day 60 MB/s: the mean of the day would say weeks."""
    forecast = fed([(at, 200 * GB) for at in range(0, 86_400, 60)])
    for at in range(0, 601, 10):
        forecast.look(200 * GB - 60e6 * at, 86_400 + at)
    assert forecast.full_s is not None
    assert forecast.full_s < HOUR
    assert forecast.full_s == pytest.approx((200 * GB - 36 * GB) / 60e6, rel=0.15)


def test_what_lies_months_ahead_is_not_in_sight() -> None:
    assert fed([(at, 1e12 - 1e3 * at) for at in range(0, 7200, 10)]).full_s is None


def test_a_full_disk_is_full_now() -> None:
    assert fed([(at, 1e6 * (600 - at)) for at in range(0, 700, 10)]).full_s == 0.0


@given(st.lists(st.tuples(st.floats(0, 2e5), st.floats(-1e9, 1e13)), max_size=40))
def test_any_history_gives_a_time_to_come_or_none(samples: list[tuple[float, float]]) -> None:
    full_s = fed(sorted(samples)).full_s
    assert full_s is None or full_s >= 0


def test_memory_is_bounded_whatever_the_pace() -> None:
    forecast = fed([(at, 1 * GB) for at in range(0, 400_000, 7)])
    assert len(forecast._points) <= 1441


# ---- the disk itself


class Asked:
    """A disk that gives one answer after the other; `free` of 10 GB."""

    def __init__(self, free: float, total: int = 10 * 10**9) -> None:
        self.free = free
        self.total = total

    def __call__(self, folder: Path) -> Disk:
        return Disk(int(self.free), self.total)


def looked(disk: DiskLook, asked: Asked, taking: float, duration_s: float, begin_s: float = 0.0) -> float:
    now = begin_s
    while now < begin_s + duration_s:
        now += PERIOD_S
        asked.free -= taking * PERIOD_S
        disk.look(now)
        assert disk._asking is not None
        disk._asking.join(5)
        disk._take_up(now)
    return now


def test_while_retention_can_help_the_disk_is_not_about_to_fill() -> None:
    """10 GB, 5 % kept free by deleting what is old: until then nobody need be told; beyond it, yes."""
    asked = Asked(free=1.5e9)
    disk = DiskLook(Path("/data"), 5.0, asked)
    now = looked(disk, asked, 1e6, 900)
    assert disk.disk.free > 0.5e9
    assert disk.full_s is None
    looked(disk, asked, 1e6, 200, now)
    assert disk.disk.free < 0.5e9
    assert disk.full_s is not None
    assert disk.full_s < 300


def test_without_retention_it_is_told_from_the_start() -> None:
    asked = Asked(free=8e9)
    disk = DiskLook(Path("/data"), None, asked)
    looked(disk, asked, 1e6, 700)
    assert disk.full_s == pytest.approx((asked.free - 0.2e9) / 1e6, rel=0.01)


def test_another_disk_in_its_place_begins_afresh() -> None:
    asked = Asked(free=8e9)
    disk = DiskLook(Path("/data"), None, asked)
    now = looked(disk, asked, 1e6, 700)
    asked.total, asked.free = 20 * 10**9, 15e9
    looked(disk, asked, 1e6, 60, now)
    assert disk.full_s is None


def test_a_disk_that_hangs_makes_nobody_wait_and_is_asked_once() -> None:
    answers, asked = threading.Event(), []

    def hangs(folder: Path) -> Disk:
        asked.append(folder)
        answers.wait(10)
        return Disk(5, 10)

    disk = DiskLook(Path("/data"), None, hangs)
    for now in range(0, 600, 5):
        disk.look(float(now))  # the first one waits a moment
    assert len(asked) == 1
    assert disk.disk == Disk(0, 0)
    answers.set()
    assert disk._asking is not None
    disk._asking.join(5)
    disk.look(601.0)
    assert disk.disk == Disk(5, 10)


def test_a_disk_that_stops_to_answer_is_not_taken_for_the_one_it_was() -> None:
    answers = threading.Event()
    answers.set()

    def sometimes(folder: Path) -> Disk:
        assert answers.wait(10)
        return Disk(5, 10)

    disk = DiskLook(Path("/data"), None, sometimes)
    disk.look(0.0)
    answers.clear()
    disk.look(10.0)
    disk.look(39.0)
    assert disk.disk == Disk(5, 10)
    disk.look(41.0)
    assert (disk.disk, disk.full_s) == (Disk(0, 0), None)
    answers.set()
    assert disk._asking is not None
    disk._asking.join(5)
    disk.look(42.0)
    assert disk.disk == Disk(5, 10)


def test_a_disk_that_is_gone_says_so(tmp_path: Path) -> None:
    def gone(folder: Path) -> Disk:
        raise OSError(5, "Input/output error")

    disk = DiskLook(tmp_path, None, gone)
    disk.look(0.0)
    assert (disk.disk, disk.full_s) == (Disk(0, 0), None)
