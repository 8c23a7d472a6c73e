"""The files of an archive, as the index sees them: which there are, which changed, and what each says.

A day whose folders have not changed since it was last read is not read again, nor a meta file of a changed
day that is as old as its row says: a million recordings are compared in the time of listing one day.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from echostream.archive.file_names import FORMS, META_FOLDER, Place
from echostream.archive.meta_files import read_meta
from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.archive.recording import Recording
from echostream.errors import IndexUnavailable

log = logging.getLogger(__name__)

ARCHIVE_ID: Final = "archive-id"
GONE: Final = ".gone"
"""What a meta file is called while its recording is being deleted."""
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d")
_ID: Final = re.compile(r"[0-9a-f]{32}")
_SETTLED_NS: Final = 2_000_000_000
"""A folder that changed more recently may change again within the same tick of its clock."""

_LIVELY_S: Final = 86_400 + 3600
"""A day's folder may still be written into for so long after it began to be old."""


def archive_id(directory: Path) -> str:
    """Names this folder among those of a site: 32 hex digits in DIRECTORY/archive-id, made when missing.

    Raises IndexUnavailable.
    """
    path = directory / ARCHIVE_ID
    try:
        for _ in range(2):
            if not path.exists():
                _name_once(path)
            found = path.read_text("ascii", "replace").strip()
            if _ID.fullmatch(found):
                return found
            path.unlink(missing_ok=True)  # the power went before it was on the disk
    except OSError as error:
        raise IndexUnavailable(
            f"{path}: {error.strerror}: the folder must be there, writable by whoever runs this"
        ) from None
    raise IndexUnavailable(f"{path}: expected 32 hex digits; remove it, and it is made anew")


def _name_once(path: Path) -> None:
    """Made whole beside, then linked: of several who do it at once the first one's counts, and nobody reads
    half of it. Raises OSError."""
    beside = path.with_name(f".{ARCHIVE_ID}-{secrets.token_hex(4)}.new")
    number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        with open(number, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(number)
        leave_to_owner(beside)
        try:
            os.link(beside, path)
        except FileExistsError:
            pass
        except OSError:  # a USB stick's file system knows no links
            if not path.exists():
                beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Day:
    """One day's folders. mtimes: of DATE and DATE/.meta, 0 where it is missing."""

    name: str
    audio_mtime_ns: int
    meta_mtime_ns: int

    def settled(self, now_ns: int) -> bool:
        """Whether what was seen of it is sure to be all."""
        return max(self.audio_mtime_ns, self.meta_mtime_ns) < now_ns - _SETTLED_NS


@dataclass(slots=True)
class Listing:
    """What lies in a day's folders. metas: meta file's name -> its mtime; audio: names; gone: see GONE."""

    metas: dict[str, int] = field(default_factory=dict)
    audio: set[str] = field(default_factory=set)
    gone: list[str] = field(default_factory=list)


def days(directory: Path) -> list[Day]:
    """All days, the oldest first. Raises OSError when the directory itself cannot be read."""
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in entries if _DAY.fullmatch(entry.name) and entry.is_dir())
    return [
        Day(name, _mtime_ns(directory / name), _mtime_ns(directory / name / META_FOLDER)) for name in names
    ]


def listing(directory: Path, day: str) -> Listing:
    """A day that is removed meanwhile is empty. Raises OSError."""
    found = Listing()
    try:
        with os.scandir(directory / day) as entries:
            found.audio = {entry.name for entry in entries if entry.name.rpartition(".")[2] in FORMS}
        with os.scandir(directory / day / META_FOLDER) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue  # being written
                if entry.name.endswith(".json"):
                    found.metas[entry.name] = entry.stat().st_mtime_ns
                elif entry.name.endswith(GONE):
                    found.gone.append(entry.name)
    except FileNotFoundError:
        pass
    return found


@dataclass(frozen=True, slots=True)
class MetaFile:
    """One that could be read. recording: None while the name is only held, or when the audio is not there."""

    recording: Recording | None
    mtime_ns: int


def read(meta: Path, audio: Container[str] | None = None) -> MetaFile:
    """A meta file, and how old it is. Raises BrokenFile, OSError.

    audio: names of the audio files beside it, where they are known.
    """
    status = meta.stat()
    if status.st_size == 0:
        return MetaFile(None, status.st_mtime_ns)
    recording = read_meta(meta)
    if recording.state != "open":
        name = recording.path.rpartition("/")[2]
        there = (meta.parents[1] / name).is_file() if audio is None else name in audio
        if not there:
            return MetaFile(None, status.st_mtime_ns)
    return MetaFile(recording, status.st_mtime_ns)


def paths_of(directory: Path, meta: Path) -> list[str]:
    """Every path that a recording with this meta file can have."""
    place = Place(directory, meta.name.rpartition(".")[0])
    return [place.path(form) for form in FORMS]


def finish_deletion(directory: Path, day: str, name: str) -> None:
    """What was being deleted when the power went. Raises OSError."""
    marker = directory / day / META_FOLDER / name
    place = Place(directory, name.removesuffix(GONE))
    if not place.meta.exists():
        place.delete()
    marker.unlink(missing_ok=True)


def delete(directory: Path, path: str) -> None:
    """Delete a recording's files: audio, waveform, meta file, and the day's folder when it is empty then.

    The power may go at any moment: what was begun is finished when the index is next compared with the files.
    Raises OSError.
    """
    place = Place(directory, Path(path).name.rpartition(".")[0])
    marker = place.meta.with_suffix(GONE)
    with contextlib.suppress(FileNotFoundError):  # audio without a meta file
        place.meta.replace(marker)
    place.delete()
    marker.unlink(missing_ok=True)
    if place.folder.name >= time.strftime("%Y-%m-%d", time.gmtime(time.time() - _LIVELY_S)):
        return  # somebody may be about to write into it
    for folder in (place.meta.parent, place.folder):
        try:
            folder.rmdir()
        except OSError:
            return  # not empty


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def now_ns() -> int:
    """The clock that a folder's times are of."""
    return time.time_ns()
