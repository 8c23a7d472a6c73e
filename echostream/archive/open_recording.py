"""One recording that is being written: the audio file, what is known of it, and its marker."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from echostream.archive.audio_file import DEFAULT_BITRATE_BPS, AudioFile, new_audio_file
from echostream.archive.file_names import Place, take_place
from echostream.archive.level_meter import WholeLevel
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.open_marks import OpenMarks
from echostream.archive.peaks import PeakCounter, write_peaks
from echostream.archive.recording import AudioForm, ClockState, Gap, Recording, ToneMark
from echostream.archive.source import Source
from echostream.audio.format import Samples, silence
from echostream.errors import BrokenFile, LibraryMissing

log = logging.getLogger(__name__)

META_PERIOD_S: Final = 2.0
"""What is found out on the way (gaps, pages) is written down so often; a file with many gaps less often."""
GAPS_PER_S: Final = 100
REFRESH_S: Final = 60.0
"""How long the recording is by now is written down so often."""
_PORTION: Final = 1 << 16
_ROUND_US: Final = 500
"""A name says the second: what begins a sample before a full one belongs to that."""

Journal = Callable[[Path], None]
"""Told the path of a meta file. Never blocks."""


def nobody(path: Path) -> None:
    """A journal that nobody reads."""


@dataclass(slots=True)
class Shelf:
    """Where recordings go, and who is told. journal: a meta file changed; closed: its recording is whole.

    written: something was; abandoned: the disk refused to end it; begun: recordings since the start.
    """

    directory: Path
    form: AudioForm
    gateway_id: str
    marks: OpenMarks
    journal: Journal = nobody
    closed: Journal = nobody
    written: Callable[[], None] = lambda: None
    abandoned: Callable[[str], None] = lambda stem: None
    opus_bitrate_bps: int = DEFAULT_BITRATE_BPS
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Beginning:
    """What is known of a recording when it begins: as in a Recording."""

    start_us: int
    start_error_ms: float
    clock: ClockState
    gap: Gap | None = None


@dataclass(frozen=True, slots=True)
class LastWords:
    """What is known of a recording when its last sample is written: why it ended, when it began, how far that
    may be off, and how much faster the sender's clock ran than ours."""

    ended: str
    start_us: int
    start_error_ms: float
    ppm: float | None = None


class OpenRecording:
    """Every method but `abandon` raises OSError when the disk refuses; `abandon` follows then."""

    def __init__(
        self, shelf: Shelf, source: Source, beginning: Beginning, tone: str = "", ahead: bool = False
    ) -> None:
        """Name, marker, audio file and meta file, in this order: whatever happens next, it is found again.

        ahead: it begins later, and nobody is told of it before `begin`.
        """
        self._shelf = shelf
        self._told = not ahead
        self._place = take_place(
            shelf.directory, beginning.start_us + _ROUND_US, source.name, source.kind, tone
        )
        self.meta = _first_word(shelf, source, beginning, self._place)
        self._level = WholeLevel()
        self._peaks = PeakCounter(source.rate_hz)
        self._dirty = self._removed = False
        self._told_at_s: float | None = None
        self._stamp: tuple[int, int] | None = None
        try:
            shelf.marks.put(self._place.stem)
            self._file = self._new_file()
            try:
                self._tell()
            except BaseException:
                self._file.close()
                raise
        except BaseException:
            self._remove()
            raise
        shelf.begun += 1

    def _new_file(self) -> AudioFile:
        shelf, rate_hz = self._shelf, self.meta.rate_hz
        try:
            return new_audio_file(shelf.form, self._place.audio(shelf.form), rate_hz, shelf.opus_bitrate_bps)
        except LibraryMissing as error:
            log.error("%s; recordings are written as WAV until then", error)
            self._place.audio(shelf.form).unlink(missing_ok=True)
            shelf.form = self.meta.form = "wav"
            self.meta.path = self._place.path("wav")
            return new_audio_file("wav", self._place.audio("wav"), rate_hz)

    def begin(self, beginning: Beginning) -> None:
        """What was made ahead begins."""
        meta = self.meta
        meta.start_us, meta.start_error_ms = beginning.start_us, round(beginning.start_error_ms, 1)
        meta.clock, meta.gap_before = beginning.clock, beginning.gap
        self._told = self._dirty = True
        self._shelf.journal(self._place.meta)

    def correct(self, start_us: int, start_error_ms: float) -> None:
        """It is known better when it began."""
        _shift(self.meta, start_us)
        self.meta.start_error_ms = round(start_error_ms, 1)
        self._dirty = True
        self._told_at_s = None

    def discard(self) -> None:
        """What was made ahead does not begin."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._remove()

    @property
    def meta_path(self) -> Path:
        return self._place.meta

    @property
    def samples(self) -> int:
        return self._file.samples

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def full(self) -> bool:
        return self._file.full

    def write(self, samples: Samples) -> None:
        self._file.write(samples)
        self._level.add(samples)
        self._peaks.add(samples)

    def write_silence(self, count: int) -> None:
        while count > 0:
            self.write(silence(min(count, _PORTION)))
            count -= _PORTION

    def add_gap(self, gap: Gap) -> None:
        self.meta.gaps.append(gap)
        self._dirty = True

    def add_tone(self, tone: ToneMark) -> None:
        self.meta.tones.append(tone)
        self._dirty = True

    def keep_up(self, now: float) -> None:
        """Write down what was found out since, now and then."""
        if self._told_at_s is None and not self._dirty:
            self._told_at_s = now  # its first word was just written
        period_s = max(META_PERIOD_S, len(self.meta.gaps) / GAPS_PER_S) if self._dirty else REFRESH_S
        if self._told_at_s is None or now - self._told_at_s >= period_s:
            self._told_at_s = now
            self._tell()

    def end(self) -> None:
        """The last sample is written; `close` may follow later."""
        self._file.close()

    def close(self, words: LastWords) -> None:
        """The end, and the last word about it; `let_go` follows."""
        self._file.close()
        self._last_word(words)
        if not self.meta.samples:
            self._remove()
            return
        write_peaks(self._place.peaks, self._peaks.peaks)
        self.meta.state = "closed"
        self.meta.bytes = self._file.path.stat().st_size
        self._tell()

    def let_go(self, sync: bool = False) -> None:
        """After `close`, and when all of it is on the disk itself; sync: bring it there."""
        if self._removed:
            return
        if sync:
            sync_file(self._file.path)
            sync_file(self._place.meta)
        self._shelf.marks.remove(self._place.stem)
        self._shelf.closed(self._place.meta)

    def abandon(self, words: LastWords) -> None:
        """The disk refused. The marker stays: what is there is repaired when the disk is well again, or at
        the next start."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._last_word(replace(words, ended="disk"))
        with contextlib.suppress(OSError):
            self._tell()
        self._shelf.abandoned(self._place.stem)

    def _last_word(self, words: LastWords) -> None:
        meta = self.meta
        meta.samples = self._file.samples
        _shift(meta, words.start_us)
        meta.ended = words.ended
        meta.start_error_ms = round(words.start_error_ms, 1)
        meta.ppm = None if words.ppm is None else round(words.ppm, 2)
        meta.peak_dbfs, meta.rms_dbfs = self._level.peak_dbfs, self._level.rms_dbfs

    def _tell(self) -> None:
        meta = self.meta
        meta.samples = self._file.samples
        self._dirty = False
        if self._stamp is not None and _stamp_of(self._place.meta) != self._stamp:
            # Somebody else wrote it since: what people say of a recording is theirs.
            with contextlib.suppress(BrokenFile, FileNotFoundError):
                theirs = read_meta(self._place.meta)
                meta.protected, meta.notes = theirs.protected, theirs.notes
        write_meta(self._shelf.directory, meta, sync=False)
        self._stamp = _stamp_of(self._place.meta)
        self._shelf.written()
        if self._told:
            self._shelf.journal(self._place.meta)

    def _remove(self) -> None:
        """Nothing was recorded: no file says that something was. What the disk does not let go of stays
        marked."""
        self._removed = True
        with contextlib.suppress(OSError):
            self._place.delete()
            self._shelf.marks.remove(self._place.stem)
        if self._told:
            self._shelf.journal(self._place.meta)


def sync_file(path: Path) -> None:
    """All of it is on the disk itself. Raises OSError."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fdatasync(handle)
    finally:
        os.close(handle)


def _first_word(shelf: Shelf, source: Source, beginning: Beginning, place: Place) -> Recording:
    return Recording(
        id=uuid.uuid4().hex,
        path=place.path(shelf.form),
        form=shelf.form,
        gateway=shelf.gateway_id,
        source=source.name,
        kind=source.kind,
        trigger=source.trigger,
        start_us=beginning.start_us,
        start_error_ms=round(beginning.start_error_ms, 1),
        rate_hz=source.rate_hz,
        label=source.label,
        channel_id=source.channel_id,
        clock=beginning.clock,
        gap_before=beginning.gap,
        priority=source.priority,
        keep_days=source.keep_days,
    )


def _shift(meta: Recording, start_us: int) -> None:
    """What was written down by an earlier estimate moves with the start."""
    by_us, meta.start_us = start_us - meta.start_us, start_us
    if not by_us:
        return
    meta.gaps = [Gap(g.start_us + by_us, g.end_us + by_us, g.cause, g.position) for g in meta.gaps]
    before = meta.gap_before
    if before is not None:  # nothing is missing where the device had kept it
        missing = before.start_us < start_us
        meta.gap_before = Gap(before.start_us, start_us, before.cause) if missing else None


def _stamp_of(path: Path) -> tuple[int, int] | None:
    try:
        stat = os.stat(path)
    except FileNotFoundError:
        return None
    return stat.st_ino, stat.st_mtime_ns
