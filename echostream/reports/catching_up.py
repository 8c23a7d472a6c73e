"""Writes the daily reports that are missing: the gateway was stopped when they were due, or could not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, tzinfo
from pathlib import Path
from typing import Final, TextIO

from echostream.archive.wall_clock import ClockQuality, kernel_clock
from echostream.event_log.files import day_files, log_directory
from echostream.reports.child import make
from echostream.reports.due import due
from echostream.reports.folder import days_there, reports_directory
from echostream.reports.job import Job
from echostream.reports.sources import Place

_MOST: Final = 31


def catch_up(
    place: Place,
    report_at: str | None,
    out: TextIO,
    unix_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    clock: Callable[[], ClockQuality] = kernel_clock,
    zone: tzinfo | None = None,
) -> int:
    """The newest first: that one is waited for. zone: None is the machine's own. Exit code 0; OSError."""
    folder = reports_directory(place.events)
    if report_at is None:
        out.write("no daily reports are wanted: events.report_at is null\n")
        return 0
    if clock().state == "unsynchronised":
        out.write("the clock is not set yet: which day it is is not known\n")
        return 0
    written = list[date]()
    while len(written) < _MOST:
        first = _first_day(place.events)
        day = due(unix_us(), report_at, [*days_there(folder), *written], first, zone)
        if day is None:
            break
        said = make(Job(place, str(day), unix_us(), zone is not None))
        written.append(day)
        out.write(f"{folder / str(day)}.txt written{f'; {said}' if said else ''}\n")
    if not written:
        out.write("no report is missing\n")
    return 0


def _first_day(events: Path) -> date | None:
    """The oldest day of which the log has something; OSError."""
    files = day_files(log_directory(events))
    return date.fromisoformat(files[0].stem) if files else None
