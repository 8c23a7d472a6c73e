"""After a recording was closed: its form, waveform, levels and hash. A thread of its own that gives way to
all others, and a list on the disk of what is still to be done: a restart forgets nothing of it.

    DIRECTORY/.closed/2026-11-21_1200_07_porch    an empty file for each recording that was not filed yet
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from echostream.archive.conversion import ConversionAbandoned, Heard, convert, hear, sha256_of
from echostream.archive.file_names import META_FOLDER, Place, make_folder, place_of
from echostream.archive.meta_files import read_meta, update_meta
from echostream.archive.peaks import write_peaks
from echostream.archive.raw_file import FILE_MODE
from echostream.archive.recording import AudioForm, Recording
from echostream.archive.repair import cut_short, repair
from echostream.coordinator.worker import Worker
from echostream.errors import BrokenFile, LibraryMissing
from echostream.events import Post, RecordingFiled, RecordingsFiled

log = logging.getLogger(__name__)

FOLDER: Final = ".closed"
RETRY_S: Final = 60.0
"""When the disk refused: it may be full now, and have room later."""
TELL_S: Final = 1.0
"""What was filed is told so often at most, all in one."""
STOP_S: Final = 0.7
"""After it was asked to stop: for what the recorder closed last."""
_MOST_TOLD: Final = 500
_CHANGED_BY_REPAIR: Final = (
    *("samples", "bytes", "sha256", "state", "peak_dbfs", "rms_dbfs", "gaps", "tones"),
)
_REFUSED_IN_A_ROW: Final = 3
_MOST_UNMARKED: Final = 4096
_SWEPT_DAYS: Final = 2
_LEFT_S: Final = 600.0


class Filing(Worker):
    """Thread `filing`. filed: recordings that are done. failed: that the disk refused, or that are broken."""

    def __init__(
        self,
        directory: Path,
        kept_form: AudioForm,
        post: Post,
        changed: Callable[[Path], None],
        opus_bitrate_bps: int = 64_000,
    ) -> None:
        """kept_form: of what was written as WAV. changed: told the path of a meta file that was written.

        Posts RecordingsFiled.
        """
        super().__init__("filing", post)
        self._directory = directory
        self._kept_form = kept_form
        self._bitrate_bps = opus_bitrate_bps
        self._changed = changed
        self._wake = threading.Event()
        self._unmarked: deque[str] = deque(maxlen=_MOST_UNMARKED)
        self._refused = set[str]()
        self._left: int | None = None
        self._fresh = 0
        self._why = ""
        self._untold: list[RecordingFiled] = []
        self._told_at_s = 0.0
        self._until_s = math.inf
        self.filed = 0
        self.failed = 0

    def closed(self, meta: Path) -> None:
        """A recording's last word was written. From any thread; waits for nobody."""
        try:
            mark_closed(self._directory, meta.stem)
        except OSError:
            self._unmarked.append(meta.stem)  # a full disk; only a restart forgets it now
        self._fresh += 1
        self._wake.set()

    def told(self, meta: Path) -> None:
        """The same of another process, which has marked it. From any thread; does not touch the disk, which
        may hang, while whoever tells reads microphones."""
        self._unmarked.append(meta.stem)
        self._fresh += 1
        self._wake.set()

    @property
    def waiting(self) -> int:
        """Recordings that are still to be filed. Who asks does not wait for a disk that hangs."""
        left = self._left
        return len(self._stems()) if left is None else left + self._fresh

    # ---- on its own thread

    def _unblock(self) -> None:
        self._until_s = time.monotonic() + STOP_S
        self._wake.set()

    def _over(self) -> bool:
        """Asked to stop, and no time left for what was closed last."""
        return self._stopping.is_set() and time.monotonic() > self._until_s

    def _work(self) -> None:
        # Not at a lower priority: whenever it holds the interpreter, all audio would wait for a thread that
        # the kernel lets run last (42 ms on two busy cores).
        sweep(self._directory)
        while True:
            self._wake.clear()
            self._refused.clear()
            while not self._over() and (stems := self._stems()) and self._settle_all(stems):
                pass
            self._tell()
            if self._refused:
                log.error(
                    "%d recordings are not filed: %s; tried again in %.0f s",
                    len(self._stems()) + len(self._refused),
                    self._why,
                    RETRY_S,
                )
            if self._stopping.is_set():
                return
            self._wake.wait(RETRY_S)

    def _stems(self) -> list[str]:
        """What there is to do, oldest first."""
        self._fresh = 0
        try:
            marked = set(os.listdir(self._directory / FOLDER))
        except OSError:
            marked = set()
        every = marked | set(self._unmarked)
        self._left = len(every)
        return sorted(every - self._refused)

    def _settle_all(self, stems: list[str]) -> bool:
        """False: there is no use in going on now."""
        in_a_row = 0
        for stem in stems:
            if self._over():
                return False
            self._settle(stem)
            in_a_row = in_a_row + 1 if stem in self._refused else 0
            if in_a_row == _REFUSED_IN_A_ROW:  # it is not the file, it is the disk
                return False
            if time.monotonic() - self._told_at_s > TELL_S or len(self._untold) >= _MOST_TOLD:
                self._tell()
        return True

    def _tell(self) -> None:
        self._told_at_s = time.monotonic()
        if self._untold:
            told, self._untold = self._untold, []
            self._post(RecordingsFiled(tuple(told)))

    def _settle(self, stem: str) -> None:
        try:
            place = place_of(self._directory, f"{stem}.json")
            with _one_at_a_time(self._directory):
                self._file(place)
        except ConversionAbandoned:
            return
        except OSError as error:
            self._refused.add(stem)
            self.failed += 1
            self._why = f"{stem}: {error.strerror or error}"
            return
        except (BrokenFile, ValueError) as error:
            self.failed += 1
            log.error("%s", error)
        self._forget(stem)

    def _forget(self, stem: str) -> None:
        try:
            (self._directory / FOLDER / stem).unlink(missing_ok=True)
        except OSError:
            self._refused.add(stem)
        else:
            self._left = max(0, (self._left or 0) - 1)
        if stem in self._unmarked:
            self._unmarked.remove(stem)

    def _file(self, place: Place) -> None:
        try:
            recording = read_meta(place.meta)
        except FileNotFoundError:
            return  # it was deleted
        if recording.state == "open":
            return
        recording = _made_whole(place, recording)
        if not recording.samples:
            raise BrokenFile(f"{place.audio(recording.form)}: there is no sound in it")
        heard = self._converted(place, recording)
        form = recording.form if heard is None else self._kept_form
        audio = place.audio(form)
        try:
            if heard is None and (recording.peak_dbfs is None or not place.peaks.exists()):
                heard = hear(audio, self._over)
            if heard is not None:
                write_peaks(place.peaks, heard.peaks.peaks)
            facts = _facts(place, form, heard, sha256_of(audio, self._over))
            recording = update_meta(place.meta, facts)
        except FileNotFoundError:
            self._tidy_deleted(place)
            return
        if heard is not None and form != "wav":
            place.audio("wav").unlink(missing_ok=True)
        self.filed += 1
        self._untold.append(_told(place, recording))
        self._changed(place.meta)

    def _converted(self, place: Place, recording: Recording) -> Heard | None:
        """Made into the form that is kept. None: it stays as it is."""
        _remove_old_forms(place, recording)
        if recording.form != "wav" or self._kept_form == "wav" or not recording.samples:
            return None
        new = place.meta.with_name(f".{place.stem}.{self._kept_form}.new")
        wav = place.audio("wav")
        try:
            heard = convert(wav, new, self._kept_form, self._bitrate_bps, self._over)
        except (BrokenFile, LibraryMissing, ValueError) as error:
            if isinstance(error, BrokenFile) and not wav.exists():
                return None
            log.error("%s stays a WAV: %s", recording.path, error)
            self.failed += 1
            return None
        os.replace(new, place.audio(self._kept_form))
        return heard

    def _tidy_deleted(self, place: Place) -> None:
        """It was deleted while it was filed."""
        if not place.meta.exists():
            place.delete()


def _made_whole(place: Place, told: Recording) -> Recording:
    """A header may be older than what was told of its file: power was cut between the two. OSError."""
    audio = place.audio(told.form)
    if not audio.exists():
        return told
    found = repair(audio, told)
    if found is told:
        return told
    found = cut_short(found, told, "power cut")
    missing_s = (told.samples - found.samples) / told.rate_hz
    if missing_s > 0:
        log.error("%s: the last %.2f s are missing; what is there is kept", told.path, missing_s)
    news = {name: getattr(found, name) for name in _CHANGED_BY_REPAIR}
    return update_meta(place.meta, lambda known: replace(known, **news))


def _told(place: Place, recording: Recording) -> RecordingFiled:
    return RecordingFiled(
        path=str(place.audio(recording.form)),
        recording=recording.id,
        source=recording.source,
        kind=recording.kind,
        tone_ids=tuple(tone.tone_id for tone in recording.tones),
        started_at_s=recording.start_us / 1e6,
        duration_s=recording.duration_us / 1e6,
        sha256=recording.sha256,
        pages=tuple((tone.tone_id, tone.start_us) for tone in recording.tones),
        channel_id=recording.channel_id,
        trigger=recording.trigger,
    )


def _facts(
    place: Place, form: AudioForm, heard: Heard | None, sha256: str
) -> Callable[[Recording], Recording]:
    size = place.audio(form).stat().st_size

    def changed(recording: Recording) -> Recording:
        # Levels are of what was heard: silence in gaps is no part of them, where they are known already.
        peak, rms = recording.peak_dbfs, recording.rms_dbfs
        if heard is not None and peak is None:
            peak, rms = heard.level.peak_dbfs, heard.level.rms_dbfs
        return replace(
            recording,
            path=place.path(form),
            form=form,
            bytes=size,
            sha256=sha256,
            peak_dbfs=peak,
            rms_dbfs=rms,
        )

    return changed


def _remove_old_forms(place: Place, recording: Recording) -> None:
    """What a conversion left that was interrupted between its steps. OSError."""
    for form in ("wav", "flac", "opus"):
        audio = place.audio(form)
        if form != recording.form and audio.exists() and place.audio(recording.form).exists():
            audio.unlink()


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """After a reload the old Filing and the new one are there at once, and must not convert the same WAV.
    OSError."""
    make_folder(directory / FOLDER)
    handle = os.open(directory / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sweep(directory: Path) -> None:
    """Remove what a kill left half-written in the newest days, and nobody writes any more."""
    newest = sorted(directory.glob("[0-9]*-[0-9][0-9]-[0-9][0-9]"))[-_SWEPT_DAYS:]
    for day in newest:
        for path in day.glob(f"{META_FOLDER}/.*.new"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFT_S:
                    path.unlink()


def mark_closed(directory: Path, stem: str) -> None:
    """Have it filed: by a `Filing` that runs, in whichever process, within a minute. OSError."""
    try:
        _mark(directory / FOLDER / stem)
    except FileNotFoundError:
        make_folder(directory / FOLDER)
        _mark(directory / FOLDER / stem)


def _mark(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
