"""The log's files: one for each day (UTC), appended to by several processes at once, and never changed.

    log/2026-11-21.jsonl   a line for each event (lines.py)
    log/.lock              who appends holds it; in it the number of the last event, and of which boot

A line is on the disk itself when `append` returns. A line that a power cut tore is cut off by whoever appends
next. The number is the order of writing: a clock that steps back a year changes which file an event is in,
and nothing else.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.event_log.backwards import last_lines, lines_backwards
from echostream.event_log.lines import MOST_BYTES, Logged, day_of, decode, encode
from echostream.notices.notice import Notice

log = logging.getLogger(__name__)

FOLDER: Final = "log"
SUFFIX: Final = ".jsonl"
_LOCK: Final = ".lock"
_LOCKED_S: Final = 5.0
"""Who holds the lock longer than this was stopped in the middle of it."""
_TRY_S: Final = 0.01
_COUNTER: Final = re.compile(rb"(\d{1,19}) (\S*)\s*")
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d\.jsonl")
_FOLDER_MODE: Final = 0o750


def log_directory(directory: Path | str) -> Path:
    """Where the files are, of events.directory."""
    return Path(directory) / FOLDER


def day_files(directory: Path) -> list[Path]:
    """All of them, by their days; none where there is no log. OSError."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return [directory / name for name in sorted(names) if _DAY.fullmatch(name)]


class LogFiles:
    """Appends. One thread; other processes, and other objects of it, take turns by the lock."""

    def __init__(
        self, directory: Path, gateway_id: str = "", stopping: threading.Event | None = None
    ) -> None:
        """directory: of the day's files; made when the first event comes. stopping: of the thread."""
        self.directory = directory
        self._gateway_id = gateway_id
        self._stopping = stopping or threading.Event()

    def append(self, notices: Sequence[Notice]) -> list[Logged]:
        """All of them, or with an OSError none."""
        self._make_directory()
        with self._locked() as lock:
            number = self._last_number(lock)
            logged = [Logged(number + at, self._gateway_id, one) for at, one in enumerate(notices, 1)]
            # First: a number that was given and not used is a gap, one that is given twice a riddle.
            os.pwrite(lock, b"%019d %s\n" % (number + len(notices), _boot()), 0)
            self._write(logged)
        return logged

    def _make_directory(self) -> None:
        if self.directory.is_dir():
            return
        for folder in (self.directory.parent, self.directory):
            try:
                folder.mkdir(_FOLDER_MODE, parents=True)
            except FileExistsError:
                continue
            leave_to_owner(folder)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        path = self.directory / _LOCK
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            leave_to_owner(path)
            self._take(lock, path)
            yield lock
        finally:
            os.close(lock)  # and with it the lock goes

    def _take(self, lock: int, path: Path) -> None:
        waited_s = 0.0
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            if waited_s >= _LOCKED_S:
                raise OSError(errno.ETIMEDOUT, "another process holds it and does not let go", str(path))
            # A stop does not shorten it: whoever holds it is done in milliseconds.
            threading.Event().wait(_TRY_S) if self._stopping.is_set() else self._stopping.wait(_TRY_S)
            waited_s += _TRY_S

    def _last_number(self, lock: int) -> int:
        """Of this boot the counter says it; after a power cut the files do: the counter may be behind."""
        found = _COUNTER.fullmatch(os.pread(lock, 100, 0))
        number = int(found[1]) if found else 0
        if found and found[2] == _boot() and found[2]:
            return number
        return max([number, *(last_number(path) for path in day_files(self.directory))])

    def _write(self, logged: Sequence[Logged]) -> None:
        days: dict[str, list[bytes]] = {}
        for one in logged:
            days.setdefault(day_of(one.notice.at_us), []).append(encode(one))
        made = False
        with ExitStack() as stack:
            written: list[tuple[int, int]] = []
            try:
                for day, lines in days.items():
                    path = self.directory / (day + SUFFIX)
                    made = made or not path.exists()
                    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
                    stack.callback(os.close, file)
                    leave_to_owner(path)
                    written.append((file, _mended(file, path)))
                    _put(file, b"".join(lines))
                for file, _ in written:
                    os.fsync(file)
                if made:
                    _sync_folder(self.directory)
            except OSError:
                for file, size in written:
                    os.ftruncate(file, size)
                raise


def counter(directory: Path) -> bytes | None:
    """Changes with each append, shortly before it; None where it cannot be read."""
    try:
        return (directory / _LOCK).read_bytes()
    except OSError:
        return None


def first_number(path: Path) -> int:
    """Of the first line that reads; 0 where there is none. OSError."""
    with path.open("rb") as file:
        for line in file:
            try:
                return decode(line).number
            except ValueError:
                continue
    return 0


def last_number(path: Path) -> int:
    """Of the last line that reads; 0 where there is none. OSError."""
    with path.open("rb") as file:
        for line in lines_backwards(file):
            try:
                return decode(line).number
            except ValueError:
                continue
    return 0


def _mended(file: int, path: Path) -> int:
    """The size of a file whose last line is whole. Whoever calls holds the lock: nobody is writing it."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return size
    with os.fdopen(os.dup(file), "rb") as reader:
        torn = last_lines(reader, size, MOST_BYTES)
    try:
        decode(torn)
    except ValueError:
        os.ftruncate(file, size - len(torn))
        log.warning("%s: a line that was torn by a power cut is cut off (%d bytes)", path, len(torn))
        return size - len(torn)
    _put(file, b"\n")
    return size + 1


def _put(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:  # a disk that is nearly full takes less
        view = view[os.write(file, view) :]


def _sync_folder(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _boot() -> bytes:
    """Which boot this is; empty where the kernel does not say."""
    try:
        return _BOOT.read_bytes().strip()
    except OSError:
        return b""
