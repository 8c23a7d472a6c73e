"""Which recordings a command is about: sources by name or pattern, or single ones, in a range of time."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Final

from echostream.archive.recording import Recording, SourceKind, Trigger
from echostream.archive_tools import source_names
from echostream.archive_tools.file_store import SHORTEST_ID, matches
from echostream.archive_tools.store import Store
from echostream.archive_tools.times import parse_time
from echostream.errors import ArchiveError
from echostream.index.query import Query

_ID_BEGINS: Final = re.compile(r"[0-9a-f]{1,5}")


@dataclass(frozen=True, slots=True)
class Selection:
    """As typed. what: names of sources, patterns, ids or paths of recordings; none: all.

    start, end: times as `times.parse_time` reads them; length_us: the one from the other.
    """

    what: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    length_us: int = 0
    kinds: tuple[SourceKind, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    channels: tuple[str, ...] = ()
    tones: tuple[str, ...] = ()
    text: str = ""
    protected: bool | None = None
    utc: bool = False

    @property
    def zone(self) -> tzinfo | None:
        """In which times are read and shown; None: the machine's own."""
        return UTC if self.utc else None

    def range_us(self, now_us: int) -> tuple[int | None, int | None]:
        """[from, to) in Unix microseconds; None where it is open. ArchiveError for a range that is none."""
        try:
            start = parse_time(self.start, now_us, self.zone) if self.start else None
            end = parse_time(self.end, now_us, self.zone, end=True) if self.end else None
        except ArgumentTypeError as error:
            raise ArchiveError(str(error)) from None
        if self.length_us:
            if start is not None and end is not None:
                raise ArchiveError("--from, --to and --for together: two of them say it all")
            if start is not None:
                end = start + self.length_us
            else:
                end = now_us if end is None else end
                start = end - self.length_us
        if start is not None and end is not None and end <= start:
            raise ArchiveError(f"--to {self.end or 'now'} is not after --from {self.start or 'now'}")
        return start, end

    def query(self, now_us: int, oldest_first: bool = False) -> Query:
        """Without `what`."""
        since_us, until_us = self.range_us(now_us)
        return Query(
            since_us=since_us,
            until_us=until_us,
            channels=self.channels,
            kinds=self.kinds,
            triggers=self.triggers,
            tones=self.tones,
            text=self.text,
            protected=self.protected,
            oldest_first=oldest_first,
        )


def find(
    store: Store,
    selection: Selection,
    now_us: int,
    oldest_first: bool = False,
    here_only: bool = False,
) -> Iterator[Recording]:
    """The recordings, in order of time. ArchiveError for a `what` that nothing goes by.

    here_only: without those that only a site's database knows, since their files are elsewhere.
    """
    query = replace(selection.query(now_us, oldest_first), here_only=here_only)
    known = store.sources() if selection.what else set()
    names = tuple(one for one in selection.what if source_names.is_pattern(one) or one in known)
    single = {one.id: one for one in (one_of(store, what) for what in selection.what if what not in names)}
    if not single:
        yield from _of_sources(store, names, query)
        return
    chosen = [one for one in single.values() if matches(one, query)]
    if names:
        chosen += [one for one in _of_sources(store, names, query) if one.id not in single]
    yield from sorted(chosen, key=lambda one: (one.start_us, one.id), reverse=not oldest_first)


def _of_sources(store: Store, names: tuple[str, ...], query: Query) -> Iterator[Recording]:
    """A pattern, and a name as the command line says it, is compared here; the index knows plain ones."""
    if not any(map(source_names.is_pattern, names)):
        query = replace(query, sources=tuple(dict.fromkeys(map(source_names.plain_name, names))))
    return (one for one in store.all(query) if source_names.named(one, names))


def one_of(store: Store, what: str) -> Recording:
    """One recording, by its id, the first digits of it, its path or its name. ArchiveError."""
    found = store.find(_inside(store.directory, what))
    if not found and _ID_BEGINS.fullmatch(what):
        raise ArchiveError(f'"{what}": of an id type {SHORTEST_ID} digits or more; there is no such source')
    if not found:
        raise ArchiveError(f'"{what}": no source and no recording of that name; `echostream recordings list`')
    if len(found) > 1:
        ids = ", ".join(one.id for one in found[:3])
        raise ArchiveError(f'"{what}": several recordings begin so ({ids}, …): type more of it')
    return found[0]


def _inside(directory: Path, what: str) -> str:
    """A path of the file system as the archive says it: relative."""
    path = Path(what)
    if "/" in what and path.exists() and path.resolve().is_relative_to(directory.resolve()):
        return path.resolve().relative_to(directory.resolve()).as_posix()
    return what
