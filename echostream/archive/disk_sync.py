"""Puts what was written on the disk itself, twice a second: the kernel alone may wait for half a minute.

One call for the whole file system instead of one for each of a thousand files: a memory card does the same
work for either, once.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from pathlib import Path
from typing import Final

from echostream.coordinator.worker import Worker
from echostream.events import Post

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.5
"""At most so often, and at once when nothing was written for so long."""
SLOW_S: Final = 2.0
"""A disk that takes longer than this puts more than two seconds at stake."""
_SAY_AGAIN_S: Final = 600.0

_libc = ctypes.CDLL(None, use_errno=True)


def sync_folder(directory: Path) -> None:
    """All that was written on this folder's file system is on its disk when this returns. OSError."""
    try:
        syncfs = _libc.syncfs
    except AttributeError:  # not on every system's C library
        os.sync()
        return
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if syncfs(number) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(directory))
    finally:
        os.close(number)


class DiskSync(Worker):
    """Thread `disk-sync`. slowest_s: the longest that the disk took. failed: times that it refused."""

    def __init__(self, directory: Path, post: Post, period_s: float = PERIOD_S) -> None:
        super().__init__("disk-sync", post)
        self._directory = directory
        self._period_s = period_s
        self._written = threading.Event()
        self.synced = 0
        self.slowest_s = 0.0
        self.failed = 0
        self._said_at_s: float | None = None

    def written(self) -> None:
        """Something was: it is on the disk soon. From any thread; never blocks."""
        self._written.set()

    def _unblock(self) -> None:
        self._written.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._written.wait()
            self._written.clear()
            took_s = self._sync()  # also the last time: what was written before the stop
            self._stopping.wait(max(0.0, self._period_s - took_s))
        if self._written.is_set():
            self._sync()

    def _sync(self) -> float:
        began_s = time.monotonic()
        try:
            sync_folder(self._directory)
            self.synced += 1
        except OSError as error:
            self.failed += 1
            self._say("%s: what was recorded is not on the disk yet: %s", error.strerror or error)
        took_s = time.monotonic() - began_s
        self.slowest_s = max(self.slowest_s, took_s)
        if took_s > SLOW_S:
            self._say("%s: the disk took %.1f s; a power cut costs as much of what is recorded", took_s)
        return took_s

    def _say(self, words: str, what: object) -> None:
        now_s = time.monotonic()
        if self._said_at_s is None or now_s - self._said_at_s > _SAY_AGAIN_S:
            self._said_at_s = now_s
            log.warning(words, self._directory, what)
