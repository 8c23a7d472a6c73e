"""Opens the index. SQLAlchemy (0.17 s and 15 MB on a small machine) is loaded here, when it is needed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.archive.raw_file import FILE_MODE, leave_to_owner
from echostream.errors import IndexCorrupt, IndexUnavailable

if TYPE_CHECKING:
    from echostream.index.archive_index import ArchiveIndex

log = logging.getLogger(__name__)

FILE_NAME: Final = "index.sqlite3"
BROKEN_KEPT: Final = 2
"""Damaged SQLite files that are kept, for whoever wants to know why."""
_OPENING: Final = threading.Lock()
_PATIENCE_S: Final = 20.0


def open_index(directory: Path, database_url: str | None = None, *, create: bool = True) -> ArchiveIndex:
    """The index of the recordings under `directory`: in SQLite there, or in PostgreSQL at `database_url`.

    Its tables are made, or made today's. create False: one that is not there yet is not made. A damaged
    SQLite file is moved aside; what comes in its place `needs_rebuild`. Raises IndexUnavailable, with place
    and remedy.
    """
    from echostream.index import engine as engines
    from echostream.index import folders, schema
    from echostream.index.archive_index import ArchiveIndex

    path = directory / FILE_NAME
    url = engines.address(path, database_url)
    is_file = url.get_backend_name() == "sqlite"
    is_new = is_file and not path.exists()
    if is_new and not create:
        raise IndexUnavailable(f"{path} is not there: no index was made of these recordings yet")
    archive = folders.archive_id(directory)
    if is_new:
        _touch(path)
    engine = engines.make_engine(url)
    try:
        with _alone(is_file):
            try:
                schema.upgrade(engine)
                if is_file:
                    engines.look_over(engine)
            except IndexCorrupt as error:
                engine.dispose()
                move_aside(directory, str(error))
                _touch(path)
                is_new = True
                engine = engines.make_engine(url)
                schema.upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return ArchiveIndex(engine, directory, archive, needs_rebuild=is_new)


@contextlib.contextmanager
def _alone(is_file: bool) -> Iterator[None]:
    """Of several threads that open a damaged file one moves it aside, and the others find the new one."""
    if not is_file:
        yield
        return
    if not _OPENING.acquire(timeout=_PATIENCE_S):
        raise IndexUnavailable("another index is being opened, and its disk hangs")
    try:
        yield
    finally:
        _OPENING.release()


def move_aside(directory: Path, why: str) -> None:
    """Put a damaged SQLite file where nobody opens it. Raises IndexUnavailable."""
    path = directory / FILE_NAME
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    try:
        for suffix in ("", "-wal", "-shm"):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.replace(path.with_name(f"{path.name}.broken-{stamp}{suffix}"))
        old = sorted(
            {one.name[: one.name.index(".broken-") + 24] for one in path.parent.glob(f"{path.name}.broken-*")}
        )
        for name in old[:-BROKEN_KEPT]:
            for one in path.parent.glob(f"{name}*"):
                one.unlink(missing_ok=True)
    except OSError as error:
        raise IndexUnavailable(f"{path} is damaged ({why}) and cannot be moved aside: {error}") from None
    log.error("index: %s; moved aside (.broken-%s), it is made again from the files", why, stamp)


def _touch(path: Path) -> None:
    """Who spoke when is for the service and its group."""
    try:
        path.touch(FILE_MODE)
        leave_to_owner(path)
    except OSError as error:
        raise IndexUnavailable(f"{path}: {error.strerror}: the folder must be writable") from None
