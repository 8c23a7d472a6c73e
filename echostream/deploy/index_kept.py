"""The index of recordings while a new version is on trial: going back must not leave the version before with
tables that it does not know.

A copy lies beside each SQLite index from the beginning of the trial to its end. It comes back only where the
new version has changed the tables; what was recorded meanwhile the gateway adds from the files themselves.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from echostream.config.load import InvalidConfig, load_config
from echostream.deploy.files import sync_folder
from echostream.deploy.layout import Layout

Say = Callable[[str], None]

NAME: Final = "index.sqlite3"
KEPT: Final = ".before-upgrade"
MOST_BYTES: Final = 1_000_000_000
"""A larger one (millions of recordings) would keep the upgrade, and the disk, busy for minutes."""
SPARE_BYTES: Final = 200_000_000
_PARTS: Final = ("-wal", "-shm", "-journal")
_BUSY_S: Final = 30.0
_PAGES: Final = 2_000


def keep(layout: Layout, say: Say) -> None:
    """Copy each index, unless that was done for this trial already. What cannot be copied is said."""
    for path in _indexes(layout):
        kept = path.with_name(NAME + KEPT)
        if kept.exists() or not path.is_file():
            continue
        size = path.stat().st_size
        if size > MOST_BYTES or shutil.disk_usage(path.parent).free < size + SPARE_BYTES:
            say(f"{path} is not copied: it has {size // 1_000_000} MB")
            continue
        beside = kept.with_name(kept.name + ".new")
        try:
            _copy(path, beside)
            beside.replace(kept)
            sync_folder(kept.parent)
        except (OSError, sqlite3.Error) as error:
            say(f"{path} is not copied: {error}")
        finally:
            beside.unlink(missing_ok=True)


def changed(layout: Layout) -> list[Path]:
    """The indexes whose tables are not those of their copies."""
    found = []
    for path in _indexes(layout):
        kept = path.with_name(NAME + KEPT)
        if kept.is_file() and _revision(path) != _revision(kept):
            found.append(path)
    return found


def put_back(paths: list[Path], say: Say) -> None:
    """No gateway runs meanwhile. OSError."""
    for path in paths:
        for part in _PARTS:
            path.with_name(NAME + part).unlink(missing_ok=True)
        path.with_name(NAME + KEPT).replace(path)
        sync_folder(path.parent)
        say(f"{path} is what it was before: the new version had changed its tables")


def forget(layout: Layout) -> None:
    """The trial is over."""
    for path in _indexes(layout):
        path.with_name(NAME + KEPT).unlink(missing_ok=True)


def _indexes(layout: Layout) -> Iterator[Path]:
    """Where the configurations of this machine have one; a file that does not hold names none."""
    seen = set[str]()
    for path in sorted(layout.config_dir.glob("*.json")):
        try:
            recording = load_config(path).config.recording
        except InvalidConfig:
            continue
        if recording.database is None and recording.directory not in seen:
            seen.add(recording.directory)
            yield layout.below(recording.directory) / NAME


def _copy(source: Path, target: Path) -> None:
    """Consistent, whoever writes meanwhile; for whom the index is."""
    about = source.stat()
    with closing(_open(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new, pages=_PAGES)
        new.execute("PRAGMA journal_mode = DELETE")  # one file, also while it is looked at
    os.chmod(target, about.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(target, about.st_uid, about.st_gid)


def _revision(path: Path) -> str:
    """Of its tables; "" where there are none, or where it does not read."""
    try:
        with closing(_open(path)) as file:
            row = file.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return ""
    return str(row[0]) if row else ""


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S)
