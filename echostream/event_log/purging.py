"""Deletes what is older than events.keep_days: whole days, and nothing that a wrong clock calls old."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from echostream.archive.wall_clock import ClockQuality, kernel_clock
from echostream.event_log.files import day_files, first_number, last_number
from echostream.event_log.lines import day_of
from echostream.index.retention_plan import ClockTrust

_DAY_US: Final = 86_400_000_000


class Purge:
    """Remembers how long the clock has run steadily."""

    def __init__(
        self,
        directory: Path,
        keep_days: float | None,
        clock: Callable[[], float] = time.time,
        quality: Callable[[], ClockQuality] = kernel_clock,
    ) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._clock = clock
        self._quality = quality
        self._trust = ClockTrust()

    def run(self, now: float) -> tuple[str, list[str]]:
        """The oldest day that is kept ("" where nothing may be called old), and the days that were deleted.

        now: monotonic seconds. OSError.
        """
        unix_s = self._clock()
        trusted = self._trust.may_judge(unix_s, now, self._quality().state == "synchronised")
        if self._keep_days is None or not trusted:
            return "", []
        oldest_kept = day_of(int((unix_s - self._keep_days * 86_400) * 1e6))
        gone = []
        for path in too_old(day_files(self._directory), oldest_kept):
            path.unlink(missing_ok=True)
            gone.append(path.stem)
        return oldest_kept, gone


def too_old(files: list[Path], oldest_kept: str) -> list[Path]:
    """Of earlier days, and written before everything that is kept: a gateway whose clock was years behind
    when it started has written what is news into an old day's file. OSError."""
    old = [path for path in files if path.stem < oldest_kept]
    if not old:
        return []
    kept = [path for path in files if path.stem >= oldest_kept]
    if not kept:
        return []  # the newest there is: a gateway that was off for years
    kept_from = first_number(kept[0])
    return [path for path in old if last_number(path) < kept_from]
