"""Names of recordings: by day, readable, for every file system, and never the same twice.

DATE/2026-11-21_1200_07_porch.wav          UTC date, hour and minute, seconds, source, tone
DATE/.meta/2026-11-21_1200_07_porch.json   what is known of it
DATE/.meta/2026-11-21_1200_07_porch.peaks  its waveform
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, get_args

from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.archive.recording import AudioForm, SourceKind

FORMS: Final[tuple[AudioForm, ...]] = get_args(AudioForm)
META_FOLDER: Final = ".meta"
_ODD: Final = re.compile(r"[^A-Za-z0-9._-]+")
_STEM: Final = re.compile(r"(\d{4}-\d\d-\d\d_\d{4}_\d\d)_([A-Za-z0-9._-]+)", re.ASCII)
_STAMP: Final = "%Y-%m-%d_%H%M_%S"
_FIELDS: Final = tuple(slice(*at) for at in ((0, 4), (5, 7), (8, 10), (11, 13), (13, 15), (16, 18)))
_DATE_LENGTH: Final = 10
_LONGEST: Final = 60
_FOLDER_MODE: Final = 0o750
_TRIES: Final = 1000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_US: Final = int((datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH).total_seconds()) * 1_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files of one recording are. stem: its name without the form."""

    directory: Path
    stem: str

    @property
    def folder(self) -> Path:
        return self.directory / self.stem[:_DATE_LENGTH]

    @property
    def meta(self) -> Path:
        return self.folder / META_FOLDER / f"{self.stem}.json"

    @property
    def peaks(self) -> Path:
        return self.folder / META_FOLDER / f"{self.stem}.peaks"

    def audio(self, form: AudioForm) -> Path:
        return self.folder / f"{self.stem}.{form}"

    def path(self, form: AudioForm) -> str:
        """Recording.path: relative to the directory."""
        return f"{self.stem[:_DATE_LENGTH]}/{self.stem}.{form}"

    def delete(self) -> None:
        """Audio of every form, then the waveform, then what is known of it; the last one takes its day along.
        OSError."""
        for form in FORMS:
            self.audio(form).unlink(missing_ok=True)
        self.peaks.unlink(missing_ok=True)
        self.meta.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # there are others
            self.meta.parent.rmdir()
            self.folder.rmdir()


def take_place(directory: Path, start_us: int, source: str, kind: SourceKind, tone: str = "") -> Place:
    """A name that no other recording has or will get, in no process: an empty meta file holds it. OSError.

    start_us: Unix microseconds UTC.
    """
    stem = stem_of(start_us, source, kind, tone)
    folder = directory / stem[:_DATE_LENGTH] / META_FOLDER
    for number in range(1, _TRIES):
        place = Place(directory, f"{stem}-{number}" if number > 1 else stem)
        try:
            _hold(place.meta)
        except FileExistsError:
            continue
        if not any(place.audio(form).exists() for form in FORMS):
            return place
        place.meta.unlink()  # audio that somebody put there: it keeps its name
    raise FileExistsError(f"{folder.parent / stem}: {_TRIES} recordings of that name are there already")


def _hold(meta: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    for last in (False, False, True):
        try:
            os.close(os.open(meta, flags, FILE_MODE))
            leave_to_owner(meta)
            return
        except FileNotFoundError:  # a new day; or the last recording of this one was just deleted
            if last:
                raise
            make_folder(meta.parent)


def stem_of(start_us: int, source: str, kind: SourceKind, tone: str = "") -> str:
    """2026-11-21_1200_07_SOURCE[_TONE]; what a channel hears from the network is SOURCE.net."""
    source = {"network": f"{source}.net", "quarantine": f"quarantine.{source}"}.get(kind, source)
    when = _EPOCH + timedelta(microseconds=min(max(start_us, 0), _LAST_US))
    return "_".join([when.strftime(_STAMP), tidy(source), *([tidy(tone)] if tone else [])])


def place_of(directory: Path, path: Path | str) -> Place:
    """From any of a recording's files, absolute or relative. ValueError when it is none by its name."""
    stem = Path(path).name.rpartition(".")[0]
    if start_of(stem) is None:
        raise ValueError(f"{path}: expected a recording's name, YYYY-MM-DD_HHMM_SS_SOURCE.FORM")
    return Place(directory, stem)


def start_of(stem: str) -> int | None:
    """Unix microseconds of the second that a name begins with; None when it is no recording's name."""
    match = _STEM.fullmatch(stem)
    if match is None:
        return None
    try:
        # strptime takes twenty times as long, which counts where a million names are read.
        year, month, day, hour, minute, second = (int(match[1][at]) for at in _FIELDS)
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return (when - _EPOCH) // timedelta(microseconds=1)


def source_of(stem: str) -> str:
    """SOURCE[_TONE] of a name, as it stands there."""
    match = _STEM.fullmatch(stem)
    return match[2] if match else ""


def tidy(text: str) -> str:
    """A part of a file's name: letters, digits, dot, dash and underscore; never empty, hidden or a way up."""
    return _ODD.sub("-", text).strip(".-")[:_LONGEST].rstrip(".-") or "x"


def make_folder(folder: Path) -> None:
    """A folder and what is missing above it, for the service and its group. Raises OSError."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(_FOLDER_MODE, exist_ok=True)
        leave_to_owner(missing)
