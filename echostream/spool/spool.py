"""What waits to be delivered, on the disk: written before anybody is told, gone when it has arrived.

Bounded. When there is no room the least important goes first, the oldest of those.

SQLite of the standard library: one file, rows that survive `kill -9` and a power cut once committed
(https://www.sqlite.org/wal.html; with synchronous=FULL each commit is on the medium when it returns).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from echostream.errors import SpoolUnavailable
from echostream.spool import salvage
from echostream.spool.file import BROKEN, bytes_of, is_broken, open_file, rows
from echostream.spool.item import Item

__all__ = ["Item", "Spool"]

log = logging.getLogger(__name__)
T = TypeVar("T")

EVICT_ROWS: Final = 64
_COLUMNS: Final = "number, at_us, weight, lane, key, body"


class Spool:
    """One file. Methods may be called from any thread and raise SpoolUnavailable when the disk refuses.

    A broken file is moved aside and begun anew; what can be read of it is kept.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        """most_bytes: of what waits; the file itself takes somewhat more."""
        self.path = path
        self.dropped = 0
        """How many gave way since it was opened."""
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._count = 0
        self._bytes = 0
        with self._lock:
            self._open()

    def put(self, items: Sequence[Item]) -> list[Item]:
        """All of them or none, on the disk itself when this returns; with their numbers, which only rise.

        What finds no room beside weightier ones is returned too, and is not there.
        """
        if not items:
            return []
        return self._do("write", lambda file: self._put(file, [replace(item, number=0) for item in items]))

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]:
        """Those with higher numbers, in their order."""
        question = f"SELECT {_COLUMNS} FROM items WHERE number > ? ORDER BY number LIMIT ?"
        return self._do("read", lambda file: rows(file.execute(question, (after, limit))))

    def done(self, numbers: Sequence[int]) -> None:
        """They have arrived. Numbers that are not there are no error: they gave way meanwhile."""
        if numbers:
            self._do("write", lambda file: self._remove(file, numbers))

    @property
    def count(self) -> int:
        """How many wait."""
        return self._count

    @property
    def bytes_waiting(self) -> int:
        """What they take of the bound."""
        return self._bytes

    def close(self) -> None:
        """The disk has it all already; nothing is possible afterwards."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- inside, under the lock

    def _do(self, verb: str, action: Callable[[sqlite3.Connection], T]) -> T:
        """Once more, on a new file, when this one turns out to be broken."""
        with self._lock:
            for attempt in (1, 2):
                if self._file is None:
                    raise SpoolUnavailable(f"{self.path}: the spool is closed")
                try:
                    with self._file:
                        return action(self._file)
                except sqlite3.Error as error:
                    if attempt == 2 or not is_broken(error):
                        raise SpoolUnavailable(f"{self.path}: cannot {verb}: {error}") from error
                    self._begin_anew(str(error))
                finally:
                    self._measure()
            raise AssertionError("unreachable")

    def _open(self) -> None:
        try:
            self._file = open_file(self.path)
        except sqlite3.Error as error:
            if not is_broken(error):
                raise SpoolUnavailable(
                    f"{self.path}: {error}: its folder must be writable and have room"
                ) from error
            self._begin_anew(str(error))
        self._measure()

    def _begin_anew(self, why: str) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        kept = salvage.readable(self.path)
        salvage.move_aside(self.path)
        try:
            self._file = open_file(self.path)
            with self._file:
                self._put(self._file, kept)
        except sqlite3.Error as error:
            raise SpoolUnavailable(f"{self.path}: cannot be begun anew: {error}") from error
        log.error(
            "%s is damaged (%s); it is now %s%s, and %d entries that could be read are kept",
            self.path, why, self.path.name, BROKEN, len(kept),
        )  # fmt: skip

    def _measure(self) -> None:
        """What waits, as the file has it: a transaction that failed changed nothing."""
        if self._file is not None:
            try:
                self._count, self._bytes = bytes_of(self._file)
            except sqlite3.Error as error:
                log.debug("%s: cannot be measured: %s", self.path, error)

    def _put(self, file: sqlite3.Connection, items: Sequence[Item]) -> list[Item]:
        numbered = []
        for item in items:
            row = (item.number or None, item.at_us, item.weight, item.lane, item.key, item.body, item.bytes)
            cursor = file.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            number = cursor.lastrowid or 0
            numbered.append(replace(item, number=number))
        file.execute(
            "UPDATE totals SET count = count + ?, bytes = bytes + ?",
            (len(items), sum(item.bytes for item in items)),
        )
        self._make_room(file)
        return numbered

    def _make_room(self, file: sqlite3.Connection) -> None:
        excess = bytes_of(file)[1] - self._most_bytes
        gone: list[int] = []
        while excess > 0:
            least = file.execute(
                "SELECT number, size FROM items ORDER BY weight, number LIMIT ? OFFSET ?",
                (EVICT_ROWS, len(gone)),
            ).fetchall()
            if not least:
                break
            for number, size in least:
                if excess <= 0:
                    break
                gone.append(number)
                excess -= size
        if gone:
            self._remove(file, gone)
            self.dropped += len(gone)

    def _remove(self, file: sqlite3.Connection, numbers: Sequence[int]) -> None:
        count = size = 0
        for number in numbers:
            for (taken,) in file.execute("DELETE FROM items WHERE number = ? RETURNING size", (number,)):
                count += 1
                size += taken
        file.execute("UPDATE totals SET count = count - ?, bytes = bytes - ?", (count, size))
