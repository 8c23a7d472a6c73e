"""Copies the log's files into the index's table; late while the database is away: the files are the truth."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.config.recording_models import Recording
from echostream.coordinator.worker import Worker
from echostream.errors import IndexCorrupt, IndexUnavailable
from echostream.event_log.files import day_files, first_number
from echostream.event_log.lines import Logged, decode, plain
from echostream.events import Post
from echostream.index.door import FILE_NAME, move_aside, open_index
from echostream.index.event_rows import EventRow
from echostream.index.folders import archive_id

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex
    from echostream.index.event_table import EventTable

log = logging.getLogger(__name__)

GATHER_S: Final = 1.0
RETRY_MIN_S: Final = 2.0
RETRY_MAX_S: Final = 120.0
BLOCK: Final = 512 * 1024
"""Bytes of a file that are copied in one transaction: some thousand events."""
LAST_S: Final = 3.5
"""A stop waits so long for the log's own last words,"""
LAST_COPY_S: Final = 0.5
"""and takes so long to copy them; the rest is copied at the next start."""


class TableCopy(Worker):
    """Thread `event-table`. copied: events; error: why the database cannot be used, "" when it can."""

    def __init__(self, directory: Path, recording: Recording, database_url: str | None, post: Post) -> None:
        """directory: of the log's files."""
        super().__init__("event-table", post)
        self._directory = directory
        self._archive = Path(recording.directory)
        self._database_url = database_url
        self._told = threading.Event()
        self._log_ended = threading.Event()
        self._retry_s = RETRY_MIN_S
        self.copied = 0
        self.error = ""

    def written(self) -> None:
        """There is more in the files, or less. Any thread."""
        self._told.set()

    def log_ended(self) -> None:
        """Nothing more is written by this process. Any thread."""
        self._log_ended.set()
        self._told.set()

    def _unblock(self) -> None:
        self._told.set()

    def _work(self) -> None:
        there = self._database_url is not None or (self._archive / FILE_NAME).exists()
        if not (there and self._directory.is_dir()):
            self._stopping.wait(RETRY_MIN_S)  # whoever makes them has not yet
            return
        try:
            with open_index(self._archive, self._database_url, create=False) as index:
                try:
                    self._keep_up(index)
                except IndexCorrupt as error:
                    if index.was_replaced():
                        return  # somebody else saw it first
                    move_aside(self._archive, str(error))
        except (IndexUnavailable, OSError) as error:
            self._failed(error)

    def _keep_up(self, index: ArchiveIndex) -> None:
        """Until it is told to stop, or the index is another one, or the log: somebody began it anew."""
        name = archive_id(self._directory)
        table = index.event_table(name)
        while not (index.was_replaced() or self._stopping.is_set() or archive_id(self._directory) != name):
            self._told.clear()
            self._copy(table)
            self._told.wait()
            self._stopping.wait(GATHER_S)
        if self._stopping.is_set() and self._log_ended.wait(LAST_S):
            self._copy(table, last=True)

    def _failed(self, error: OSError) -> None:
        if str(error) != self.error:
            log.warning("event log: the table in the index waits: %s; the files have everything", error)
        self.error = str(error)
        self._stopping.wait(self._retry_s)
        self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s)

    def _copy(self, table: EventTable, last: bool = False) -> None:
        """All that is not there yet. A stop ends it; `last` is after the stop, and takes no longer than that.

        Between blocks it rests as long as one took: who keeps the index of recordings gets the database too.
        """
        end_s = time.monotonic() + LAST_COPY_S
        there = table.read()
        files = day_files(self._directory)
        for path in files:
            for begin, end, events in _blocks(path, there.get(path.stem, 0)):
                began_s = time.monotonic()
                if (self._stopping.is_set() and not last) or (last and began_s > end_s):
                    return
                table.add(path.stem, begin, end, [as_row(path.stem, one) for one in events])
                self.copied += len(events)
                if end - begin > BLOCK // 2:
                    self._stopping.wait(time.monotonic() - began_s)
        gone = there.keys() - {path.stem for path in files}
        if gone and files:
            # What was purged was written before all that is left; another file may only be away for now.
            first = min(first_number(path) for path in files)
            table.purge({day for day in gone if table.last_line(day) < first})
        if self.error:
            log.info("event log: the table in the index is up to date again")
        self.error, self._retry_s = "", RETRY_MIN_S


def as_row(day: str, logged: Logged) -> EventRow:
    """As the table has it."""
    notice = logged.notice
    return EventRow(
        line=logged.number,
        day=day,
        id=notice.id,
        gateway=logged.gateway,
        at_us=notice.at_us,
        kind=notice.kind,
        channel_id=notice.channel_id,
        subject=notice.subject,
        weight=int(notice.weight),
        who=notice.who,
        text=notice.text,
        data=_json(dict(notice.data)),
        before="" if notice.before is None else _json(notice.before),
        after="" if notice.after is None else _json(notice.after),
    )


def _json(value: object) -> str:
    return json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))


def _blocks(path: Path, begin: int) -> Iterator[tuple[int, int, list[Logged]]]:
    """Whole lines from a byte on: where they begin and end, and those that read."""
    try:
        with path.open("rb") as file:
            while True:
                file.seek(begin)
                block = file.read(BLOCK)
                whole = block.rfind(b"\n") + 1
                if not whole:
                    return
                yield begin, begin + whole, list(_read(block[:whole]))
                begin += whole
    except FileNotFoundError:
        return  # purged meanwhile


def _read(block: bytes) -> Iterator[Logged]:
    for line in block.split(b"\n"):
        try:
            yield decode(line)
        except ValueError:
            continue
