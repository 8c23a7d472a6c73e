"""Which recordings are being written: a marker for each, so that what a crash left half-written is found at
once, without reading an archive of a million recordings.

    DIRECTORY/.open/2026-11-21_1200_07_porch    "BOOT_ID PID START_TIME" of the process that writes it,
                                                 and why it needs repair, where a process repairs it

The marker is there before the audio file, and goes after the last word about it is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.archive.file_names import make_folder, start_of
from echostream.archive.raw_file import leave_to_owner
from echostream.audio.device_ports import GapCause

FOLDER: Final = ".open"
_BESIDE: Final = ".new"
_LOCK: Final = ".lock"
_BOOT: Final = ".boot"
_MODE: Final = 0o640
_STAMP: Final = len("2026-11-21")


@dataclass(frozen=True, slots=True)
class Boot:
    """The start of the machine, as the archive has seen it. first_us: Unix microseconds at which something
    first looked in here since; new: that is now."""

    first_us: int
    new: bool

    def cut(self, end_us: int) -> bool:
        """Whether what ended at `end_us` without an end of its own ended with the machine."""
        return self.new or end_us <= self.first_us


@dataclass(frozen=True, slots=True)
class HalfWritten:
    """What a process that is gone left behind. stem: name of the recording without its form."""

    stem: str
    cause: GapCause

    @property
    def date(self) -> str:
        return self.stem[:_STAMP]

    def meta_path(self, directory: Path) -> Path:
        return directory / self.date / ".meta" / f"{self.stem}.json"


class OpenMarks:
    """The markers of one process. All methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._folder = directory / FOLDER
        self._words = f"{boot_id()} {os.getpid()} {_start_time(os.getpid())}".encode()

    def put(self, stem: str) -> None:
        """It is about to be written."""
        try:
            self._write(stem, self._words)
        except FileNotFoundError:
            make_folder(self._folder)
            self._write(stem, self._words)

    def claim(self) -> list[HalfWritten]:
        """What dead processes left, oldest first: ours to repair from now on, and of no other process."""
        with one_at_a_time(self._folder.parent):
            found = half_written(self._folder.parent)
            self._sweep()
            for one in found:
                self._write(one.stem, self._words + f" {one.cause}".encode())
        return found

    def note_boot(self, now_us: int) -> Boot:
        """Which start of the machine this is. The wall clock, which is often wrong at first, does not say
        whether there was one in between. now_us: Unix microseconds."""
        with one_at_a_time(self._folder.parent):
            try:
                boot, first_us = (self._folder / _BOOT).read_text("ascii", "replace").split()
                if boot == boot_id():
                    return Boot(int(first_us), new=False)
            except (FileNotFoundError, ValueError):
                pass  # nobody looked in here before, or the power went while somebody did
            self._write(_BOOT, f"{boot_id()} {now_us}".encode())
        return Boot(now_us, new=True)

    def _write(self, stem: str, words: bytes) -> None:
        # Beside, then renamed: a kill in between must not leave a marker that says nothing.
        beside = self._folder / f".{os.getpid()}-{threading.get_ident()}{_BESIDE}"
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
        try:
            os.write(handle, words)
        finally:
            os.close(handle)
        leave_to_owner(beside)
        beside.replace(self._folder / stem)

    def _sweep(self) -> None:
        """What a kill left beside the markers."""
        for beside in self._folder.glob(f".*{_BESIDE}"):
            pid = beside.name[1:].partition("-")[0]
            if pid.isdigit() and not Path(f"/proc/{pid}").exists():
                beside.unlink(missing_ok=True)

    def remove(self, stem: str) -> None:
        """It is whole, or is not there at all."""
        (self._folder / stem).unlink(missing_ok=True)


def half_written(directory: Path) -> list[HalfWritten]:
    """What dead processes left, oldest first. What a live one writes is left alone. Raises OSError."""
    found = []
    for stem in _names(directory / FOLDER):
        cause = _fate(directory / FOLDER / stem)
        if cause is not None:
            found.append(HalfWritten(stem, cause))
    return sorted(found, key=lambda one: one.stem)


def being_written(directory: Path) -> set[str]:
    """Names, without the form, of what live processes write now. Raises OSError."""
    return {stem for stem in _names(directory / FOLDER) if _fate(directory / FOLDER / stem) is None}


def marked(directory: Path) -> set[str]:
    """Names, without the form, of what is being written or was left half-written. Raises OSError."""
    return set(_names(directory / FOLDER))


@contextlib.contextmanager
def one_at_a_time(directory: Path) -> Iterator[None]:
    """Held by whoever looks for what to repair: two that start at once take turns. Raises OSError."""
    make_folder(directory / FOLDER)
    handle = os.open(directory / FOLDER / _LOCK, os.O_RDWR | os.O_CREAT, _MODE)
    leave_to_owner(directory / FOLDER / _LOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def boot_id() -> str:
    """Changes with each start of the machine."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if start_of(name) is not None]
    except FileNotFoundError:
        return []


def _fate(marker: Path) -> GapCause | None:
    """Why its writer is gone; None: it is not, or the marker just went."""
    try:
        boot, pid, start_time, *claimed = marker.read_text(errors="replace").split(" ", 3)
    except FileNotFoundError:
        return None
    except ValueError:
        return "power cut"  # what a marker said is lost with the power as well
    if not (pid.isascii() and pid.isdigit()):
        return "power cut"
    if boot == boot_id() and _start_time(int(pid)) == start_time:
        return None
    if claimed == ["killed"]:  # whoever was to repair it is gone as well; why it has to be is known
        return "killed"
    return "power cut" if boot != boot_id() or claimed else "killed"


def _start_time(pid: int) -> str:
    """When a process began, in ticks since boot: a number that a later process of the same id does not share.
    "" when there is none (proc_pid_stat(5), field 22)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
