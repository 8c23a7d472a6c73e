"""Who may still write while the disk gets full: the least important stop first."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

LEAST_FREE_BYTES: Final = 200_000_000
LEAST_FREE: Final = 0.03
"""What recordings leave to everything else on the machine: so much, of a small disk only that share."""
HIGHEST: Final = 9
RECOVERED: Final = 1.1
"""Who stopped begins again with so much more than what stopped it."""


class Disk(NamedTuple):
    """Bytes, for an ordinary user."""

    free: int
    total: int


def disk_of(folder: Path) -> Disk:
    """The disk that a folder is on, or will be. Raises OSError."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    disk = os.statvfs(folder)
    return Disk(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)


def nearly_full(folder: Path) -> bool:
    """Nobody may write any more, however important. Raises OSError."""
    disk = disk_of(folder)
    return disk.free < kept_free(disk)


def kept_free(disk: Disk) -> float:
    """Bytes that recordings leave to others: with less nothing is recorded."""
    return min(LEAST_FREE_BYTES, LEAST_FREE * disk.total)


class DiskRoom:
    """`look` about once a second; priority 0 stops at twice the space at which 9 does."""

    def __init__(self, directory: Path, disk: Callable[[Path], Disk] = disk_of) -> None:
        self._directory = directory
        self._disk = disk
        self._lowest = 0

    @property
    def lowest(self) -> int:
        """Priority from which on recordings are written; 0: all of them, 10: none."""
        return self._lowest

    def allows(self, priority: int) -> bool:
        return priority >= self._lowest

    def look(self) -> None:
        """Takes up how much there is, and says when that changes who may write."""
        try:
            disk = self._disk(self._directory)
        except OSError as error:
            self._say(HIGHEST + 1, f"{error.strerror or error}")
            return
        floor = kept_free(disk)
        lowest = _lowest(disk.free, floor)
        if lowest < self._lowest:
            lowest = min(self._lowest, _lowest(disk.free / RECOVERED, floor))
        self._say(lowest, f"{disk.free / 1e6:.0f} MB are free")

    def _say(self, lowest: int, why: str) -> None:
        before, self._lowest = self._lowest, lowest
        if lowest > before:
            who = "nothing is" if lowest > HIGHEST else f"only what has a priority of {lowest} or more is"
            log.error("%s: %s recorded: %s; make room, or let retention keep less", self._directory, who, why)
        elif lowest < before:
            who = "everything is" if lowest == 0 else f"what has a priority of {lowest} or more is"
            log.warning("%s: %s recorded again: %s", self._directory, who, why)


def _lowest(free: float, floor: float) -> int:
    """0 with twice the floor and more; one priority less for each ninth of it; 10 below the floor."""
    if free < floor or floor <= 0:
        return HIGHEST + 1 if free < floor else 0
    return max(0, HIGHEST - int(HIGHEST * (free - floor) / floor))
