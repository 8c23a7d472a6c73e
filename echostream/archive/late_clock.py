"""Recordings of a machine that did not know the time yet, put where they belong once it does.

A board without a battery wakes at the hour at which it was switched off; the network tells it the time.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from echostream.archive.meta_files import update_meta
from echostream.archive.recording import ClockState, Gap, Recording
from echostream.archive.wall_clock import ClockQuality
from echostream.errors import BrokenFile

log = logging.getLogger(__name__)

MOST: Final = 4096
"""Recordings that are remembered; of a machine that is never told the time the oldest stay as they are."""
RIGHT_MS: Final = 100.0
_BEFORE_THIS_RUN: Final = ("killed", "power cut", "stopped")


class LateClock:
    """Remembers what was closed under a clock that nobody had set. One thread."""

    def __init__(self, journal: Callable[[Path], None]) -> None:
        self._journal = journal
        self._closed: deque[Path] = deque(maxlen=MOST)
        self._to_move: deque[tuple[Path, int, ClockQuality]] = deque(maxlen=MOST)

    @property
    def pending(self) -> int:
        return len(self._to_move)

    def closed(self, meta_path: Path, clock: ClockState) -> None:
        """A recording is whole, by this clock."""
        if clock == "unsynchronised":
            self._closed.append(meta_path)

    def correct(self, by_s: float, quality: ClockQuality) -> None:
        """The clock is right now, and was off by so much before."""
        if self._closed:
            log.info("%d recordings from before the clock was right move by %+.3f s", len(self._closed), by_s)
        self._to_move.extend((path, round(by_s * 1e6), quality) for path in self._closed)
        self._closed.clear()

    def step(self, budget_s: float) -> None:
        """Move for about so long."""
        until_s = time.monotonic() + budget_s
        while self._to_move:
            self._move(*self._to_move.popleft())
            if time.monotonic() >= until_s:
                return

    def _move(self, path: Path, by_us: int, quality: ClockQuality) -> None:
        try:
            update_meta(path, lambda recording: moved(recording, by_us, quality))
        except (BrokenFile, FileNotFoundError):
            return  # deleted since, by whoever may
        except OSError as error:
            log.error("%s keeps its wrong time: %s", path, error.strerror or error)
            return
        self._journal(path)


def moved(recording: Recording, by_us: int, quality: ClockQuality) -> Recording:
    """The same, later by so much, and by a clock of this quality."""
    start_us = max(0, recording.start_us + by_us)
    before = recording.gap_before
    if before is not None:
        # Where the last run's recording ended was said by that run's clock.
        begin_us = before.start_us + (0 if before.cause in _BEFORE_THIS_RUN else by_us)
        before = Gap(min(begin_us, start_us), start_us, before.cause)
    return replace(
        recording,
        start_us=start_us,
        clock=quality.state,
        start_error_ms=min(recording.start_error_ms, RIGHT_MS + quality.error_ms),
        gap_before=before,
        gaps=[
            replace(gap, start_us=gap.start_us + by_us, end_us=gap.end_us + by_us) for gap in recording.gaps
        ],
        tones=[
            replace(tone, start_us=tone.start_us + by_us, end_us=tone.end_us + by_us)
            for tone in recording.tones
        ],
    )
