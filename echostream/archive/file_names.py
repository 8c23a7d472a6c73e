"""Names of recordings: by day, readable, for every file system, and never the same twice."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Final

from echostream.archive.segment_file import SegmentFile

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST: Final = 60
_FOLDER_MODE: Final = 0o750
_TRIES: Final = 1000


def tidy(text: str) -> str:
    """A part of a file's name: letters, digits, dot, dash and underscore; never empty, hidden or a way up."""
    return _ODD.sub("-", text).strip(".-")[:_LONGEST] or "x"


def make_folder(folder: Path) -> None:
    """A folder and what is missing above it, for the service and its group. Raises OSError."""
    for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
        missing.mkdir(_FOLDER_MODE, exist_ok=True)


def new_segment(directory: Path, unix_s: float, parts: list[str], rate_hz: int) -> SegmentFile:
    """DIRECTORY/YYYY-MM-DD/HH-MM-SS_PART_PART.wav in local time; "-2" and so on where that is taken.

    Raises OSError.
    """
    when = datetime.fromtimestamp(unix_s).astimezone()
    folder = directory / when.strftime("%Y-%m-%d")
    make_folder(folder)
    stem = "_".join([when.strftime("%H-%M-%S"), *map(tidy, parts)])
    for number in range(1, _TRIES):
        suffix = f"-{number}" if number > 1 else ""
        try:
            return SegmentFile(folder / f"{stem}{suffix}.wav", rate_hz)
        except FileExistsError:
            continue
    raise FileExistsError(f"{folder / stem}.wav: {_TRIES} recordings of that name are there already")
