"""The thread that deletes what is too old or too much, and never what must stay.

Protected recordings and those being written stay. One that still has to be uploaded goes only when nothing
else is left to go, and an alarm (`RecordingAtRisk`) went out some time before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive.disk_room import Disk, disk_of
from echostream.archive.file_names import Place
from echostream.archive.meta_files import read_meta
from echostream.archive.wall_clock import ClockQuality, kernel_clock
from echostream.config.recording_models import Recording as Settings
from echostream.coordinator.worker import Worker
from echostream.errors import BrokenFile, IndexUnavailable
from echostream.events import Post, RecordingAtRisk
from echostream.index import folders
from echostream.index.door import FILE_NAME, open_index
from echostream.index.reserve import SIZE, Reserve
from echostream.index.retention_plan import ClockTrust, shares, to_free

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex
    from echostream.index.candidates import Candidate

log = logging.getLogger(__name__)

EVERY_S: Final = 30.0
GRACE_S: Final = 600.0
"""Between an alarm and the deletion of what it was about."""
TOLD_EVERY_S: Final = 3600.0
_BATCH: Final = 100
_NAMED: Final = 20


@dataclass(slots=True)
class RetentionReport:
    """What one round did. still_over: bytes by which a bound is exceeded, and nothing may go for it."""

    deleted: int = 0
    freed_bytes: int = 0
    at_risk: int = 0
    still_over: int = 0
    failed: list[str] = field(default_factory=list)


class Retention(Worker):
    """Thread `retention`. `tick` is one round, for whoever has a clock of his own."""

    def __init__(
        self,
        directory: Path,
        recording: Settings,
        post: Post,
        database_url: str | None = None,
        clock: Callable[[], float] = time.time,
        disk: Callable[[Path], Disk] = disk_of,
        quality: Callable[[], ClockQuality] = kernel_clock,
    ) -> None:
        super().__init__("retention", post)
        self._directory = directory
        self._settings = recording
        self._database_url = database_url
        self._clock = clock
        self._disk = disk
        self._quality = quality
        self._reserve = Reserve(directory)
        self._trust = ClockTrust()
        self._told_s: dict[str, float] = {}
        self.deleted = 0
        """Recordings since the start."""

    def reconfigure(self, recording: Settings) -> None:
        """Keep by these settings from the next round on. Any thread."""
        self._settings = recording

    def _work(self) -> None:
        self._keep_reserve()
        while not self._stopping.wait(EVERY_S):
            try:
                self._round()
            except (IndexUnavailable, OSError) as error:
                self._tell("failed", logging.ERROR, f"nothing can be deleted now: {error}")

    def _round(self) -> None:
        try:
            self.tick(self._clock())
        except IndexUnavailable:
            # Without a free byte the index cannot be opened, and so nothing be deleted.
            if self._disk(self._directory).free >= SIZE or not self._reserve.give_up():
                raise
            self.tick(self._clock())
        self._keep_reserve()

    def _keep_reserve(self) -> None:
        with suppress(OSError):
            self._reserve.keep(self._disk(self._directory).free)

    def tick(self, now_s: float, index: ArchiveIndex | None = None) -> RetentionReport:
        """One round. now_s: Unix seconds. Raises IndexUnavailable, OSError."""
        if index is None:
            with open_index(self._directory, self._database_url) as opened:
                return self.tick(now_s, opened)
        report = RetentionReport()
        if index.needs_rebuild:
            return report  # it does not know yet what is protected
        self._expire(index, now_s, report)
        self._make_room(index, now_s, report)
        self.deleted += report.deleted
        if report.deleted:
            log.info("retention: %d recordings deleted, %.1f MB", report.deleted, report.freed_bytes / 1e6)
        return report

    def _expire(self, index: ArchiveIndex, now_s: float, report: RetentionReport) -> None:
        from echostream.index.candidates import Candidates

        synchronised = self._quality().state == "synchronised"
        if not self._trust.may_judge(now_s, time.monotonic(), synchronised):
            return
        old = Candidates(index.engine, index.archive).expired(round(now_s * 1e6), self._settings.keep_days)
        self._delete(index, self._alarmed(index, old, now_s, report, "they are older than is kept"), report)

    def _make_room(self, index: ArchiveIndex, now_s: float, report: RetentionReport) -> None:
        from echostream.index.candidates import Candidates

        candidates = Candidates(index.engine, index.archive)
        disk, keep_gb = self._disk(self._directory), self._settings.keep_gb
        most = None if keep_gb is None else round(keep_gb * 1e9)
        uses = candidates.uses()
        used = sum(use.total for use in uses.values()) + self._bytes_besides(candidates.open_paths())
        over = to_free(used, most, disk.free, disk.total, self._settings.min_free_percent)
        if over <= 0:
            return
        for device, share in shares(uses, over).items():
            freed = self._delete(index, candidates.oldest(device, share), report)
            over -= freed
            if self._stopping.is_set():
                return
        if over > 0:
            unsent = self._enough(candidates.to_send(), over)
            reason = "there is no room left, and nothing else may be deleted"
            over -= self._delete(index, self._alarmed(index, unsent, now_s, report, reason), report)
        report.still_over = max(0, over)
        if over > 0:
            self._tell(
                "full",
                logging.WARNING,
                f"{over / 1e6:.1f} MB too much; all that is left is protected, being written or to be sent",
            )

    def _bytes_besides(self, paths: list[str]) -> int:
        """Of files that the index has no figure of: those being written, and itself."""
        names = [FILE_NAME, f"{FILE_NAME}-wal", *paths]
        return sum(_size_of(self._directory / name) for name in names)

    @staticmethod
    def _enough(found: Iterable[Candidate], size: int) -> Iterator[Candidate]:
        for one in found:
            if size <= 0:
                return
            size -= one.bytes
            yield one

    def _alarmed(
        self,
        index: ArchiveIndex,
        found: Iterable[Candidate],
        now_s: float,
        report: RetentionReport,
        reason: str,
    ) -> Iterator[Candidate]:
        """Those that may go. What is still to be sent waits for GRACE_S after the alarm, sent out here."""
        fresh: list[Candidate] = []
        for one in found:
            if not one.pending:
                yield one
            elif one.alarmed_us is None:
                fresh.append(one)
            elif one.alarmed_us <= (now_s - GRACE_S) * 1e6:
                yield one
        if not fresh:
            return
        report.at_risk += len(fresh)
        paths = tuple(one.path for one in fresh[:_NAMED])
        size = sum(one.bytes for one in fresh)
        self._post(RecordingAtRisk(paths, len(fresh), size, reason, now_s, now_s + GRACE_S))
        log.error(
            "retention: %d recordings (%.1f MB, from %s on) are not uploaded yet and go in %.0f minutes: %s",
            *(len(fresh), size / 1e6, paths[0], GRACE_S / 60, reason),
        )
        index.uploads.alarmed([one.id for one in fresh], round(now_s * 1e6))

    def _delete(self, index: ArchiveIndex, found: Iterable[Candidate], report: RetentionReport) -> int:
        """Delete files and rows; the bytes that were freed."""
        freed, gone = 0, list[str]()
        for one in found:
            if self._stopping.is_set():
                break
            try:
                if not self._may_go(one):
                    index.changed([Place(self._directory, Path(one.path).stem).meta])
                    continue
                folders.delete(self._directory, one.path)
            except OSError as error:
                report.failed.append(f"{one.path}: {error}")
                self._tell("delete", logging.ERROR, f"{one.path} cannot be deleted: {error}")
                continue
            freed += one.bytes
            gone.append(one.path)
            if len(gone) >= _BATCH:
                self._forget(index, gone, report)
                gone = []
        self._forget(index, gone, report)
        report.freed_bytes += freed
        return freed

    @staticmethod
    def _forget(index: ArchiveIndex, gone: list[str], report: RetentionReport) -> None:
        index.removed(gone)
        report.deleted += len(gone)

    def _may_go(self, one: Candidate) -> bool:
        """The files have the last word: somebody may have protected it a moment ago."""
        try:
            recording = read_meta(Place(self._directory, Path(one.path).stem).meta)
        except (FileNotFoundError, BrokenFile):
            return True
        return not recording.protected and recording.state != "open"

    def _tell(self, what: str, level: int, text: str) -> None:
        """Once in an hour for each kind of trouble."""
        now = time.monotonic()
        if now - self._told_s.get(what, -TOLD_EVERY_S) >= TOLD_EVERY_S:
            self._told_s[what] = now
            log.log(level, "retention: %s", text)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
