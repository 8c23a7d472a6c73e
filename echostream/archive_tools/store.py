"""Which recordings there are: by the index, or, where there is none, by the files that it is made of."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from echostream.archive.file_names import META_FOLDER, Place, place_of, start_of
from echostream.archive.meta_files import read_meta, update_meta
from echostream.archive.open_marks import being_written
from echostream.archive.recording import Recording, SourceKind
from echostream.archive_tools.assembly import end_us
from echostream.errors import ArchiveError, IndexUnavailable, RecordingKept
from echostream.index.door import open_index
from echostream.index.query import Query
from echostream.index.words import terms_of, words_of

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex

SHORTEST_ID: Final = 6
MOST_FOUND: Final = 10
INDEX_FILE: Final = "index.sqlite3"
NETWORK: Final = ".net"
QUARANTINE: Final = "quarantine."
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def source_name(one: Recording) -> str:
    """What a source is called on the command line, as in the names of its files."""
    return name_of(one.source, one.kind)


def name_of(source: str, kind: SourceKind) -> str:
    """The same of its parts."""
    if kind == "network":
        return source + NETWORK
    return QUARANTINE + source if kind == "quarantine" else source


@dataclass(slots=True)
class Total:
    """Of one source. first_us, last_us: when its first and last one began; Unix microseconds, UTC."""

    source: str
    label: str = ""
    recordings: int = 0
    duration_us: int = 0
    bytes: int = 0
    first_us: int = 0
    last_us: int = 0

    def add(self, other: Total) -> None:
        """Count others of the same source in."""
        self.first_us = min(self.first_us, other.first_us) if self.recordings else other.first_us
        self.last_us = max(self.last_us, other.last_us)
        self.label = other.label or self.label
        self.recordings += other.recordings
        self.duration_us += other.duration_us
        self.bytes += other.bytes


class Store(Protocol):
    """What the commands ask. how: "index" or "files"."""

    directory: Path
    how: str
    broken: list[str]
    """Meta files that say nothing, and why; known after all of them were read."""

    def all(self, query: Query) -> Iterator[Recording]:
        """Recordings that the query asks for, newest first unless it says otherwise."""
        ...

    def sources(self) -> set[str]:
        """Names of all sources, as `source_name` says them."""
        ...

    def totals(self) -> list[Total]:
        """Of each source that has recordings here, by name."""
        ...

    def find(self, what: str) -> list[Recording]:
        """By id, its first digits, path or name; at most 10."""
        ...

    def change(self, one: Recording, protected: bool | None = None, notes: str | None = None) -> Recording:
        """Set one or both. LookupError where it is gone; ArchiveError, OSError."""
        ...

    def delete(self, one: Recording, force: bool) -> int:
        """The bytes that were freed. RecordingKept, LookupError, OSError."""
        ...

    def close(self) -> None: ...


class FileStore:
    """The files alone: right whatever became of the index, slow where there are very many."""

    how = "files"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broken: list[str] = []

    def all(self, query: Query) -> Iterator[Recording]:
        """Reads every meta file first."""
        found = [one for one in self._every() if matches(one, query)]
        yield from sorted(found, key=lambda one: (one.start_us, one.id), reverse=not query.oldest_first)

    def sources(self) -> set[str]:
        """Reads every meta file."""
        return {source_name(one) for one in self._every()}

    def totals(self) -> list[Total]:
        """Reads every meta file."""
        return summed(
            Total(source_name(one), one.label, 1, one.duration_us, one.bytes, one.start_us, one.start_us)
            for one in self._every()
        )

    def find(self, what: str) -> list[Recording]:
        """Reads meta files until it is clear."""
        name = what.rpartition("/")[2]
        stem = name.rpartition(".")[0] or name
        if start_of(stem) is not None or start_of(name) is not None:
            stem = name if start_of(stem) is None else stem
            meta = Place(self.directory, stem).meta
            return [read_meta(meta)] if meta.exists() else []
        if len(what) < SHORTEST_ID:
            return []
        return list(islice((one for one in self._every() if one.id.startswith(what.lower())), MOST_FOUND))

    def change(self, one: Recording, protected: bool | None = None, notes: str | None = None) -> Recording:
        """In the file; the index is told at the gateway's next start."""

        def changed(now: Recording) -> Recording:
            return replace(
                now,
                protected=now.protected if protected is None else protected,
                notes=now.notes if notes is None else notes,
            )

        try:
            return update_meta(place_of(self.directory, one.path).meta, changed)
        except FileNotFoundError:
            raise LookupError(f"{one.path} is gone") from None

    def delete(self, one: Recording, force: bool) -> int:
        """The files; the index finds out at the gateway's next start."""
        now = self._now(one)
        if now.state == "open":
            raise RecordingKept(f"{now.path} is being written")
        if now.protected and not force:
            raise RecordingKept(f"{now.path} is protected")
        place_of(self.directory, now.path).delete()
        return now.bytes

    def close(self) -> None:
        """Nothing is open."""

    def _now(self, one: Recording) -> Recording:
        try:
            return read_meta(place_of(self.directory, one.path).meta)
        except FileNotFoundError:
            raise LookupError(f"{one.path} is gone") from None

    def _every(self) -> Iterator[Recording]:
        self.broken.clear()
        for path in meta_paths(self.directory):
            try:
                if path.stat().st_size:  # else: a name that was taken a moment ago
                    yield read_meta(path)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except (ArchiveError, OSError) as error:
                self.broken.append(str(error))


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


def summed(parts: Iterable[Total]) -> list[Total]:
    """One for each source, by name."""
    sums: dict[str, Total] = {}
    for part in parts:
        sums.setdefault(part.source, Total(part.source)).add(part)
    return [sums[name] for name in sorted(sums)]


def meta_paths(directory: Path) -> Iterator[Path]:
    """Every meta file, in order of their names. OSError for a folder that may not be read."""
    for day in sorted(os.listdir(directory)):
        if _DAY.fullmatch(day) is None:
            continue
        folder = directory / day / META_FOLDER
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            names = sorted(os.listdir(folder))
            yield from (folder / name for name in names if name.endswith(".json") and name[0] != ".")


def matches(one: Recording, query: Query) -> bool:
    """Whether a recording is one of those that a query asks for."""
    return (
        (not query.sources or one.source in query.sources)
        and (query.since_us is None or end_us(one) > query.since_us or one.start_us >= query.since_us)
        and (query.until_us is None or one.start_us < query.until_us)
        and (not query.kinds or one.kind in query.kinds)
        and (not query.channels or one.channel_id in query.channels)
        and (not query.triggers or one.trigger in query.triggers)
        and (not query.tones or any({tone.tone_id, tone.name} & set(query.tones) for tone in one.tones))
        and (query.protected is None or one.protected == query.protected)
        and (query.state is None or one.state == query.state)
        and (not query.text or _has_words(one, query.text))
    )


def _has_words(one: Recording, text: str) -> bool:
    """As the index searches: every word, whatever its case and accents; `eng*` begins with it."""
    texts = [one.label, one.channel_id, one.source, one.notes]
    texts += [part for tone in one.tones for part in (tone.tone_id, tone.name)]
    words = {word for each in texts for word in words_of(each)}
    return all(
        any(word.startswith(term.word) for word in words) if term.begins else term.word in words
        for term in terms_of(text)
    )


def plain_name(name: str) -> str:
    """The name in the recording's own words: "ems" of "ems.net"."""
    return name.removeprefix(QUARANTINE).removesuffix(NETWORK)


def is_pattern(name: str) -> bool:
    """Whether it stands for several names."""
    return any(sign in name for sign in "*?[")


def named(one: Recording, names: tuple[str, ...]) -> bool:
    """Whether it is of one of these sources; no name: of any. A pattern has * and ?."""
    return not names or any(fnmatchcase(source_name(one), name) for name in names)
