"""The report that is written each morning: on time, made up for, and not fooled by a clock."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from told_day import BEGIN, DAY, HOUR, SECOND, a_day

from echostream.archive.wall_clock import ClockQuality
from echostream.config.event_models import Events
from echostream.config.models import Channel, Config, ControlServer
from echostream.config.models import Gateway as Identity
from echostream.event_log.files import LogFiles, log_directory
from echostream.reports import daily
from echostream.reports.alive import signs
from echostream.reports.daily import DailyReport
from echostream.reports.due import MOST_DAYS, due, outdated, premature
from echostream.reports.folder import FORMS, days_there, reports_directory
from echostream.reports.job import Job, packed, unpacked
from echostream.reports.sources import Place

TODAY = date(2026, 11, 21)
MORNING = BEGIN + DAY + 6 * HOUR
"""06:00 of it."""
SET = ClockQuality("synchronised", 1.0)
UNSET = ClockQuality("unsynchronised", 16_000.0)


def days(*back: int) -> list[date]:
    return [TODAY - timedelta(days=one) for one in back]


# ---- what is due


def test_yesterdays_report_comes_at_its_time_and_not_before() -> None:
    first = TODAY - timedelta(days=1)
    assert due(MORNING - SECOND, "06:00", [], first, UTC) is None
    assert due(MORNING, "06:00", [], first, UTC) == first
    assert due(MORNING + 10 * HOUR, "06:00", [], first, UTC) == first
    assert due(MORNING, "06:00", [first], first, UTC) is None


def test_missed_days_are_made_up_for_the_newest_first() -> None:
    there = days(3)
    found = []
    while (day := due(MORNING, "06:00", there, TODAY - timedelta(days=5), UTC)) is not None:
        found.append(day)
        there.append(day)
    assert found == days(1, 2, 4, 5)


def test_before_the_time_of_day_only_older_ones_are_due() -> None:
    assert due(MORNING - HOUR, "06:00", [], TODAY - timedelta(days=3), UTC) == TODAY - timedelta(days=2)


def test_a_log_of_years_is_not_made_up_for_whole() -> None:
    there: list[date] = []
    while (day := due(MORNING, "06:00", there, date(1970, 1, 1), UTC)) is not None:
        there.append(day)
    assert there == days(*range(1, MOST_DAYS + 1))


def test_without_a_log_nothing_is_due() -> None:
    assert due(MORNING, "06:00", [], None, UTC) is None


def test_a_report_of_a_day_that_is_not_over_is_of_a_clock_that_was_ahead() -> None:
    there = [*days(1, 0), date(2027, 11, 20)]
    assert premature(MORNING, there, UTC) == [TODAY, date(2027, 11, 20)]


def test_old_reports_go_and_none_where_they_are_kept_for_ever() -> None:
    assert outdated(MORNING, 30, days(29, 30, 31, 400), UTC) == days(31, 400)
    assert outdated(MORNING, None, days(4000), UTC) == []


@settings(max_examples=40)
@given(
    st.integers(0, 4 * 365 * DAY),
    st.sets(st.integers(-5, 40)),
    st.integers(-3, 60),
    st.sampled_from(["00:00", "06:00", "23:59"]),
)
def test_whatever_is_there_what_is_due_is_over_not_there_and_in_the_log(
    now: int, there: set[int], first: int, report_at: str
) -> None:
    today = datetime.fromtimestamp(now // SECOND, UTC).date()
    got = {today - timedelta(days=one) for one in there}
    first_day = today - timedelta(days=first)
    day = due(now, report_at, got, first_day, UTC)
    if day is not None:
        assert first_day <= day < today
        assert day not in got


def test_a_job_arrives_as_it_was_sent() -> None:
    place = Place(Path("/e"), Path("/r"), "postgresql://u:p@h/d", "g", {"a": "A"}, {"m": "Ü"})
    for job in (Job(place, "2026-11-20", 5), Job(Place(Path("/e")), "2026-11-20", 5, True)):
        assert unpacked(packed(job)) == job
    assert "u:p@h" not in repr(place)


# ---- the thread


def config(folder: Path, **events: object) -> Config:
    return Config(
        gateway=Identity(id="station-4", affiliation_id="g"),
        control_server=ControlServer(url="ws://127.0.0.1:9"),
        channels=(Channel(id="fire", name="日本語", card="none"),),
        events=Events.model_validate({"directory": str(folder), **events}),
    )


class Clock:
    def __init__(self, now_us: int) -> None:
        self.now_us = now_us
        self.quality = SET


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(daily, "FIRST_S", 0.01)
    monkeypatch.setattr(daily, "LOOK_S", 0.05)
    return Clock(MORNING)


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., DailyReport]]:
    running: list[DailyReport] = []

    def begin(folder: Path, **events: object) -> DailyReport:
        worker = DailyReport(
            config(folder, **events),
            None,
            lambda event: None,
            lambda: clock.now_us,
            lambda: clock.quality,
            UTC,
        )
        running.append(worker)
        worker.start()
        return worker

    yield begin
    for worker in running:
        worker.request_stop()
        assert worker.join(5.0)


def eventually(condition: Callable[[], object], timeout_s: float = 40.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def with_log(folder: Path) -> Path:
    LogFiles(log_directory(folder), "station-4").append(a_day())
    return reports_directory(folder)


def test_the_morning_brings_a_report_in_every_form(
    tmp_path: Path,
    start: Callable[..., DailyReport],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also to a service without a home, where matplotlib keeps what it knows of fonts otherwise."""
    monkeypatch.setenv("HOME", "/nonexistent")
    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    reports = with_log(tmp_path)
    start(tmp_path)
    assert eventually(lambda: days_there(reports) == days(1))
    names = sorted(path.name for path in reports.iterdir() if path.name.startswith("2026"))
    assert names == sorted(f"2026-11-20{form}" for form in FORMS)
    assert (reports / "2026-11-20.txt").read_text().startswith("station-4, 2026-11-20 (UTC)")
    assert "<svg" in (reports / "2026-11-20.html").read_text()
    assert list((reports / ".matplotlib").iterdir())
    assert signs(tmp_path) == [MORNING]
    # Neither of fonts nor of the letters that they lack.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_clock_that_was_a_year_ahead_leaves_no_report_of_a_day_to_come(
    tmp_path: Path, start: Callable[..., DailyReport], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(daily, "_run", run_by_hand(reports_directory(tmp_path), made))
    reports = with_log(tmp_path)
    clock.now_us = MORNING + 365 * DAY
    start(tmp_path)
    assert eventually(lambda: date(2027, 11, 20) in days_there(reports))
    clock.now_us = MORNING
    assert eventually(lambda: days_there(reports) == days(1))


def run_by_hand(reports: Path, made: list[str]) -> Callable[[Job, object], str | None]:
    def run(job: Job, pause: object) -> str | None:
        made.append(job.day)
        reports.mkdir(exist_ok=True)
        (reports / f"{job.day}.json").write_text("{}")
        return None

    return run


def test_a_clock_that_nobody_has_set_is_waited_for(
    tmp_path: Path, start: Callable[..., DailyReport], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    monkeypatch.setattr(daily, "_run", run_by_hand(reports_directory(tmp_path), made))
    reports = with_log(tmp_path)
    clock.quality = UNSET
    start(tmp_path)
    time.sleep(0.3)
    assert made == []
    clock.quality = SET
    assert eventually(lambda: days_there(reports) == days(1))


def test_a_clock_that_nobody_has_set_deletes_no_old_reports(
    tmp_path: Path, start: Callable[..., DailyReport], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily, "TRUST_S", 0.0)
    monkeypatch.setattr(daily, "_run", run_by_hand(reports_directory(tmp_path), []))
    reports = with_log(tmp_path)
    reports.mkdir()
    (reports / "2026-01-01.json").write_text("{}")
    clock.quality = UNSET
    start(tmp_path, keep_reports_days=30)
    assert eventually(lambda: len(days_there(reports)) == 2)
    time.sleep(0.2)
    assert date(2026, 1, 1) in days_there(reports)
    clock.quality = SET
    assert eventually(lambda: days_there(reports) == days(1))


def test_a_report_that_fails_is_said_once_and_not_tried_at_once_again(
    tmp_path: Path,
    start: Callable[..., DailyReport],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tried: list[str] = []

    def fails(job: Job, pause: object) -> str:
        tried.append(job.day)
        return "the disk is full"

    monkeypatch.setattr(daily, "_run", fails)
    with_log(tmp_path)
    start(tmp_path)
    assert eventually(lambda: tried)
    time.sleep(0.3)
    assert tried == ["2026-11-20"]
    (said,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "2026-11-20" in said
    assert "the disk is full" in said


def test_a_place_that_cannot_be_written_is_said_once_with_the_remedy(
    tmp_path: Path, start: Callable[..., DailyReport], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    start(tmp_path / "file")
    time.sleep(0.4)
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "events.directory" in errors[0]


def test_the_stop_of_the_gateway_does_not_wait_for_a_report(
    tmp_path: Path, start: Callable[..., DailyReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_log(tmp_path)
    monkeypatch.setattr("sys.executable", str(hanging(tmp_path)))
    worker = start(tmp_path)
    assert eventually((tmp_path / "runs").exists)
    began_s = time.monotonic()
    worker.request_stop()
    assert worker.join(3.0)
    assert time.monotonic() - began_s < 2.0


def hanging(folder: Path) -> Path:
    """A program that takes for ever."""
    program = folder / "hangs"
    program.write_text(f"#!/bin/sh\ntouch {folder}/runs\nexec sleep 60\n")
    program.chmod(0o755)
    return program


def test_what_draws_and_what_asks_databases_stays_out_of_the_gateway() -> None:
    """SQLAlchemy, rich and matplotlib are 150 MB that only the process of its own needs."""
    program = "import sys, echostream.reports.daily; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"sqlalchemy", "rich", "matplotlib"} & set(loaded.stdout.split())


def test_a_child_that_dies_says_why(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("in the way")
    LogFiles(log_directory(tmp_path), "g").append(a_day())
    said = daily._run(Job(Place(tmp_path), "2026-11-20", MORNING, True), threading.Event().wait)
    assert said is not None
    assert "reports" in said
