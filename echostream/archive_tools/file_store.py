"""Recordings by the files that the index is made of: right whatever became of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Final

from echostream.archive.file_names import META_FOLDER, Place, place_of, start_of
from echostream.archive.meta_files import read_meta, update_meta
from echostream.archive.recording import Recording
from echostream.archive_tools.assembly import end_us
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.store import Total, summed
from echostream.errors import ArchiveError, RecordingKept
from echostream.index.query import Query
from echostream.index.words import terms_of, words_of

SHORTEST_ID: Final = 6
MOST_FOUND: Final = 10
_DAY_US: Final = 86_400_000_000
_LAST_US: Final = 253_402_300_799_000_000
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class FileStore:
    """The files alone: right whatever became of the index, slow where there are very many."""

    how = "files"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.broken: list[str] = []

    def all(self, query: Query) -> Iterator[Recording]:
        """Day by day: no more of them are in memory."""
        self.broken.clear()
        newest_first = not query.oldest_first
        for day in sorted(filter(_may_hold(query), days(self.directory)), reverse=newest_first):
            found = [one for one in self._of_day(day) if matches(one, query)]
            yield from sorted(found, key=lambda one: (one.start_us, one.id), reverse=newest_first)

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
        for day in days(self.directory):
            yield from self._of_day(day)

    def _of_day(self, day: str) -> Iterator[Recording]:
        for path in metas_of(self.directory, day):
            try:
                if path.stat().st_size:  # else: a name that was taken a moment ago
                    yield read_meta(path)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except (ArchiveError, OSError) as error:
                self.broken.append(str(error))


def meta_paths(directory: Path) -> Iterator[Path]:
    """Every meta file, in order of their names. OSError for a folder that may not be read."""
    for day in days(directory):
        yield from metas_of(directory, day)


def days(directory: Path) -> list[str]:
    """Names of the folders of days, the oldest first. OSError."""
    return sorted(name for name in os.listdir(directory) if _DAY.fullmatch(name))


def metas_of(directory: Path, day: str) -> list[Path]:
    """Its meta files. OSError for a folder that may not be read."""
    folder = directory / day / META_FOLDER
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".json") and name[0] != "."]


def _may_hold(query: Query) -> Callable[[str], bool]:
    """Whether a day's folder can hold what overlaps the query's time."""
    # A recording lies in the folder of the day on which it began; none is longer than two days.
    first = "" if query.since_us is None else _day_of(query.since_us - 3 * _DAY_US)
    last = "9" if query.until_us is None else _day_of(query.until_us + _DAY_US)
    return lambda day: first <= day <= last


def _day_of(at_us: int) -> str:
    at_us = min(max(at_us, 0), _LAST_US)
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%d")


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
