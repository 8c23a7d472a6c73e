"""The index of one archive: asked, changed, and made again of the files. Any thread may use it.

What a person changes (`protect`, `note`, `delete`) is changed in the files first: they are the truth.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from echostream.archive.file_names import FORMS, Place, start_of
from echostream.archive.meta_files import read_meta, update_meta, write_meta
from echostream.archive.recording import Recording
from echostream.errors import BrokenFile, RecordingKept
from echostream.index import folders, reading, reconciliation, summaries
from echostream.index.engine import IndexContended, tidy_up, transaction
from echostream.index.event_rows import EventQuery, EventRow
from echostream.index.event_table import EventTable, by_time
from echostream.index.query import Page, Query, Reconciled, SourceGap, Stats
from echostream.index.store import Entry, Store
from echostream.index.tables import devices, recordings
from echostream.index.uploads import Uploads

log = logging.getLogger(__name__)

ID_LENGTH: Final = 32
MOST_FOUND: Final = 10
ATTEMPTS: Final = 8
"""Of a change that another gateway of the same database gets in the way of."""
_DIGITS: Final = re.compile(r"[0-9a-f]{6,32}")


class ArchiveIndex:
    """Made by `door.open_index`. Methods raise IndexUnavailable when the database cannot be used.

    needs_rebuild: it was corrupt or is new; what the files say is not in it yet.
    """

    def __init__(self, engine: Engine, directory: Path, archive: str, needs_rebuild: bool = False) -> None:
        self.directory = directory
        self.archive = archive
        self.needs_rebuild = needs_rebuild
        self.engine = engine
        self.uploads = Uploads(engine, archive)
        self._store = Store(archive)
        self._file = _file_of(engine)
        self._writing = threading.Lock()  # one writer in this process; the database keeps others apart

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection. Idempotent."""
        self.engine.dispose()

    def was_replaced(self) -> bool:
        """Whether the SQLite file was taken away, or another put in its place: it must be opened again."""
        return self._file != _file_of(self.engine)

    # ---- asking

    def list(self, query: Query | None = None, *, limit: int = 50, after: str | None = None) -> Page:
        """A page of recordings, the newest first. after: the `next` of the page before."""
        with transaction(self.engine) as connection:
            return reading.page(connection, self.archive, query or Query(), limit, after)

    def search(self, text: str, *, limit: int = 50, after: str | None = None) -> Page:
        """Recordings in which all words of `text` occur, the newest first."""
        return self.list(Query(text=text), limit=limit, after=after)

    def all(self, query: Query | None = None, *, batch: int = 500) -> Iterator[Recording]:
        """Every recording, page by page: none is held open between them."""
        after = None
        while True:
            page = self.list(query, limit=batch, after=after)
            yield from page.recordings
            if (after := page.next) is None:
                return

    def find(self, what: str, here_only: bool = False) -> tuple[Recording, ...]:
        """By id or its first 6 digits, by path, or by the name of any of its files; at most 10.

        here_only: none of another folder, which a site's database may hold too.
        """
        where = self._named(what.strip())
        if where is None:
            return ()
        column = recordings.c
        found = sa.select(column.number).where(where).order_by(column.number).limit(MOST_FOUND)
        if here_only:
            own = sa.select(devices.c.number).where(devices.c.archive == self.archive)
            found = found.where(column.device.in_(own))
        with transaction(self.engine) as connection:
            return tuple(reading.read(connection, list(connection.execute(found).scalars())))

    def _named(self, what: str) -> sa.ColumnElement[bool] | None:
        name, column = Path(what).name, recordings.c
        stems = [one for one in (name, name.rpartition(".")[0]) if start_of(one) is not None]
        if stems:
            places = [Place(self.directory, stem) for stem in stems]
            return column.path.in_([place.path(form) for place in places for form in FORMS])
        digits = what.lower()
        if not _DIGITS.fullmatch(digits):
            return None
        return sa.and_(column.id >= digits, column.id <= digits.ljust(ID_LENGTH, "f"))

    def get(self, what: str) -> Recording | None:
        """The one recording that `find` finds; None when there is none, or when it might be several."""
        found = self.find(what)
        return found[0] if len(found) == 1 else None

    def gaps(
        self,
        since_us: int | None = None,
        until_us: int | None = None,
        sources: tuple[str, ...] = (),
        limit: int = 1000,
        here_only: bool = False,
    ) -> tuple[SourceGap, ...]:
        """Times without audio that overlap [since, until), the oldest first. here_only: as in Query."""
        archive = self.archive if here_only else None
        with transaction(self.engine) as connection:
            return summaries.gap_list(connection, since_us, until_us, sources, limit, archive)

    def event_table(self, log: str) -> EventTable:
        """The event log's table. log: what a log is known by."""
        return EventTable(self.engine, log)

    def events(self, query: EventQuery) -> Iterator[EventRow]:
        """Events of all logs that the database has, the newest first, page by page."""
        return by_time(self.engine, query)

    def stats(self) -> Stats:
        """How much there is, by source: from counters, whatever the size."""
        with transaction(self.engine) as connection:
            return summaries.stats(connection, self.archive)

    # ---- changing

    def protect(self, recording_id: str, on: bool = True) -> Recording:
        """Keep it whatever its age, or no longer. Raises LookupError, OSError, BrokenFile."""
        return self._edit(recording_id, lambda recording: replace(recording, protected=on))

    def note(self, recording_id: str, text: str) -> Recording:
        """What a person has to say about it; found by `search`. Raises LookupError, OSError, BrokenFile."""
        return self._edit(recording_id, lambda recording: replace(recording, notes=text))

    def delete(self, recording_id: str, *, force: bool = False) -> int:
        """Delete its files and its row; the bytes that were freed.

        Raises RecordingKept for one that is being written, or protected (`force`: this one too), LookupError
        for none of this archive, OSError.
        """
        recording = self._own(recording_id)
        if recording.state == "open":
            raise RecordingKept(f"{recording.path} is being written")
        if recording.protected and not force:
            raise RecordingKept(f"{recording.path} is protected")
        folders.delete(self.directory, recording.path)
        self.removed([recording.path])
        return recording.bytes

    def _own(self, recording_id: str) -> Recording:
        """What its file says, or the index where it has none. Raises LookupError for another folder's."""
        found = self.find(recording_id, here_only=True)
        if len(found) != 1:
            raise LookupError(f"{recording_id}: {len(found) or 'no'} recordings of {self.directory}")
        row = found[0]
        try:
            recording = read_meta(Place(self.directory, Path(row.path).stem).meta)  # the index may be behind
        except FileNotFoundError:
            if not (self.directory / row.path).exists():
                self.removed([row.path])
                raise LookupError(f"{row.path} is gone") from None
            return row
        if recording.id != row.id:
            raise LookupError(f"{row.path} is another recording by now")
        return recording

    def _edit(self, recording_id: str, change: Callable[[Recording], Recording]) -> Recording:
        own = self._own(recording_id)
        meta = Place(self.directory, Path(own.path).stem).meta
        try:
            recording = update_meta(meta, change)
        except FileNotFoundError:  # audio without a meta file
            recording = change(own)
            write_meta(self.directory, recording)
        self.changed([meta])
        return recording

    # ---- keeping up with the files

    def changed(self, metas: Iterable[Path]) -> tuple[str, ...]:
        """These meta files are new or changed. Paths that say nothing, and why."""
        entries, gone, broken = [], list[str](), list[str]()
        for meta in metas:
            try:
                found = folders.read(meta)
            except FileNotFoundError:
                gone += folders.paths_of(self.directory, meta)
                continue
            except (BrokenFile, OSError) as error:
                broken.append(str(error))
                continue
            if found.recording is not None:
                entries.append(Entry(found.recording, found.mtime_ns))
        self.write(entries, gone)
        return tuple(broken)

    def removed(self, paths: Iterable[Path | str]) -> None:
        """These recordings (any of their files, relative or absolute) are gone."""
        gone = [
            path for one in paths for path in folders.paths_of(self.directory, Path(one).with_suffix(".json"))
        ]
        self.write([], gone)

    def write(self, entries: Sequence[Entry], gone: Sequence[str]) -> int:
        """Both in one transaction; how many recordings were new."""
        if not entries and not gone:
            return 0
        with self._writing:
            for _ in range(ATTEMPTS - 1):
                with suppress(IndexContended):
                    return self._write_once(entries, gone)
            return self._write_once(entries, gone)

    def _write_once(self, entries: Sequence[Entry], gone: Sequence[str]) -> int:
        try:
            with transaction(self.engine, writes=True) as connection:
                self._store.drop(connection, gone, {entry.recording.id for entry in entries})
                return self._store.put(connection, entries)
        except BaseException:
            self._store.forget()
            raise

    def tidy_up(self) -> None:
        """After very many rows: let the database look at what there is, so that it plans well."""
        tidy_up(self.engine)

    def reconcile(self, stopped: Callable[[], bool] = lambda: False) -> Reconciled:
        """Make it say what the files say; only days that changed are looked at. Raises OSError."""
        return reconciliation.reconcile(self, stopped)

    def rebuild(self, stopped: Callable[[], bool] = lambda: False) -> Reconciled:
        """The same, with nothing taken for known. Raises OSError."""
        return reconciliation.reconcile(self, stopped, everything=True)


def _file_of(engine: Engine) -> tuple[int, int] | None:
    """Which file is there now; None where there is none, or none is needed."""
    if engine.dialect.name != "sqlite":
        return None
    try:
        status = Path(str(engine.url.database)).stat()
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino
