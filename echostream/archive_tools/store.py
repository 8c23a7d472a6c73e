"""Which recordings there are: by the index, or, where there is none, by the files that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.archive_tools.assembly import end_us
from echostream.errors import ArchiveError
from echostream.index.query import Query
from echostream.index.words import terms_of, words_of

META_FOLDER: Final = ".meta"
_SHORTEST_ID: Final = 6
NETWORK: Final = ".net"
QUARANTINE: Final = "quarantine."


def source_name(one: Recording) -> str:
    """What a source is called on the command line, as in the names of its files."""
    if one.kind == "network":
        return one.source + NETWORK
    return QUARANTINE + one.source if one.kind == "quarantine" else one.source


class FileStore:
    """The files alone: right whatever became of the index, slow where there are very many."""

    def __init__(self, directory: Path) -> None:
        if not directory.is_dir():
            raise ArchiveError(f"{directory}: no archive there; name it with --directory or --config")
        self.directory = directory
        self.broken: list[str] = []

    def all(self, query: Query) -> Iterator[Recording]:
        """Recordings that the query asks for, newest first unless it says otherwise."""
        found = [one for one in self._every() if matches(one, query)]
        yield from sorted(found, key=lambda one: (one.start_us, one.id), reverse=not query.oldest_first)

    def sources(self) -> set[str]:
        """Names of all sources, as `source_name` says them."""
        return {source_name(one) for one in self._every()}

    def get(self, what: str) -> Recording | None:
        """By its id, the first digits of it, its path or its name."""
        name = what.rpartition("/")[2].removesuffix(".json")
        for one in self._every():
            if len(what) >= _SHORTEST_ID and one.id.startswith(what):
                return one
            if name in (file := one.path.rpartition("/")[2], file.rpartition(".")[0]):
                return one
        return None

    def _every(self) -> Iterator[Recording]:
        self.broken.clear()
        for path in sorted(self.directory.glob(f"*/{META_FOLDER}/*.json")):
            try:
                if path.stat().st_size:  # a name that was taken a moment ago
                    yield read_meta(path)
            except FileNotFoundError:
                continue  # deleted meanwhile
            except (ArchiveError, OSError) as error:
                self.broken.append(str(error))


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
