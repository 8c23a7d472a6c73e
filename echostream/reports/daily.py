"""The daily report, written when its time has come."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, tzinfo
from pathlib import Path
from typing import IO, Final

import echostream
from echostream.archive.wall_clock import ClockQuality, kernel_clock
from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.event_log.files import day_files, log_directory
from echostream.events import Post
from echostream.index.retention_plan import ClockTrust
from echostream.notices.notice import Notice
from echostream.reports.alive import PERIOD_S, Alive
from echostream.reports.due import due, outdated, premature
from echostream.reports.folder import days_there, remove, reports_directory
from echostream.reports.job import MODULE, Job, packed
from echostream.reports.sources import Place, place_of
from echostream.vitals.model import LinkVitals, Vitals

log = logging.getLogger(__name__)

LOOK_S: Final = 20.0
FIRST_S: Final = 15.0
"""After the start: a gateway has other things to do then."""
MOST_S: Final = 900.0
"""A report that takes longer is given up: its disk hangs, or its database does not answer."""
AGAIN_S: Final = 3600.0
"""After one that could not be made."""
TRUST_S: Final = 600.0
"""So long is waited for a clock that nobody has set yet: a machine without a battery begins in the past."""
_POLL_S: Final = 0.2
_END_S: Final = 1.0


class DailyReport(Worker):
    """Thread `report`. Reading and drawing is done by a process of its own (child.py)."""

    def __init__(
        self,
        config: Config,
        database_url: str | None,
        post: Post,
        unix_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        clock: Callable[[], ClockQuality] = kernel_clock,
        zone: tzinfo | None = None,
    ) -> None:
        """zone: None is the machine's own."""
        super().__init__("report", post)
        self._events = config.events
        self._place = place_of(config, database_url)
        self._folder = reports_directory(self._place.events)
        self._unix_us = unix_us
        self._clock = clock
        self._zone = zone
        self._alive = Alive(self._place.events)
        self._alive_at_s = -PERIOD_S
        self._not_before: dict[date, float] = {}
        self._complaint = ""
        self._trust = ClockTrust()
        self._began_s = time.monotonic()

    @property
    def workers(self) -> Sequence[Worker]:
        return [self]

    def take(self, notice: Notice) -> None:
        """What happened stands in the log; it is read there."""

    def look(self, vitals: Vitals) -> None:
        """It needs none of it."""

    def link(self) -> LinkVitals | None:
        """It is no way out."""
        return None

    # ---- the thread

    def _work(self) -> None:
        self._guarded(self._renew)
        wait_s = FIRST_S
        while not self._stopping.wait(wait_s):
            wait_s = LOOK_S
            self._guarded(self._look)

    def _guarded(self, step: Callable[[], None]) -> None:
        """What the disk refuses is said once, and tried again."""
        try:
            step()
        except OSError as error:
            self._complain(f"{error.filename or self._folder}: {error.strerror or error}")
        else:
            self._complaint = ""

    def _complain(self, words: str) -> None:
        if words != self._complaint:
            self._complaint = words
            remedy = "make it writable for the service, or name another place in events.directory"
            log.error("daily report: %s; %s", words, remedy)

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._alive_at_s >= PERIOD_S:
            self._alive_at_s = now
            self._alive.renew(self._unix_us())

    def _look(self) -> None:
        self._renew()
        now_us, synchronised = self._unix_us(), self._clock().state != "unsynchronised"
        if not synchronised and time.monotonic() - self._began_s < TRUST_S:
            return
        there = days_there(self._folder)
        for day in premature(now_us, there, self._zone):
            log.warning("daily report of %s is taken away: the clock was ahead when it was written", day)
            remove(self._folder, day)
        if self._trust.may_judge(now_us / 1e6, time.monotonic(), synchronised):
            for day in outdated(now_us, self._events.keep_reports_days, there, self._zone):
                remove(self._folder, day)
        self._write_next(now_us, there)

    def _write_next(self, now_us: int, there: list[date]) -> None:
        """One at a time: after a month away there are a month's."""
        now = time.monotonic()
        self._not_before = {day: at_s for day, at_s in self._not_before.items() if at_s > now}
        waiting = [*there, *self._not_before]
        assert self._events.report_at is not None
        day = due(now_us, self._events.report_at, waiting, _first_day(self._place, self._zone), self._zone)
        if day is None:
            return
        failed = _run(Job(self._place, str(day), now_us, self._zone is not None), self._stopping.wait)
        if failed is None:
            log.info("daily report of %s is in %s", day, self._folder)
        elif not self._stopping.is_set():
            self._not_before[day] = now + AGAIN_S
            log.error("daily report of %s could not be made, it is tried again in an hour: %s", day, failed)


def _first_day(place: Place, zone: tzinfo | None) -> date | None:
    """The oldest day of which the log has something. Its files are those of UTC days. OSError."""
    files = day_files(log_directory(place.events))
    return date.fromisoformat(files[0].stem) if files else None


def _run(job: Job, pause: Callable[[float], bool]) -> str | None:
    """None: it is made. Else why not. pause(seconds) is True when the gateway stops: then it is ended."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        child = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            stdin=subprocess.PIPE,
            stdout=said,
            stderr=complained,
            env=_environment(reports_directory(job.place.events)),
            cwd="/",
            start_new_session=True,
        )
        assert child.stdin is not None
        with suppress(BrokenPipeError), child.stdin:  # it has ended already, and says why
            child.stdin.write(packed(job).encode())
        until_s = time.monotonic() + MOST_S
        while child.poll() is None:
            if pause(_POLL_S) or time.monotonic() > until_s:
                _end(child)
                return f"it took longer than {MOST_S:.0f} s"
        if child.returncode:
            return _last_line(complained) or f"exit code {child.returncode}"
        words = _last_line(said)
    if words:
        log.warning("daily report of %s: %s", job.day, words)
    return None


def _environment(folder: Path) -> dict[str, str]:
    """Ours; and a place for what matplotlib knows of the fonts, since a service has no home to keep it in."""
    fonts = {"MPLCONFIGDIR": str(folder / ".matplotlib")}
    return fonts | os.environ | {"PYTHONPATH": str(Path(echostream.__file__).parents[1])}


def _last_line(file: IO[bytes]) -> str:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2000))
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""


def _end(child: subprocess.Popen[bytes]) -> None:
    """One that waits for a disk which hangs does not end before that does: nobody waits for it."""
    child.kill()
    with suppress(subprocess.TimeoutExpired):
        child.wait(_END_S)
