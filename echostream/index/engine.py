"""The database behind the index: how it is reached, and how a transaction begins in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from echostream.errors import IndexCorrupt, IndexUnavailable

BUSY_S: Final = 10.0
"""How long one waits for another who writes: a batch of some hundred recordings."""
CONNECT_S: Final = 3
_ANSWER_MS: Final = 60_000
"""PostgreSQL ends what takes longer than this."""


class IndexContended(IndexUnavailable):
    """Another process wrote the same at the same moment: it works when it is done again."""


def address(path: Path, database_url: str | None) -> sa.URL:
    """Where the index is: in the SQLite file `path`, or in PostgreSQL.

    Raises IndexUnavailable for an address that is none; never shows its password.
    """
    if database_url is None:
        return sa.URL.create("sqlite", database=str(path))
    try:
        url = sa.make_url(database_url.strip())
    except (sa.exc.ArgumentError, ValueError):
        raise IndexUnavailable(
            "the address of the database does not read: postgresql://USER:PASSWORD@HOST:5432/NAME is wanted"
        ) from None
    if url.get_backend_name() not in {"postgresql", "postgres"}:
        raise IndexUnavailable(
            f'the address of the database begins with "{url.drivername}://": only postgresql:// is known'
        )
    return url.set(drivername="postgresql+psycopg")


def make_engine(url: sa.URL) -> Engine:
    """An engine for some threads of one process. Nothing is opened yet."""
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": BUSY_S}, pool_size=4, max_overflow=8)
        sa.event.listen(engine, "connect", _sqlite_connected)
        sa.event.listen(engine, "begin", _sqlite_begins)
        return engine
    # A plan that is made once for every word walks through a million rows for a rare one.
    options = f"-c statement_timeout={_ANSWER_MS} -c plan_cache_mode=force_custom_plan"
    return sa.create_engine(
        url,
        connect_args={
            "connect_timeout": CONNECT_S,
            "options": options,
            "application_name": "echostream",
            # A server that vanished is known as gone after a quarter of a minute, not of an hour.
            "keepalives_idle": 10,
            "keepalives_interval": 3,
            "keepalives_count": 2,
            "tcp_user_timeout": 15_000,
        },
        pool_size=1,  # of a site's many gateways each holds one connection
        max_overflow=8,
        pool_pre_ping=True,
    )


def _sqlite_connected(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver begins no transaction by itself: _sqlite_begins does
    for pragma in (
        "journal_mode=WAL",  # who reads does not wait for who writes, nor the other way
        "synchronous=NORMAL",  # a power cut may cost the last rows, never the file; the files tell them again
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-8000",
        "journal_size_limit=33554432",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begins(connection: Connection) -> None:
    # One that reads first and then writes could not wait for another writer: it says at once which it is.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def transaction(engine: Engine, writes: bool = False) -> Iterator[Connection]:
    """A connection within one transaction. Raises IndexUnavailable (or IndexCorrupt) for what goes wrong."""
    try:
        with engine.connect().execution_options(writes=writes) as connection, connection.begin():
            yield connection
    except (sa.exc.SQLAlchemyError, sqlite3.Error) as error:
        raise explained(engine, error) from error


def explained(engine: Engine, error: Exception) -> IndexUnavailable:
    """What went wrong, in words that name the place."""
    url = engine.url
    original = getattr(error, "orig", None) or error
    text = " ".join(str(original).split())
    if url.get_backend_name() != "sqlite":
        contended = ("UniqueViolation", "DeadlockDetected", "SerializationFailure", "LockNotAvailable")
        kind = IndexContended if type(original).__name__ in contended else IndexUnavailable
        place = f"PostgreSQL at {url.host or 'this machine'}:{url.port or 5432}, database {url.database!r}"
        return kind(f"{place}: {text}")
    place = str(url.database)
    corrupt = ("malformed", "not a database", "corrupt", "file is encrypted", "disk image")
    if isinstance(original, sqlite3.DatabaseError) and any(word in text for word in corrupt):
        return IndexCorrupt(f"{place}: {text}")
    if "readonly" in text or "unable to open" in text:
        text += ": the folder must be writable by whoever runs this (the user of the service, or sudo)"
    return IndexUnavailable(f"{place}: {text}")


def tidy_up(engine: Engine) -> None:
    """Take statistics for the planner, and merge what the full-text index is made of: some seconds."""
    statements = ["ANALYZE"]
    if engine.dialect.name == "sqlite":
        statements = [
            "PRAGMA analysis_limit=1000",
            "ANALYZE",
            "INSERT INTO recording_words(recording_words, rank) VALUES ('merge', 2000)",
        ]
    with transaction(engine, writes=True) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def look_over(engine: Engine) -> None:
    """Read a little of each table of an SQLite file. Raises IndexCorrupt for what shows at once.

    A check of the whole would take seconds for a million recordings; what hides longer shows when it is read.
    """
    with transaction(engine) as connection:
        for table in ("devices", "recordings", "gaps", "tone_events", "uploads", "folders", "events"):
            connection.exec_driver_sql(f"SELECT * FROM {table} LIMIT 1").all()
        connection.exec_driver_sql("SELECT number FROM recordings ORDER BY number DESC LIMIT 1").all()
        connection.exec_driver_sql("SELECT rowid FROM recording_words WHERE recording_words MATCH 'a'").all()
