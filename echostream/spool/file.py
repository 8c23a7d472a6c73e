"""The SQLite file of a spool: its tables, and what says that it is broken."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from echostream.spool.item import Item

BROKEN: Final = ".broken"
"""What is put behind the name of a damaged file. One is kept, for whoever wants to know why."""
PARTS: Final = ("", "-wal", "-shm")
FILE_MODE: Final = 0o640
FOLDER_MODE: Final = 0o750
VERSION: Final = 1
BUSY_S: Final = 5.0
WAL_BYTES: Final = 4_000_000

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS items (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    at_us INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    lane TEXT NOT NULL,
    key TEXT NOT NULL,
    body BLOB NOT NULL,
    size INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_weight ON items (weight, number, size);
CREATE TABLE IF NOT EXISTS totals (only INTEGER PRIMARY KEY CHECK (only = 1), count INTEGER, bytes INTEGER);
INSERT OR IGNORE INTO totals VALUES (1, 0, 0);
PRAGMA user_version = 1;
"""
# AUTOINCREMENT: a number is never given twice, so a late "done" cannot meet a newer item.


class DamagedFile(sqlite3.DatabaseError):
    """It opens, and holds not what a spool holds."""


def open_file(path: Path) -> sqlite3.Connection:
    """Open it, or make it and its folder. Raises sqlite3.Error: `is_broken` says if the file is to blame."""
    if not path.exists():
        try:
            path.parent.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, FILE_MODE))
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error
    file = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
        if file.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            _make(file)
        (verdict,) = file.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DamagedFile(verdict)
        bytes_of(file)
    except BaseException:
        file.close()
        raise
    return file


def _make(file: sqlite3.Connection) -> None:
    names = file.execute("SELECT name FROM sqlite_master WHERE name = 'items'").fetchall()
    if names and file.execute("PRAGMA user_version").fetchone()[0] != 0:
        raise DamagedFile("a newer version of EchoStream made it")
    file.executescript(_TABLES)


def bytes_of(file: sqlite3.Connection) -> tuple[int, int]:
    """How many items there are, and what they take of the bound."""
    row = file.execute("SELECT count, bytes FROM totals").fetchone()
    if row is None:
        raise DamagedFile("the totals are missing")
    return int(row[0]), int(row[1])


def rows(found: Iterable[tuple[int, int, int, str, str, bytes]]) -> list[Item]:
    """number, at_us, weight, lane, key, body."""
    return [Item(at_us, weight, lane, key, body, number) for number, at_us, weight, lane, key, body in found]


def is_broken(error: sqlite3.Error) -> bool:
    """The file is damaged, or is none: not the disk's refusal, which may pass."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return True
    return isinstance(error, DamagedFile)
