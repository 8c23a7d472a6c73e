"""Each test of the index runs in SQLite and in PostgreSQL, each time in an empty one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import postgres
import pytest
import sqlalchemy as sa

from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import open_index


@pytest.fixture(scope="session", autouse=True)  # before a module counts the processes that there are
def postgres_server() -> Iterator[str | None]:
    """One server for all of them; None where PostgreSQL is not installed."""
    if postgres.binaries() is None:
        yield None
        return
    with postgres.server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str | None) -> Iterator[str]:
    """A database of its own."""
    if postgres_server is None:
        pytest.skip("PostgreSQL is not installed (scripts/setup.sh dev does, where it may)")
    name = f"t{uuid.uuid4().hex}"
    url = sa.make_url(postgres_server).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield f"{postgres_server.rsplit('/', 1)[0]}/{name}"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """None: SQLite beside the recordings."""
    if request.param == "sqlite":
        return None
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def index(tmp_path: Path, database_url: str | None) -> Iterator[ArchiveIndex]:
    """An empty one over an empty folder."""
    with open_index(tmp_path, database_url) as opened:
        yield opened
