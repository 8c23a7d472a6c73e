"""What one asks the index, and what it answers. Pure: no database here."""

from __future__ import annotations

from dataclasses import dataclass, field

from echostream.archive.recording import Gap, Recording, SourceKind, State, Trigger


@dataclass(frozen=True, slots=True)
class Query:
    """Which recordings. What is empty or None does not restrict.

    since_us, until_us: Unix microseconds; what overlaps [since, until). sources: of devices or channels.
    tones: ids or names of pages heard in it. text: all of its words occur in label, channel, source, tones or
    notes; case and accents do not matter, and `eng*` is every word that begins so.
    """

    since_us: int | None = None
    until_us: int | None = None
    sources: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    kinds: tuple[SourceKind, ...] = ()
    gateways: tuple[str, ...] = ()
    tones: tuple[str, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    text: str = ""
    protected: bool | None = None
    state: State | None = None
    here_only: bool = False
    """Only what lies in this index's own folder: in a site's database there are other gateways' too."""
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some recordings in order. next: what asks for those after them; None when these are the last."""

    recordings: tuple[Recording, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True)
class SourceGap:
    """Time without audio. recording_id: in which it lies, or which follows it (`between`)."""

    source: str
    kind: SourceKind
    gap: Gap
    recording_id: str
    between: bool


@dataclass(frozen=True, slots=True)
class SourceStats:
    """One source on one channel. bytes, duration_us: of all its recordings. Times: Unix microseconds, UTC.

    own: it lies in this index's own folder. ppm: how much its clock ran faster than ours, last known.
    """

    source: str
    kind: SourceKind
    gateway: str
    channel_id: str
    label: str
    recordings: int
    bytes: int
    duration_us: int
    first_us: int
    last_us: int
    ppm: float | None
    own: bool


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything together."""

    sources: tuple[SourceStats, ...] = ()
    gaps: int = 0
    protected: int = 0
    tones: int = 0

    @property
    def recordings(self) -> int:
        return sum(one.recordings for one in self.sources)

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.sources)

    @property
    def duration_us(self) -> int:
        return sum(one.duration_us for one in self.sources)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was done so that the index says what the files say. broken: paths that say nothing, and why."""

    added: int = 0
    changed: int = 0
    removed: int = 0
    seconds: float = 0.0
    broken: tuple[str, ...] = field(default=())
