"""Recordings as they are on the disk, with tables of what is known of them, in one ZIP."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import IO, Final

from echostream.archive.recording import Recording
from echostream.archive_tools.sound_out import new_file
from echostream.archive_tools.tables_out import gaps_csv, recordings_csv, tones_csv
from echostream.archive_tools.times import moment
from echostream.errors import ArchiveError

_COPY_BYTES: Final = 1 << 20
_OLDEST: Final = (1980, 1, 1, 0, 0, 0)
"""A ZIP knows no earlier time."""


def write_zip(
    path: Path, directory: Path, recordings: list[Recording], done: Callable[[float], None]
) -> list[str]:
    """Write it; what could not be read, or is not what was recorded, is returned. ArchiveError.

    done: called with the seconds of sound that are in it.
    """
    faults = []
    seconds = 0.0
    try:
        with new_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as whole:
            for one in recordings:
                fault = _put(whole, directory, one)
                if fault:
                    faults.append(fault)
                seconds += one.duration_us / 1e6
                done(seconds)
            for name, table in (("recordings", recordings_csv), ("gaps", gaps_csv), ("tones", tones_csv)):
                whole.writestr(_entry(f"{name}.csv", recordings[-1], deflated=True), table(recordings))
    except OSError as error:
        raise ArchiveError(f"{path}: cannot be written: {error.strerror or error}") from None
    return faults


def _put(whole: zipfile.ZipFile, directory: Path, one: Recording) -> str:
    """Copy a recording; says what is wrong with it, or ""."""
    source = directory / one.path
    try:
        file = source.open("rb")
    except OSError as error:
        return f"{source}: {error.strerror or error}"
    digest = hashlib.sha256()
    with file, whole.open(_entry(one.path, one), "w", force_zip64=True) as into:
        shutil.copyfileobj(_Hashed(file, digest.update), into, _COPY_BYTES)
    if one.sha256 and digest.hexdigest() != one.sha256:
        return f"{source}: is not what was recorded (SHA-256 {digest.hexdigest()}, was {one.sha256})"
    return ""


class _Hashed:
    """A file of which each byte that is read is also told."""

    def __init__(self, file: IO[bytes], tell: Callable[[bytes], object]) -> None:
        self._file, self._tell = file, tell

    def read(self, count: int = -1) -> bytes:
        """As files do."""
        data = self._file.read(count)
        self._tell(data)
        return data


def _entry(name: str, one: Recording, deflated: bool = False) -> zipfile.ZipInfo:
    """With the time at which it was recorded, UTC."""
    when = max(_OLDEST, moment(one.start_us, UTC).timetuple()[:6])
    entry = zipfile.ZipInfo(name, when)
    entry.external_attr = 0o640 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    return entry
