"""Which recordings there are, whoever knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from echostream.archive.recording import Recording
from echostream.index.query import Query


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


def summed(parts: Iterable[Total]) -> list[Total]:
    """One for each source, by name."""
    sums: dict[str, Total] = {}
    for part in parts:
        sums.setdefault(part.source, Total(part.source)).add(part)
    return [sums[name] for name in sorted(sums)]
