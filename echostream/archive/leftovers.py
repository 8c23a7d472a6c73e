"""What the last run left: recordings that are half-written, and where each source's last one ended."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from echostream.archive.file_names import FORMS, META_FOLDER, place_of, source_of, start_of, stem_of
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.open_marks import Boot, HalfWritten
from echostream.archive.open_recording import Shelf, sync_file
from echostream.archive.recording import Recording
from echostream.archive.repair import cut_short, recover, repair
from echostream.archive.source import LastEnd, Source
from echostream.audio.device_ports import GapCause
from echostream.errors import BrokenFile

log = logging.getLogger(__name__)

DAYS: Final = 2
"""So many of the newest days are looked through for where a source's last recording ended."""
NEWEST: Final = 4
NEXT_US: Final = 1_500_000
"""A name tells when a file began to a second."""
EMPTY_BYTES: Final = 2000
"""A file that was made and not begun is smaller."""
RETRY_S: Final = 10.0
_STAMP_LENGTH: Final = len("2026-11-21_1200_07_")


class LeftOvers:
    """Repairs in small steps, so that what is recorded meanwhile does not wait. One thread."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._pending: dict[str, HalfWritten] = {}
        self._of_source: dict[str, list[str]] = {}
        self._names: dict[str, deque[str]] = {}
        self._boot = Boot(0, new=False)
        self._refused: deque[HalfWritten] = deque()
        self._said: dict[str, str] = {}
        self._retry_at_s = 0.0
        self.repaired = self._told = 0

    @property
    def pending(self) -> int:
        return len(self._pending)

    def find(self) -> None:
        """At the start. Raises OSError."""
        self._boot = self._shelf.marks.note_boot(round(time.time() * 1e6))
        for half in self._shelf.marks.claim():
            self._put(half)
        self._names = _newest_names(self._shelf.directory)
        if self._pending:
            log.warning("%d recordings were left half-written: they are repaired", len(self._pending))

    def add(self, stem: str) -> None:
        """One of this run that the disk refused: it is repaired when the disk is well again. Any thread."""
        self._refused.append(HalfWritten(stem, "disk"))

    def step(self, now: float, budget_s: float) -> None:
        """Repair for about so long; one at least."""
        if self._refused and now >= self._retry_at_s:
            self._retry_at_s = now + RETRY_S
            for _ in range(len(self._refused)):  # others may add meanwhile
                self._put(self._refused.popleft())
        until_s = time.monotonic() + budget_s
        while self._pending:
            self._repair(self._pending.pop(next(iter(self._pending))))
            if not self._pending and self.repaired != self._told:
                self._told = self.repaired
                log.info("%d recordings were repaired", self.repaired)
            if time.monotonic() >= until_s:
                break

    def last_end(self, source: Source) -> LastEnd | None:
        """Where its last recording ended, whenever that was; what is half-written of it is repaired first."""
        rest = stem_of(0, source.name, source.kind)[_STAMP_LENGTH:]
        for name in self._of_source.pop(rest, ()):
            half = self._pending.pop(name, None)
            if half is not None:
                self._repair(half)
        for stem in reversed(self._names.get(rest, ())):
            try:
                last = read_meta(place_of(self._shelf.directory, f"{stem}.json").meta)
            except (OSError, BrokenFile):
                continue  # it held nothing, or was being made
            if (last.kind, last.source) == source.key and last.samples:
                return LastEnd(last.end_us, self._cause(last))
        return None

    # ---- inside

    def _cause(self, last: Recording) -> GapCause | None:
        """Why there is nothing between a source's last recording and its next one."""
        if last.ended in get_args(GapCause):
            return last.ended  # type: ignore[return-value]
        if last.ended != "segment" and last.state != "open":
            return None  # it was over
        # The next file was due at once and is not there.
        return "power cut" if self._boot.cut(last.end_us) else "killed"

    def _put(self, half: HalfWritten) -> None:
        self._pending[half.stem] = half
        self._of_source.setdefault(source_of(half.stem), []).append(half.stem)

    def _take_off(self, stem: str) -> None:
        """One that is tried again and again must not leave its name each time."""
        names = self._of_source.get(source_of(stem), [])
        if stem in names:
            names.remove(stem)
            if not names:
                del self._of_source[source_of(stem)]

    def _repair(self, half: HalfWritten) -> None:
        self._take_off(half.stem)
        place = place_of(self._shelf.directory, f"{half.stem}.json")
        try:
            recording = self._known(half)
            if recording is not None and not recording.samples:
                recording = None
            if recording is None:
                place.delete()
            else:
                sync_file(self._shelf.directory / recording.path)
                write_meta(self._shelf.directory, recording)
            self._shelf.marks.remove(half.stem)
        except OSError as error:
            self._refused.append(half)
            why = error.strerror or str(error)
            if self._said.get(half.stem) != why:
                self._said[half.stem] = why
                log.error("%s cannot be repaired: %s; it is tried again", half.stem, why)
            return
        except BrokenFile as error:
            log.error("%s", error)
            with contextlib.suppress(OSError):
                self._shelf.marks.remove(half.stem)
            return
        self._said.pop(half.stem, None)
        self._shelf.journal(place.meta)
        if recording is not None:
            self.repaired += 1
            self._shelf.closed(place.meta)
            log.debug("repaired %s: %.1f s", recording.path, recording.duration_us / 1e6)

    def _known(self, half: HalfWritten) -> Recording | None:
        """What is known of it after repair; None: there is nothing."""
        place = place_of(self._shelf.directory, f"{half.stem}.json")
        try:
            recording = read_meta(place.meta)
        except (FileNotFoundError, BrokenFile):
            audio = next((path for path in map(place.audio, FORMS) if path.exists()), None)
            if audio is None or not audio.stat().st_size:
                return None
            recording = recover(audio, self._shelf.directory, self._shelf.gateway_id)
            return replace(recording, state="repaired", ended=recording.ended or half.cause)
        told = recording
        recording = repair(self._shelf.directory / recording.path, recording)
        if told.state == "closed":  # its last word was written; its last second may not be
            return cut_short(recording, told, half.cause)
        ended = "segment" if self._went_on(half, recording) else half.cause
        return replace(recording, state="repaired", ended=ended)

    def _went_on(self, half: HalfWritten, recording: Recording) -> bool:
        """The next file began where this one ends: only its last word was not written yet."""
        for stem in self._names.get(source_of(half.stem), ()):
            begins_us = start_of(stem)
            if stem != half.stem and begins_us and abs(begins_us - recording.end_us) < NEXT_US:
                audio = place_of(self._shelf.directory, f"{stem}.json").audio(recording.form)
                with contextlib.suppress(OSError):
                    if audio.stat().st_size > EMPTY_BYTES:
                        return True
        return False


def _newest_names(directory: Path) -> dict[str, deque[str]]:
    """Of each source, as it stands in the names, the newest few, the newest last."""
    try:
        days = sorted(name for name in os.listdir(directory) if len(name) == 10 and name[:1].isdigit())
    except OSError:
        return {}
    names: dict[str, deque[str]] = {}
    for day in days[-DAYS:]:
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(directory / day / META_FOLDER)):
                if name.endswith(".json"):
                    stem = name.removesuffix(".json")
                    names.setdefault(source_of(stem), deque(maxlen=NEWEST)).append(stem)
    return names
