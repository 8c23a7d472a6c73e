"""Deletes what is older than events.keep_days, and what is more than events.keep_mb: whole days, and nothing
that a wrong clock calls old."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
        keep_mb: float | None = None,
        clock: Callable[[], float] = time.time,
        quality: Callable[[], ClockQuality] = kernel_clock,
    ) -> None:
        self._directory = directory
        self._keep_days = keep_days
        self._keep_mb = keep_mb
        self._clock = clock
        self._quality = quality
        self._trust = ClockTrust()

    def run(self, now: float) -> list[str]:
        """The days that were deleted. now: monotonic seconds. OSError."""
        unix_s = self._clock()
        trusted = self._trust.may_judge(unix_s, now, self._quality().state == "synchronised")
        files = day_files(self._directory)
        gone: list[Path] = []
        if self._keep_days is not None and trusted:
            oldest_kept = day_of(int((unix_s - self._keep_days * 86_400) * 1e6))
            gone = too_old(files, oldest_kept)
        if self._keep_mb is not None:
            gone += too_much([path for path in files if path not in gone], round(self._keep_mb * 1e6))
        for path in gone:
            path.unlink(missing_ok=True)
        return [path.stem for path in gone]


def too_old(files: Sequence[Path], oldest_kept: str) -> list[Path]:
    """Of earlier days, and written before everything that is kept: a gateway whose clock was years behind
    when it started has written what is news into an old day's file. OSError."""
    old = [path for path in files if path.stem < oldest_kept]
    kept = [path for path in files if path.stem >= oldest_kept]
    if not old or not kept:
        return []  # the newest there is: a gateway that was off for years
    kept_from = first_number(kept[0])
    return [path for path in old if last_number(path) < kept_from]


def too_much(files: Sequence[Path], most_bytes: int) -> list[Path]:
    """Those that were written first, whatever the clock said; never the last one. OSError."""
    sizes = {path: path.stat().st_size for path in files}
    excess = sum(sizes.values()) - most_bytes
    gone: list[Path] = []
    if excess <= 0:
        return gone
    for path in sorted(files, key=last_number)[:-1]:
        if excess <= 0:
            break
        gone.append(path)
        excess -= sizes[path]
    return gone
