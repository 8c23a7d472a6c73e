"""A recording is let go of when all of it is on the disk itself.

Its marker says that it may have to be repaired. A power cut can take the last second of a file that was
closed and leave the news of its end: without the marker nobody would look.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from pathlib import Path
from typing import Final

from echostream.archive.disk_sync import sync_folder
from echostream.archive.open_recording import OpenRecording
from echostream.coordinator.worker import Worker
from echostream.events import Post

log = logging.getLogger(__name__)

GATHER_S: Final = 1.0
"""A thousand files end at the same moment: one synchronisation is for all of them."""
RETRY_S: Final = 10.0
MOST: Final = 20_000
"""Recordings that wait for a disk that does not synchronise; of more the oldest wait for the next start."""


class Settler(Worker):
    """Thread `record-settle`. A disk that does not synchronise is tried again; the markers stay meanwhile."""

    def __init__(self, directory: Path, post: Post) -> None:
        super().__init__("record-settle", post)
        self._directory = directory
        self._closed: deque[OpenRecording] = deque(maxlen=MOST)
        self._told = threading.Event()
        self._failing = False

    def add(self, file: OpenRecording) -> None:
        """Its last word is written. From any thread; never blocks."""
        self._closed.append(file)
        self._told.set()

    def _unblock(self) -> None:
        self._told.set()

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._told.wait()
            self._told.clear()
            self._stopping.wait(GATHER_S)
            if not self._settle() and not self._stopping.is_set():
                self._told.set()
                self._stopping.wait(RETRY_S)
        self._settle()

    def _settle(self) -> bool:
        """Those that were told of before the disk began. False: it refused."""
        files = [self._closed.popleft() for _ in range(len(self._closed))]
        if not files:
            return True
        try:
            sync_folder(self._directory)
        except OSError as error:
            if not self._failing:
                log.error("%s: closed recordings are not on the disk yet: %s", self._directory, error)
            self._failing = True
            self._closed.extendleft(reversed(files))
            return False
        self._failing = False
        for file in files:
            try:
                file.let_go()
            except OSError as error:
                log.error("%s stays marked as being written: %s", file.path, error.strerror or error)
        return True
