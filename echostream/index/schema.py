"""Brings a database to today's tables: at each start, in a millisecond where there is nothing to do."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from echostream.errors import IndexUnavailable
from echostream.index.engine import transaction

log = logging.getLogger(__name__)

REVISION: Final = "0003"
"""The newest of migrations/versions."""
_LOCK: Final = 0x65636873
"""Two gateways that start at once do not both make PostgreSQL's tables."""
_ONE_AT_A_TIME: Final = threading.Lock()
"""Alembic keeps what it works on in its modules: two databases at once, of an old and a new configuration,
would be mixed up."""
_PATIENCE_S: Final = 10.0


def upgrade(engine: Engine) -> None:
    """Make the tables, or make them today's. Raises IndexUnavailable; a newer EchoStream's are left alone."""
    with transaction(engine) as connection:
        if revision_of(connection) == REVISION:
            return
    with transaction(engine, writes=True) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        found = revision_of(connection)
        if found == REVISION:
            return
        if found is not None and found > REVISION:
            raise IndexUnavailable(
                f"the index was made by a newer EchoStream (tables {found}, this one knows {REVISION}): "
                "update this one"
            )
        migrate(connection, "head")
        if found is None:
            log.info("index: tables made (%s)", REVISION)
        else:
            log.info("index: tables brought from %s to %s", found, REVISION)


def revision_of(connection: Connection) -> str | None:
    """Which tables there are; None: none yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    return found


def migrate(connection: Connection, revision: str) -> None:
    """Run the changes up to `revision` within the connection's transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # what was done, `upgrade` says in one line
    from alembic import command  # 0.09 s and 6 MB, for the day on which the tables change
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    if not _ONE_AT_A_TIME.acquire(timeout=_PATIENCE_S):
        raise IndexUnavailable("another index is being made, and its disk hangs")
    try:
        command.upgrade(config, revision)
    finally:
        _ONE_AT_A_TIME.release()
