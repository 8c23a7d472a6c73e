"""Compares the index with the files and makes it say what they say."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from echostream.archive.file_names import FORMS, META_FOLDER, place_of
from echostream.archive.meta_files import write_meta
from echostream.archive.open_marks import marked
from echostream.archive.repair import recover
from echostream.errors import BrokenFile
from echostream.index import folders
from echostream.index.engine import transaction
from echostream.index.folders import Day
from echostream.index.query import Reconciled
from echostream.index.store import Entry
from echostream.index.tables import any_device, devices, recordings
from echostream.index.tables import folders as folder_table

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex

log = logging.getLogger(__name__)

BATCH: Final = 500
"""Recordings in one transaction: others who write wait no longer than for these."""
_MOST_TOLD: Final = 20
_RECENT_S: Final = 36 * 3600.0
"""Days as young as this are looked at in any case: a power cut may have taken files, and with them the change
of their folder, of which the index knows."""
_QUIET_S: Final = 60.0
"""Audio that changed more recently than this may be on its way here."""


def reconcile(index: ArchiveIndex, stopped: Callable[[], bool], everything: bool = False) -> Reconciled:
    """Days that changed since they were last read, or all of them. Ends early when `stopped`."""
    return _Reconciliation(index, stopped).run(everything)


class _Reconciliation:
    def __init__(self, index: ArchiveIndex, stopped: Callable[[], bool]) -> None:
        self._index = index
        self._stopped = stopped
        self._added = self._changed = self._removed = 0
        self._broken: list[str] = []

    def run(self, everything: bool) -> Reconciled:
        began_s = time.monotonic()
        seen_ns = folders.now_ns()
        recent = time.strftime("%Y-%m-%d", time.gmtime(seen_ns / 1e9 - _RECENT_S))
        found = folders.days(self._index.directory)
        known = self._known_days()
        if everything:
            known = dict.fromkeys(known)
        for name in sorted(known.keys() - {day.name for day in found}):
            self._day(Day(name, 0, 0), everything)
            self._remember(Day(name, 0, 0), seen_ns)
        for day in reversed(found):  # what is asked for first
            if self._stopped():
                break
            if known.get(day.name) != day or day.name >= recent:
                self._day(day, everything)
                if not self._stopped():
                    self._remember(day, seen_ns)
        else:
            self._index.needs_rebuild = False
        for text in self._broken[:_MOST_TOLD]:
            log.warning("index: %s", text)
        if len(self._broken) > _MOST_TOLD:
            log.warning("index: %d more files that do not read", len(self._broken) - _MOST_TOLD)
        seconds = time.monotonic() - began_s
        return Reconciled(self._added, self._changed, self._removed, seconds, tuple(self._broken))

    def _known_days(self) -> dict[str, Day | None]:
        with transaction(self._index.engine) as connection:
            columns = folder_table.c
            query = sa.select(columns.folder, columns.audio_mtime_ns, columns.meta_mtime_ns)
            rows = connection.execute(query.where(columns.archive == self._index.archive))
            return {row[0]: Day(*row) for row in rows}

    def _remember(self, day: Day, seen_ns: int) -> None:
        """Its row says that it was read; a day that is gone, or still changes, has none."""
        columns = folder_table.c
        one = (columns.archive == self._index.archive, columns.folder == day.name)
        with transaction(self._index.engine, writes=True) as connection:
            connection.execute(sa.delete(folder_table).where(*one))
            if day.audio_mtime_ns:
                settled = day.settled(seen_ns)
                values = {
                    "archive": self._index.archive,
                    "folder": day.name,
                    "audio_mtime_ns": day.audio_mtime_ns if settled else 0,
                    "meta_mtime_ns": day.meta_mtime_ns if settled else 0,
                }
                connection.execute(sa.insert(folder_table).values(**values))

    def _day(self, day: Day, everything: bool) -> None:
        directory = self._index.directory
        listing = folders.listing(directory, day.name)
        for name in listing.gone:
            try:
                folders.finish_deletion(directory, day.name, name)
            except OSError as error:
                self._broken.append(f"{directory / day.name}: {error}")
        if listing.gone:
            listing = folders.listing(directory, day.name)
        rows = self._rows(day.name)
        there = {f"{day.name}/{name}" for name in listing.audio}
        mtimes = (
            set() if everything else {(path, mtime_ns) for path, mtime_ns in rows.items() if path in there}
        )
        metas = directory / day.name / META_FOLDER
        wanted = []
        for name, mtime_ns in sorted(listing.metas.items()):
            stem = f"{day.name}/{name.removesuffix('.json')}"
            if not any((f"{stem}.{form}", mtime_ns) in mtimes for form in FORMS):
                wanted.append(metas / name)
        gone = [path for path in rows if path not in there]
        self._removed += len(gone)
        for at in range(0, max(len(wanted), 1), BATCH):
            if self._stopped():
                return
            self._read(wanted[at : at + BATCH], listing.audio, gone if at == 0 else [])
        self._recover(day.name, listing)

    def _read(self, metas: list[Path], audio: set[str], gone: list[str]) -> None:
        entries = []
        for meta in metas:
            try:
                found = folders.read(meta, audio)
            except (BrokenFile, OSError) as error:
                self._broken.append(str(error))
                continue
            if found.recording is not None:
                entries.append(Entry(found.recording, found.mtime_ns))
        self._write(entries, gone)

    def _write(self, entries: list[Entry], gone: list[str]) -> None:
        added = self._index.write(entries, gone)
        self._added += added
        self._changed += len(entries) - added

    def _recover(self, day: str, listing: folders.Listing) -> None:
        """Audio of which nothing is known: what its file says of itself becomes its meta file."""
        known = {name.removesuffix(".json") for name in listing.metas}
        lost = sorted(name for name in listing.audio if name.rpartition(".")[0] not in known)
        if not lost:
            return
        directory = self._index.directory
        # In this order: who writes puts the marker first and takes it away when the meta file says all.
        # What a dead process marked is the recorder's to repair, who knows why it ended.
        busy = marked(directory)
        entries = []
        for name in lost:
            audio = directory / day / name
            try:
                if audio.stem in busy or audio.stat().st_mtime > time.time() - _QUIET_S or self._stopped():
                    continue
                if _says_something(place_of(directory, audio).meta):
                    continue  # by now
                recording = recover(audio, directory, self._gateway())
                meta = write_meta(directory, recording, sync=False)
                entries.append(Entry(recording, meta.stat().st_mtime_ns))
            except (BrokenFile, OSError) as error:
                self._broken.append(str(error))
        self._write(entries, [])

    def _gateway(self) -> str:
        """Whose recordings lie here, as far as is known."""
        columns = devices.c
        query = sa.select(columns.gateway).where(columns.archive == self._index.archive)
        with transaction(self._index.engine) as connection:
            found: str | None = connection.execute(query.order_by(columns.last_us.desc()).limit(1)).scalar()
        return found or ""

    def _rows(self, day: str) -> dict[str, int]:
        """Path -> mtime of the meta file that its row was made of."""
        columns = recordings.c
        here = sa.select(devices.c.number).where(devices.c.archive == self._index.archive)
        query = sa.select(columns.path, columns.meta_mtime_ns).where(
            columns.path > f"{day}/",
            columns.path < f"{day}0",  # what follows "/"
            any_device.in_(here),
        )
        with transaction(self._index.engine) as connection:
            return {row[0]: row[1] for row in connection.execute(query)}


def _says_something(meta: Path) -> bool:
    try:
        return meta.stat().st_size > 0
    except FileNotFoundError:
        return False
