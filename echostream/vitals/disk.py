"""The disk that recordings are on, asked so that one that hangs makes nobody wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from echostream.archive.disk_room import Disk, disk_of, kept_free
from echostream.vitals.forecast import DiskForecast

PERIOD_S: Final = 10.0
SILENT_S: Final = 30.0
"""A disk that has not answered for so long is not there."""
FIRST_S: Final = 0.2
"""For the first answer is waited: mostly it takes microseconds."""


class DiskLook:
    """One thread at a time."""

    def __init__(
        self,
        directory: Path,
        least_free_percent: float | None,
        ask: Callable[[Path], Disk] = disk_of,
    ) -> None:
        """least_free_percent: what retention keeps free by deleting what is old; None: nothing is deleted."""
        self.directory = directory
        self.least_free_percent = least_free_percent
        self._ask = ask
        self._forecast = DiskForecast()
        self._answer: Disk | None = None
        self._asking: threading.Thread | None = None
        self._asked_at_s: float | None = None
        self._known = Disk(0, 0)

    @property
    def disk(self) -> Disk:
        """As it last said; (0, 0) before, where there is none, and when it does not answer any more."""
        return self._known

    @property
    def full_s(self) -> float | None:
        """As in BoardVitals.disk_full_s."""
        disk, percent = self._known, self.least_free_percent
        least_free = 0.0 if percent is None else disk.total * percent / 100
        if disk.free >= least_free > kept_free(disk):
            return None  # when it comes to that, the oldest recordings go
        return self._forecast.full_s

    def look(self, now: float) -> None:
        """Ask when it is time, and take up what came. now: monotonic seconds."""
        if self._asked_at_s is None or (now - self._asked_at_s >= PERIOD_S and not self._waits):
            first = self._asked_at_s is None
            self._asked_at_s = now
            # A daemon: statvfs on a disk that went away may never return.
            self._asking = threading.Thread(target=self._find_out, name="vitals-disk", daemon=True)
            self._asking.start()
            if first:
                self._asking.join(FIRST_S)
        elif self._waits and now - self._asked_at_s > SILENT_S:
            self._known = Disk(0, 0)
        self._take_up(now)

    @property
    def _waits(self) -> bool:
        return self._asking is not None and self._asking.is_alive()

    def _take_up(self, now: float) -> None:
        answer, self._answer = self._answer, None
        if answer is None:
            return
        if answer.total != self._known.total:
            self._forecast.forget()
        self._known = answer
        if answer.total:
            self._forecast.look(answer.free - kept_free(answer), now)

    def _find_out(self) -> None:
        try:
            self._answer = self._ask(self.directory)
        except OSError:
            self._answer = Disk(0, 0)
