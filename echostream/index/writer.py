"""The thread that keeps the index up with the files, and never lets the recorder wait."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive.file_names import place_of
from echostream.coordinator.worker import Worker
from echostream.errors import IndexCorrupt, IndexUnavailable
from echostream.events import Post
from echostream.index.door import move_aside, open_index

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex

log = logging.getLogger(__name__)

BOUND: Final = 20_000
"""Meta files that wait. More, and the folders are compared instead: nothing is lost."""
BATCH: Final = 500
LAST_S: Final = 0.7
"""How long a stop waits for what was told before it; the rest is found when the folders are next compared."""
MANY: Final = 10_000
"""After so many new rows at once the database looks anew at how to find them."""
GATHER_S: Final = 0.25
"""A thousand recordings begin at the same moment: they are written together."""
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0


class IndexWriter(Worker):
    """Thread `index`. `changed` and `removed` may be called from any thread and return at once.

    A database that is away is tried again and again; what is told meanwhile waits, and when that gets too
    much the folders are compared with the index once it is back.
    """

    def __init__(self, directory: Path, post: Post, database_url: str | None = None) -> None:
        super().__init__("index", post)
        self._directory = directory
        self._database_url = database_url
        self._waiting: dict[Path, bool] = {}  # whether it is gone; the oldest first
        self._lock = threading.Lock()
        self._told = threading.Event()
        self._idle = threading.Event()
        self._compare = True
        self._retry_s = RETRY_MIN_S
        self._written = self._broken = self._overflows = 0
        self.error = ""
        """Why the database cannot be used now; "" when it can."""

    def changed(self, meta_path: Path) -> None:
        """A meta file is new, or says something else now."""
        self._tell(meta_path, False)

    def removed(self, path: Path) -> None:
        """A recording is gone; any of its files. Raises ValueError for what is none."""
        self._tell(place_of(self._directory, path).meta, True)

    def wait_idle(self, timeout_s: float) -> bool:
        """Until everything that was told is in the index. For tests, and for an orderly end."""
        return self._idle.wait(timeout_s)

    @property
    def stats(self) -> dict[str, int]:
        """Counters for the summary."""
        return {
            "waiting": len(self._waiting),
            "written": self._written,
            "broken": self._broken,
            "overflows": self._overflows,
        }

    def _tell(self, path: Path, gone: bool) -> None:
        with self._lock:
            self._idle.clear()
            self._waiting.pop(path, None)
            self._waiting[path] = gone
            if len(self._waiting) > BOUND:
                self._waiting.clear()
                self._compare = True
                self._overflows += 1
            self._told.set()

    def _unblock(self) -> None:
        self._told.set()

    def _work(self) -> None:
        try:
            with open_index(self._directory, self._database_url) as index:
                self._keep_up(index)
        except IndexCorrupt as error:
            move_aside(self._directory, str(error))
            self._compare = True
            self._stopping.wait(RETRY_MIN_S)  # a disk that spoils everything is not kept busy with it
        except (IndexUnavailable, OSError) as error:
            if str(error) != self.error:
                log.error("index: %s; trying again until it works. Recording goes on", error)
            self.error = str(error)
            self._compare = True
            self._stopping.wait(self._retry_s)
            self._retry_s = min(RETRY_MAX_S, self._retry_s * 2)

    def _keep_up(self, index: ArchiveIndex) -> None:
        """Until it is told to stop, or the database fails. At the end everything told is written."""
        while True:
            if self._compare:
                self._compare_folders(index)
            if index.was_replaced():
                self._compare = True  # what is told goes into the new one
                return
            self._write(index)
            with self._lock:
                if not self._waiting and not self._compare:
                    self._told.clear()
                    self._idle.set()
            if self._stopping.is_set():
                return
            self._told.wait()
            self._stopping.wait(GATHER_S)

    def _compare_folders(self, index: ArchiveIndex) -> None:
        self._compare = False  # what is told from now on is not part of it
        rebuilding = index.needs_rebuild
        try:
            done = index.reconcile(self._stopping.is_set)
        except BaseException:
            self._compare = True
            raise
        self._recovered()
        if done.added + done.changed >= MANY:
            index.tidy_up()
        if rebuilding or done.added or done.changed or done.removed:
            log.info(
                "index: %s in %.1f s: %d recordings new, %d changed, %d gone",
                "made of the files" if rebuilding else "compared with the files",
                done.seconds,
                done.added,
                done.changed,
                done.removed,
            )

    def _write(self, index: ArchiveIndex) -> None:
        end_s = time.monotonic() + LAST_S  # a stop does not wait for more
        while self._waiting and not (self._stopping.is_set() and time.monotonic() > end_s):
            with self._lock:
                batch = dict(list(self._waiting.items())[:BATCH])
                for path in batch:
                    del self._waiting[path]
            try:
                index.removed(path for path, gone in batch.items() if gone)
                broken = index.changed(path for path, gone in batch.items() if not gone)
            except BaseException:
                with self._lock:
                    self._waiting = batch | self._waiting
                raise
            self._recovered()
            self._written += len(batch)
            self._broken += len(broken)
            for text in broken:
                log.warning("index: %s", text)

    def _recovered(self) -> None:
        if self.error:
            log.info("index: it works again")
        self.error = ""
        self._retry_s = RETRY_MIN_S
