"""Reports that a stopped gateway has not written: made up for once, never by two at the same time."""

from __future__ import annotations

import io
import threading
from datetime import UTC
from pathlib import Path

import pytest
from told_day import BEGIN, DAY, HOUR, a_day

from echostream.archive.wall_clock import ClockQuality
from echostream.event_log.files import LogFiles, log_directory
from echostream.reports.catching_up import catch_up
from echostream.reports.child import make
from echostream.reports.folder import alone, days_there, reports_directory
from echostream.reports.job import Job
from echostream.reports.sources import Place

SET = ClockQuality("synchronised", 1.0)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    LogFiles(log_directory(tmp_path), "station-4").append(a_day())
    return Place(tmp_path)


def missing(place: Place, at_us: int, clock: ClockQuality = SET, report_at: str | None = "06:00") -> str:
    out = io.StringIO()
    assert catch_up(place, report_at, out, lambda: at_us, lambda: clock, UTC) == 0
    return out.getvalue()


def test_all_that_are_due_are_written_and_a_second_call_has_nothing_to_do(place: Place) -> None:
    said = missing(place, BEGIN + 3 * DAY + 7 * HOUR)
    assert [line.split("/")[-1] for line in said.splitlines()] == [
        "2026-11-22.txt written",
        "2026-11-21.txt written",
        "2026-11-20.txt written",
    ]
    assert missing(place, BEGIN + 3 * DAY + 8 * HOUR) == "no report is missing\n"


def test_one_that_is_not_due_yet_is_left_to_the_gateway(place: Place) -> None:
    assert missing(place, BEGIN + DAY + 5 * HOUR) == "no report is missing\n"


def test_none_by_a_clock_that_nobody_set_and_none_that_nobody_wants(place: Place) -> None:
    assert "clock is not set" in missing(place, BEGIN + 3 * DAY, ClockQuality("unsynchronised", 0.0))
    assert "no daily reports are wanted" in missing(place, BEGIN + 3 * DAY, report_at=None)
    assert days_there(reports_directory(place.events)) == []


def test_two_do_not_write_the_same_report(place: Place) -> None:
    """The one who comes second finds it written, and leaves it."""
    folder = reports_directory(place.events)
    said = list[str]()
    with alone(folder):
        second = threading.Thread(
            target=lambda: said.append(missing(place, BEGIN + DAY + 7 * HOUR)), name="second"
        )
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert days_there(folder) == []
    second.join(10)
    stamp = (folder / "2026-11-20.json").stat().st_mtime_ns
    make(Job(place, "2026-11-20", BEGIN + DAY + 8 * HOUR, True))
    assert (folder / "2026-11-20.json").stat().st_mtime_ns == stamp
    assert "2026-11-20.txt written" in said[0]
