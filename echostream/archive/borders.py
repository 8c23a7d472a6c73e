"""The work at a segment's border, spread over the time around it: a thousand files end at the same moment.

The next file is made some seconds before it begins; the last word about a file is written some seconds after
its last sample.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from echostream.archive.open_recording import Beginning, LastWords, OpenRecording, Shelf
from echostream.archive.source import Source

log = logging.getLogger(__name__)

LEAST_AHEAD_S: Final = 2.0
MOST_AHEAD_S: Final = 30.0
NEAR_US: Final = 500_000
"""A file that begins so near the border that was expected takes the place that was made for it."""
MOST_WAITING: Final = 64
"""More files than this, and two for each source, do not wait to be closed."""


class Closings:
    """Files whose last sample is written. One thread."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[OpenRecording, LastWords]] = deque()
        self.refused: Callable[[OpenRecording, OSError], None] = lambda file, error: None
        self.closed: Callable[[OpenRecording], None] = OpenRecording.let_go
        """Told each file whose last word is written, and which is still to be let go of."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, file: OpenRecording, words: LastWords) -> None:
        self._waiting.append((file, words))

    def step(self, budget_s: float, sources: int) -> None:
        """Close for about so long; all that are too many."""
        until_s = time.monotonic() + budget_s
        while self._waiting:
            self._close()
            if len(self._waiting) <= MOST_WAITING + 2 * sources and time.monotonic() >= until_s:
                return

    def finish(self) -> None:
        while self._waiting:
            self._close()

    def _close(self) -> None:
        file, words = self._waiting.popleft()
        try:
            file.close(words)
            self.closed(file)
        except OSError as error:
            file.abandon(words)
            self.refused(file, error)


@dataclass(slots=True)
class Ahead:
    """The next file of one source, made before it begins. One thread.

    budget: how many may be made in this turn, for all sources.
    """

    source: Source
    shelf: Shelf
    file: OpenRecording | None = None

    def lead_s(self, segment_s: float) -> float:
        """How long before the border: each source at a time of its own, always the same."""
        share = crc32(self.source.name.encode()) / 2**32
        return LEAST_AHEAD_S + share * (min(MOST_AHEAD_S, segment_s / 2) - LEAST_AHEAD_S)

    def make(self, beginning: Beginning) -> None:
        """One that begins then. Where the disk refuses, the file's real beginning will say so."""
        with contextlib.suppress(OSError):
            self.file = OpenRecording(self.shelf, self.source, beginning, ahead=True)

    def take(self, start_us: int) -> OpenRecording | None:
        """The one that was made for this beginning; another one goes."""
        file, self.file = self.file, None
        if file is not None and abs(file.meta.start_us - start_us) > NEAR_US:
            file.discard()
            return None
        return file

    def drop(self) -> None:
        """It is not wanted any more."""
        if self.file is not None:
            self.file.discard()
            self.file = None
