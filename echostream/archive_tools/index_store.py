"""Recordings by the index; by the files where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from echostream.archive.open_marks import being_written
from echostream.archive.recording import Recording
from echostream.archive_tools.file_store import FileStore
from echostream.archive_tools.source_names import name_of
from echostream.archive_tools.store import Store, Total, summed
from echostream.errors import ArchiveError, IndexUnavailable
from echostream.index.door import open_index
from echostream.index.query import Query

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex

INDEX_FILE: Final = "index.sqlite3"


class IndexStore:
    """The index: quick whatever the number."""

    how = "index"

    def __init__(self, index: ArchiveIndex) -> None:
        self.directory = index.directory
        self.broken: list[str] = []
        self._index = index

    def all(self, query: Query) -> Iterator[Recording]:
        """Page by page."""
        return self._index.all(query)

    def sources(self) -> set[str]:
        """Of its counters."""
        return {name_of(one.source, one.kind) for one in self._index.stats().sources}

    def totals(self) -> list[Total]:
        """Of its counters."""
        return summed(
            Total(
                name_of(one.source, one.kind),
                one.label,
                one.recordings,
                one.duration_us,
                one.bytes,
                one.first_us,
                one.last_us,
            )
            for one in self._index.stats().sources
            if one.own and one.recordings
        )

    def find(self, what: str) -> list[Recording]:
        """Of its keys."""
        return list(self._index.find(what))

    def change(self, one: Recording, protected: bool | None = None, notes: str | None = None) -> Recording:
        """In the file, then in the index."""
        if protected is not None:
            one = self._index.protect(one.id, protected)
        return one if notes is None else self._index.note(one.id, notes)

    def delete(self, one: Recording, force: bool) -> int:
        """Files and row."""
        return self._index.delete(one.id, force=force)

    def close(self) -> None:
        """Its connections."""
        self._index.close()


def open_store(directory: Path, database_url: str | None, by_files: bool, err: TextIO) -> Store:
    """By the index where there is one that can be used. ArchiveError where there are no recordings at all."""
    if not directory.is_dir():
        raise ArchiveError(f"{directory}: no recordings there; name the place with --directory or --config")
    if by_files:
        return FileStore(directory)
    try:
        index = open_index(directory, database_url, create=False)
    except IndexUnavailable as error:
        if database_url is not None or (directory / INDEX_FILE).exists():
            err.write(f"the index cannot be used ({error}); every file is read instead\n")
        return FileStore(directory)
    try:
        if index.needs_rebuild or not being_written(directory):
            index.reconcile()  # no gateway is there to keep it up to date
    except (IndexUnavailable, OSError) as error:
        index.close()
        err.write(f"the index cannot be brought up to date ({error}); every file is read instead\n")
        return FileStore(directory)
    return IndexStore(index)
