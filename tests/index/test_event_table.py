"""The event log's table: every line once, in both databases; kept by them; made again of the files."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from echostream.config.event_models import Events
from echostream.config.recording_models import Recording
from echostream.errors import IndexUnavailable, StateError
from echostream.event_log import table_copy
from echostream.event_log.event_log import EventLog
from echostream.event_log.files import LogFiles, day_files, log_directory
from echostream.event_log.lines import Logged
from echostream.event_log.table_copy import as_row
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import FILE_NAME, open_index
from echostream.index.engine import transaction
from echostream.index.event_rows import EventQuery, EventRow
from echostream.notices.notice import Notice

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000
DAY = "2026-11-21"


def row(line: int, **fields: object) -> EventRow:
    notice = Notice("page", NOON_US + line, f"page {line}", "fire", data={"x": "a\0b"}, before={"y": 1})
    made = as_row(DAY, Logged(line, "station-7", notice))
    return replace(made, **fields)  # type: ignore[arg-type]


def lines(index: ArchiveIndex, **query: object) -> list[int]:
    return [one.line for one in index.events(EventQuery(**query))]  # type: ignore[arg-type]


def test_what_is_added_is_found_newest_first(index: ArchiveIndex) -> None:
    table = index.event_table("log-1")
    table.add(DAY, 0, 100, [row(line) for line in range(1, 1201)])
    assert lines(index) == list(range(1200, 0, -1))
    assert lines(index, since_us=NOON_US + 5, until_us=NOON_US + 8) == [7, 6, 5]
    newest = next(
        iter(index.events(EventQuery(kinds=("page",), channels=("fire",), gateways=("station-7",))))
    )
    assert (newest.text, json.loads(newest.before), newest.after) == ("page 1200", {"y": 1}, "")
    assert "\0" not in newest.data
    assert lines(index, kinds=("admin",)) == []


def test_a_block_that_is_there_is_not_added_twice(index: ArchiveIndex) -> None:
    table = index.event_table("log-1")
    table.add(DAY, 0, 100, [row(1), row(2)])
    with pytest.raises(StateError):
        table.add(DAY, 0, 100, [row(1), row(2)])
    table.add(DAY, 100, 150, [row(2), row(3)])
    assert (lines(index), table.read()) == ([3, 2, 1], {DAY: 150})


def test_logs_of_several_gateways_lie_side_by_side(index: ArchiveIndex) -> None:
    index.event_table("log-1").add(DAY, 0, 9, [row(1)])
    index.event_table("log-2").add(DAY, 0, 7, [row(1, gateway="station-8"), row(2, gateway="station-8")])
    assert lines(index, gateways=("station-8",)) == [2, 1]
    index.event_table("log-2").purge([DAY])
    assert (lines(index), index.event_table("log-2").read()) == ([1], {})


@pytest.mark.parametrize(
    "statement",
    ["UPDATE events SET who = 'nobody'", "DELETE FROM events", "DELETE FROM events WHERE line = 1"],
)
def test_the_database_refuses_to_change_what_happened(index: ArchiveIndex, statement: str) -> None:
    index.event_table("log-1").add(DAY, 0, 9, [row(1)])
    with (
        pytest.raises(IndexUnavailable, match="events are never"),
        transaction(index.engine, True) as connection,
    ):
        connection.exec_driver_sql(statement)
    assert lines(index) == [1]


def test_postgresql_refuses_to_empty_the_table(tmp_path: Path, postgres_url: str) -> None:
    with open_index(tmp_path, postgres_url) as index:
        index.event_table("log-1").add(DAY, 0, 9, [row(1)])
        with (
            pytest.raises(IndexUnavailable, match="events are never"),
            transaction(index.engine, True) as one,
        ):
            one.exec_driver_sql("TRUNCATE events")
        assert lines(index) == [1]


def test_a_day_goes_as_a_whole_and_no_other(index: ArchiveIndex) -> None:
    table = index.event_table("log-1")
    table.add(DAY, 0, 9, [row(1)])
    table.add("2026-11-22", 0, 9, [row(2, day="2026-11-22")])
    table.purge([DAY])
    assert (lines(index), table.read()) == ([2], {"2026-11-22": 9})
    with transaction(index.engine) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM event_purges").scalar() == 0


# ---- the thread that copies


@contextmanager
def running(folder: Path, database_url: str | None) -> Iterator[EventLog]:
    recording = Recording(enabled=True, directory=str(folder / "recordings"))
    events = Events(directory=str(folder / "events"))
    log = EventLog(events, recording, "station-7", database_url, lambda event: None)
    for worker in log.workers:
        worker.start()
    try:
        yield log
    finally:
        for worker in log.workers:
            worker.request_stop()
        assert all(worker.join(5.0) for worker in log.workers)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_copy, "GATHER_S", 0.02)
    monkeypatch.setattr(table_copy, "RETRY_MIN_S", 0.05)


def texts(folder: Path, database_url: str | None) -> list[str]:
    with open_index(folder / "recordings", database_url) as index:
        return [one.text for one in index.events(EventQuery())][::-1]


def until_there(folder: Path, database_url: str | None, wanted: list[str]) -> None:
    end_s = time.monotonic() + 20.0
    while (found := texts(folder, database_url)) != wanted:
        assert time.monotonic() < end_s, found
        threading.Event().wait(0.03)


def notice(text: str, at_us: int = NOON_US) -> Notice:
    return Notice("page", at_us, text)


def test_what_happens_is_in_the_table_soon_whoever_wrote_it(tmp_path: Path, database_url: str | None) -> None:
    (tmp_path / "recordings").mkdir()
    LogFiles(log_directory(tmp_path / "events")).append([notice("before")])
    open_index(tmp_path / "recordings", database_url).close()
    with running(tmp_path, database_url) as log:
        log.take(notice("a", NOON_US + 1))
        until_there(tmp_path, database_url, ["before", "a"])
        LogFiles(log_directory(tmp_path / "events")).append([notice("by a command", NOON_US + 2)])
        log.take(notice("the last word", NOON_US + 3))
    assert texts(tmp_path, database_url) == ["before", "a", "by a command", "the last word"]


def test_a_first_start_says_nothing_of_what_is_not_there_yet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path, None) as log:
        threading.Event().wait(0.15)
        (tmp_path / "recordings").mkdir()
        open_index(tmp_path / "recordings").close()
        threading.Event().wait(0.15)
        log.take(notice("a"))
        until_there(tmp_path, None, ["a"])
    assert "event log" not in caplog.text


def test_a_lost_index_is_made_again_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    with running(tmp_path, None) as log:
        log.take(notice("a"))
        threading.Event().wait(0.1)
        open_index(tmp_path / "recordings").close()  # as whoever keeps the index does
        until_there(tmp_path, None, ["a"])
        for path in (tmp_path / "recordings").glob(f"{FILE_NAME}*"):
            path.unlink()
        open_index(tmp_path / "recordings").close()
        log.take(notice("b", NOON_US + 1))
        until_there(tmp_path, None, ["a", "b"])


def test_a_damaged_index_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    path = tmp_path / "recordings" / FILE_NAME
    path.write_bytes(b"no database " * 5000)
    with running(tmp_path, None) as log:
        log.take(notice("a"))
        until_there(tmp_path, None, ["a"])


def test_a_database_that_is_away_costs_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "recordings").mkdir()
    with running(tmp_path, "postgresql://nobody@127.0.0.1:9/none") as log:
        log.take(notice("a"))
        end_s = time.monotonic() + 5.0
        while not log.written or not log._table.error:  # type: ignore[union-attr]
            assert time.monotonic() < end_s
            threading.Event().wait(0.02)
    assert caplog.text.count("the table in the index waits") == 1
    assert log.written == 1


def test_a_log_that_is_begun_anew_is_another_log(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    open_index(tmp_path / "recordings").close()
    with running(tmp_path, None) as log:
        log.take(notice("of the old log, which is longer"))
        until_there(tmp_path, None, ["of the old log, which is longer"])
        shutil.rmtree(log_directory(tmp_path / "events"))
        log.take(notice("new", NOON_US + 1))
        until_there(tmp_path, None, ["of the old log, which is longer", "new"])


def test_a_long_backlog_is_copied_whole_and_a_stop_does_not_wait_for_it(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_copy, "BLOCK", 10_000)
    monkeypatch.setattr(table_copy, "LAST_COPY_S", 0.0)
    (tmp_path / "recordings").mkdir()
    open_index(tmp_path / "recordings", database_url).close()
    backlog = [notice(str(number).ljust(500), NOON_US + number) for number in range(400)]
    LogFiles(log_directory(tmp_path / "events")).append(backlog)
    with running(tmp_path, database_url):
        threading.Event().wait(0.3)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 2.0
    with running(tmp_path, database_url):
        until_there(tmp_path, database_url, [one.text for one in backlog])


def test_a_purged_day_goes_from_the_table_too(tmp_path: Path, database_url: str | None) -> None:
    (tmp_path / "recordings").mkdir()
    open_index(tmp_path / "recordings", database_url).close()
    days = [notice(f"day {day}", NOON_US + day * DAY_US) for day in range(4)]
    LogFiles(log_directory(tmp_path / "events")).append(days)
    with running(tmp_path, database_url) as log:
        until_there(tmp_path, database_url, ["day 0", "day 1", "day 2", "day 3"])
        oldest, _, away, _ = day_files(log_directory(tmp_path / "events"))
        away.rename(tmp_path / "away for now")
        oldest.unlink()
        assert log._table is not None
        log._table.written()
        until_there(tmp_path, database_url, ["day 1", "day 2", "day 3"])
