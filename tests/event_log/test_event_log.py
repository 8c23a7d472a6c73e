"""The event log's thread: what is told is on the disk soon; a disk that refuses costs bounded memory."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from echostream.config.event_models import Events
from echostream.config.recording_models import Recording
from echostream.event_log import event_log
from echostream.event_log.event_log import EventLog, Waiting
from echostream.event_log.files import log_directory
from echostream.event_log.reading import Wanted, read
from echostream.events import Event
from echostream.notices.notice import Json, Notice, Weight


def notice(text: str, weight: Weight = Weight.EVENT) -> Notice:
    return Notice("page", time.time_ns() // 1000, text, weight=weight)


@contextmanager
def running(directory: Path, posted: list[Event] | None = None) -> Iterator[EventLog]:
    post = (posted if posted is not None else []).append
    log = EventLog(Events(directory=str(directory)), Recording(), "station-7", None, post)
    for worker in log.workers:
        worker.start()
    try:
        yield log
    finally:
        for worker in log.workers:
            worker.request_stop()
        assert all(worker.join(5.0) for worker in log.workers)


def until(told: object, timeout_s: float = 5.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not told():  # type: ignore[operator]
        assert time.monotonic() < end_s, "it did not come"
        threading.Event().wait(0.01)


def texts(directory: Path) -> list[str]:
    return [one.notice.text for one in read(log_directory(directory), Wanted())]


def test_what_is_told_is_on_the_disk_soon_and_at_the_end_all_of_it(tmp_path: Path) -> None:
    with running(tmp_path / "made") as log:
        log.take(notice("first"))
        until(lambda: texts(tmp_path / "made") == ["first"])
        for number in range(2000):
            log.take(notice(str(number)))
    assert texts(tmp_path / "made") == ["first", *map(str, range(2000))]
    (first, *_) = read(log_directory(tmp_path / "made"))
    assert first.gateway == "station-7"


def test_a_directory_that_cannot_be_written_is_said_once_and_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_log, "RETRY_MIN_S", 0.02)
    monkeypatch.setattr(event_log, "RETRY_MAX_S", 0.04)
    caplog.set_level(logging.INFO)
    (tmp_path / "events").write_text("a file in its place", "utf-8")
    with running(tmp_path / "events") as log:
        for number in range(10):
            log.take(notice(str(number)))
        until(lambda: log.error)
        threading.Event().wait(0.3)
        (tmp_path / "events").unlink()
        until(lambda: log.written == 10)
        log.take(notice("after"))
    assert texts(tmp_path / "events") == [*map(str, range(10)), "after"]
    assert caplog.text.count("events.directory") == 1
    assert "it works again" in caplog.text


def test_a_stop_is_bounded_while_the_disk_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "events").write_text("a file in its place", "utf-8")
    began_s = time.monotonic()
    with running(tmp_path / "events") as log:
        log.take(notice("lost"))
        until(lambda: log.error)
    assert time.monotonic() - began_s < 3.0
    assert "1 events are not in it" in caplog.text


def test_of_too_many_the_oldest_of_its_weight_gives_way() -> None:
    waiting = Waiting(bound=10)
    for number in range(100):
        waiting.put(notice(f"event {number}"))
        if number % 20 == 0:
            waiting.put(notice(f"alarm {number}", Weight.ALARM))
    got = [one.text for _, one in waiting.oldest(50)]
    assert got == [
        *(f"alarm {number}" for number in range(0, 81, 20)),
        *(f"event {n}" for n in range(90, 100)),
    ]
    assert (len(waiting), waiting.lost) == (15, 90)


def test_the_log_says_how_many_it_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log.Waiting.__init__, "__defaults__", (5,))
    monkeypatch.setattr(event_log, "RETRY_MIN_S", 0.02)
    (tmp_path / "events").write_text("a file in its place", "utf-8")
    with running(tmp_path / "events") as log:
        log.take(notice("x"))
        until(lambda: log.error)
        for number in range(50):
            log.take(notice(str(number)))
        (tmp_path / "events").unlink()
        until(lambda: texts(tmp_path / "events")[-1:] == ["49"])
    first, *rest = texts(tmp_path / "events")
    assert first.startswith("46 events were lost")
    assert rest == ["45", "46", "47", "48", "49"]
    assert log.stats["lost"] == 46


def test_telling_it_costs_microseconds_whatever_the_disk_does(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file in its place", "utf-8")
    with running(tmp_path / "events") as log:
        one = notice("x")
        for _ in range(event_log.BOUND):
            log.take(one)
        least_s = min(_took_s(log, one) for _ in range(20))
    assert least_s / 100 < 100e-6


def _took_s(log: EventLog, one: Notice) -> float:
    began_s = time.perf_counter()
    for _ in range(100):
        log.take(one)
    return time.perf_counter() - began_s


def test_a_segment_of_what_is_always_recorded_is_no_news(tmp_path: Path) -> None:
    data: dict[str, Json] = {"state": "filed", "trigger": "continuous", "tone_ids": []}
    with running(tmp_path) as log:
        news: list[dict[str, Json]] = [{"trigger": "vox"}, {"tone_ids": ["engine-7"]}, {"state": "failed"}]
        for more in ({}, *news):
            log.take(Notice("recording", 1, str(more), data={**data, **more}))
    assert texts(tmp_path) == ["{'trigger': 'vox'}", "{'tone_ids': ['engine-7']}", "{'state': 'failed'}"]
