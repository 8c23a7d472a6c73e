"""An event as the index has it, and what is asked of them. Without the database's library."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event. line: its number in the log; day: which file it is in. at_us: Unix microseconds. data,
    before, after: as JSON; before and after are "" where there is none."""

    line: int
    day: str
    id: str
    gateway: str
    at_us: int
    kind: str
    channel_id: str
    subject: str
    weight: int
    who: str
    text: str
    data: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events. Times: Unix microseconds, [since, until). Empty is all."""

    since_us: int | None = None
    until_us: int | None = None
    kinds: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    oldest_first: bool = False
