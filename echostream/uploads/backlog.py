"""What is to be sent, in the index: put there, taken up again after a restart, and whose turn it is."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive.file_names import Place, place_of
from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording
from echostream.config.s3_models import S3Rule
from echostream.errors import BrokenFile
from echostream.events import RecordingFiled
from echostream.uploads.rules import turn_of, wanted

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex
    from echostream.index.uploads import Upload

log = logging.getLogger(__name__)

BOUND: Final = 4096
"""Recordings that were told and not looked at yet. More, and the index is searched instead."""


class Told:
    """Recordings that got their last form. Any thread tells, one asks."""

    def __init__(self) -> None:
        self._waiting: deque[RecordingFiled] = deque()
        self._lock = threading.Lock()
        self.overflowed = False

    def add(self, recordings: Sequence[RecordingFiled]) -> None:
        with self._lock:
            self._waiting.extend(recordings[: BOUND - len(self._waiting)])
            self.overflowed = self.overflowed or len(self._waiting) >= BOUND

    def take(self) -> list[RecordingFiled]:
        with self._lock:
            taken = list(self._waiting)
            self._waiting.clear()
        return taken


class Backlog:
    """Of one archive and one bucket. Methods raise IndexUnavailable."""

    def __init__(self, index: ArchiveIndex, target: str, rules: Sequence[S3Rule]) -> None:
        self._index = index
        self._target = target
        self._rules = tuple(rules)
        self._protected = tuple(rule for rule in rules if rule.what == "protected")

    def add_told(self, told: Sequence[RecordingFiled], now_us: int) -> int:
        """Those of them that meet the rules, as their files have them; how many are new."""
        found = []
        for one in told:
            recording = _read(self._index.directory, one.path)
            if recording is not None and recording.id == one.recording:
                found.append(recording)
        return self._add(found, now_us)

    def search(self, now_us: int, stopped: Callable[[], bool]) -> int:
        """Everything that meets the rules and is not known yet: told while nobody listened."""
        return self._search(self._rules, now_us, stopped)

    def search_protected(self, now_us: int, stopped: Callable[[], bool]) -> int:
        """What somebody protected since: a walk along those few."""
        return self._search(self._protected, now_us, stopped) if self._protected else 0

    def _search(self, rules: Sequence[S3Rule], now_us: int, stopped: Callable[[], bool]) -> int:
        from echostream.index.unsent import unsent

        index = self._index
        batches = unsent(index.engine, index.archive, self._target, rules, stopped)
        return sum(self._add(batch, now_us) for batch in batches)

    def _add(self, recordings: Sequence[Recording], now_us: int) -> int:
        from echostream.index.uploads import NewUpload

        new = [
            NewUpload(one.id, one.path, turn_of(one), one.bytes)
            for one in recordings
            if wanted(one, self._rules)
        ]
        return self._index.uploads.add_all(new, self._target, now_us) if new else 0

    def recording_of(self, row: Upload) -> tuple[Recording, Path] | None:
        """What is to be sent, as its file says now, and where the audio is. None: it is gone, or no rule
        wants it any more."""
        recording = _read(self._index.directory, row.path)
        if recording is None or recording.id != row.recording_id:
            moved = self._index.find(row.recording_id, here_only=True)
            recording = _read(self._index.directory, moved[0].path) if len(moved) == 1 else None
        if recording is None or not wanted(recording, self._rules):
            return None
        return recording, self._index.directory / recording.path


def _read(directory: Path, path: str) -> Recording | None:
    try:
        place: Place = place_of(directory, path)
        return read_meta(place.meta)
    except (OSError, ValueError, BrokenFile) as error:
        if not isinstance(error, FileNotFoundError):
            log.warning("s3: %s", error)
        return None
