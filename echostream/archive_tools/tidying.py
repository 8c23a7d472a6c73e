"""`echostream recordings tidy`: keeps recordings and event log within bounds, also while no gateway runs.

A gateway does the same by itself, every half minute. A timer calls this for the time in which it is stopped
or broken; beside one that runs there is nothing left to do, and what it is writing is left alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TextIO

from echostream.archive.disk_room import Disk, disk_of
from echostream.archive.wall_clock import ClockQuality, kernel_clock
from echostream.archive_tools.listing import counted
from echostream.archive_tools.repairing import Done, RepairOptions, mend_half_written
from echostream.config.models import Config
from echostream.errors import IndexUnavailable
from echostream.event_log.acts import ActLog
from echostream.event_log.files import log_directory
from echostream.event_log.purging import Purge
from echostream.events import Event, RecordingAtRisk
from echostream.index.door import open_index
from echostream.index.retention import Retention

_MEGABYTE: Final = 1e6


@dataclass(frozen=True, slots=True)
class Clocks:
    """What a test has of its own."""

    now: Callable[[], float] = time.time
    quality: Callable[[], ClockQuality] = kernel_clock
    disk: Callable[[Path], Disk] = disk_of


@dataclass(slots=True)
class _Said:
    done: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    at_risk: list[RecordingAtRisk] = field(default_factory=list)

    def post(self, event: Event) -> None:
        if isinstance(event, RecordingAtRisk):
            self.at_risk.append(event)


def tidy(
    config: Config,
    database_url: str | None,
    out: TextIO,
    err: TextIO,
    acts: ActLog,
    clocks: Clocks = Clocks(),
) -> int:
    """Exit code 0, 1 where something could not be done. OSError, ArchiveError where nothing can be."""
    said = _Said()
    directory = Path(config.recording.directory)
    if config.recording.enabled and directory.is_dir():
        _mend(directory, config.gateway.id, database_url, said)
        _keep_bounds(directory, config, database_url, said, clocks)
    _purge_log(config, said, clocks)
    for words in said.done:
        out.write(f"{words}\n")
        acts.add("tidy", words, subject="recordings")
    for words in said.failed:
        err.write(f"echostream recordings tidy: {words}\n")
    if not said.done and not said.failed:
        out.write("nothing to tidy\n")
    return 1 if said.failed else 0


def _mend(directory: Path, gateway: str, database_url: str | None, said: _Said) -> None:
    """What a dead process left half-written, and an index that knows of nothing yet."""
    done = Done()
    mend_half_written(directory, RepairOptions(gateway=gateway), done)
    said.done += [f"{path}: {words}" for _, path, words in done.actions]
    said.failed += [f"{path}: {words}" for path, words in done.failed]
    try:
        with open_index(directory, database_url) as index:
            if index.needs_rebuild or done.actions:
                index.rebuild() if index.needs_rebuild else index.reconcile()
    except IndexUnavailable as error:
        said.failed.append(str(error))


def _keep_bounds(
    directory: Path, config: Config, database_url: str | None, said: _Said, clocks: Clocks
) -> None:
    retention = Retention(
        directory, config.recording, said.post, database_url, clocks.now, clocks.disk, clocks.quality
    )
    try:
        report = retention.tick(clocks.now())
    except IndexUnavailable as error:
        said.failed.append(f"nothing can be deleted now: {error}")
        return
    if report.deleted:
        what = counted(report.deleted, "recording")
        said.done.append(f"{what} deleted, {report.freed_bytes / _MEGABYTE:.1f} MB")
    for risk in said.at_risk:
        what = counted(risk.recordings, "recording")
        said.done.append(f"{what} not uploaded yet, and to be deleted: {risk.reason}")
    if report.still_over:
        size = report.still_over / _MEGABYTE
        said.done.append(
            f"{size:.1f} MB too much; all that is left is protected, being written or to be sent"
        )
    said.failed += [f"cannot be deleted: {words}" for words in report.failed]


def _purge_log(config: Config, said: _Said, clocks: Clocks) -> None:
    events = config.events
    directory = log_directory(Path(events.directory))
    if not directory.is_dir():
        return
    purge = Purge(directory, events.keep_days, events.keep_mb, clocks.now, clocks.quality)
    gone = purge.run(time.monotonic())
    if gone:
        said.done.append(f"{counted(len(gone), 'day')} of the event log deleted, up to {max(gone)}")
