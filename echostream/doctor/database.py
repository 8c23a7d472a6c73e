"""Group `network`, third part: the site's PostgreSQL, where the index is kept there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from echostream.config.secrets import read_secret
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import IndexUnavailable, SecretError

ANSWERS: Final = Kind(
    "network.database", Level.OK, "the database at {where} answers within {ms:.0f} ms (PostgreSQL {version})"
)
AWAY: Final = Kind(
    "network.no_database",
    Level.WARNING,
    "the index cannot be reached: {why}",
    "is the address right, does PostgreSQL let this machine in (pg_hba.conf)? Recordings go on; they are "
    "listed when it is back",
)
SECRET: Final = Kind("network.database_secret", Level.NOTE, "not tried: {why}", "see the group configuration")
PLACE: Final = "recording.database"


def checks(world: World) -> list[Check]:
    """Of the group `network`."""
    config = world.config
    if config is None or not config.recording.enabled or config.recording.database is None:
        return []
    return [Check("network", "database", _database, within_s=20.0)]


def _database(world: World) -> list[Finding]:
    from echostream.index.engine import (  # SQLAlchemy: only where it is asked
        address,
        make_engine,
        transaction,
    )

    config = world.config
    assert config is not None
    assert config.recording.database is not None
    began_s = time.monotonic()
    try:
        url = address(Path(config.recording.directory), read_secret(config.recording.database, PLACE))
        engine = make_engine(url)
        try:
            with transaction(engine) as connection:
                version = str(connection.exec_driver_sql("SHOW server_version").scalar())
        finally:
            engine.dispose()
    except SecretError as error:
        return [SECRET.at(PLACE, why=str(error).removeprefix(f"{PLACE}: "))]
    except IndexUnavailable as error:
        return [AWAY.at(PLACE, why=error)]
    ms = 1000 * (time.monotonic() - began_s)
    where = f"{url.host or 'this machine'}:{url.port or 5432}"
    return [ANSWERS.at(PLACE, where=where, ms=ms, version=version.split(" ")[0])]
