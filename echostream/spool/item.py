"""One thing that waits to be delivered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

OVERHEAD_BYTES: Final = 100
"""What a row costs beside its words: numbers, lengths, its place in the index."""


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

    @property
    def bytes(self) -> int:
        """What it takes of the bound."""
        return len(self.body) + len(self.key.encode()) + len(self.lane.encode()) + OVERHEAD_BYTES
