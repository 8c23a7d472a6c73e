"""What all sources of a recorder share."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Final

from echostream.archive.borders import Closings
from echostream.archive.disk_room import DiskRoom
from echostream.archive.open_recording import Shelf
from echostream.archive.source import LastEnd, Source
from echostream.archive.wall_clock import WallClock

log = logging.getLogger(__name__)

SAY_AGAIN_S: Final = 60.0
MOST_ENDS: Final = 10_000
"""Sources whose last end is remembered; addresses may come and go without end."""


@dataclass(slots=True)
class Archive:
    """What all sources share. last_ends: by Source.key; looked up on the disk where a source is new."""

    shelf: Shelf
    clock: WallClock
    room: DiskRoom
    segment_s: float
    last_ends: dict[tuple[str, str], LastEnd] = field(default_factory=dict)
    closings: Closings = field(default_factory=Closings)
    refused: int = 0
    _said: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.closings.refused = lambda file, error: self.say_refused(file.meta.source, error)

    def say_refused(self, name: str, error: OSError) -> None:
        """The disk refused. Not said by each of a thousand sources."""
        self.refused += 1
        now, why = self.clock.now(), error.strerror or str(error)
        if now - self._said.get(why, -math.inf) > SAY_AGAIN_S:
            self._said[why] = now
            words = "%s is not recorded: %s: %s; look at recording.directory and the disk"
            log.error(words, name, self.shelf.directory, why)

    def remember(self, source: Source, end: LastEnd) -> None:
        """Where a source's last recording ended."""
        self.last_ends.pop(source.key, None)
        self.last_ends[source.key] = end
        if len(self.last_ends) > MOST_ENDS:
            del self.last_ends[next(iter(self.last_ends))]

    def last_end(self, source: Source) -> LastEnd | None:
        return self.last_ends.get(source.key)
