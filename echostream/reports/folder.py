"""The folder of the daily reports: each day as text, CSV, JSON and a page. The JSON is written last, so what
has one is whole."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Final, TextIO

from echostream.archive.file_names import make_folder
from echostream.archive.raw_file import FILE_MODE, leave_to_owner

FOLDER: Final = "reports"
FORMS: Final = (".txt", ".csv", ".html", ".json")


def reports_directory(events: Path) -> Path:
    """Of events.directory."""
    return events / FOLDER


def days_there(folder: Path) -> list[date]:
    """Days whose report is whole. OSError."""
    found = []
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    for name in names:
        if name.endswith(".json"):
            with suppress(ValueError):
                found.append(date.fromisoformat(name.removesuffix(".json")))
    return sorted(found)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One process at a time makes reports there: two would write the same file. OSError."""
    make_folder(folder)
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def put(folder: Path, name: str, write: Callable[[TextIO], object]) -> None:
    """A file, whole or not at all. OSError."""
    make_folder(folder)
    new = folder / f".{name}.new"
    number = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(number, "w", encoding="utf-8", errors="replace", newline="") as out:
        leave_to_owner(new)
        write(out)
        out.flush()
        os.fsync(out.fileno())
    new.replace(folder / name)


def remove(folder: Path, day: date) -> None:
    """The day's report in every form; the one that says it is whole first. OSError."""
    for form in reversed(FORMS):
        (folder / f"{day}{form}").unlink(missing_ok=True)
