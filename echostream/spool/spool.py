"""What waits to be delivered, on the disk: written before anybody is told, gone when it has arrived.

Bounded. When there is no room the least important goes first, the oldest of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that waits. number: its place in the order, given by the spool; 0 before that. at_us: Unix
    microseconds of what it tells of. weight: 0 goes first when there is no room. lane: what keeps its order
    (a channel); key: whoever delivers it finds out of this where it goes. body: what is delivered."""

    at_us: int
    weight: int
    lane: str
    key: str
    body: bytes
    number: int = 0


class Spool:
    """One file. Methods may be called from any thread and raise SpoolUnavailable when the disk refuses.

    A broken file is moved aside and begun anew; what can be read of it is kept.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        raise NotImplementedError

    def put(self, items: Sequence[Item]) -> list[Item]:
        """All of them or none, on the disk itself when this returns; with their numbers."""
        raise NotImplementedError

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]:
        """Those with higher numbers, in their order."""
        raise NotImplementedError

    def done(self, numbers: Sequence[int]) -> None:
        """They have arrived."""
        raise NotImplementedError
