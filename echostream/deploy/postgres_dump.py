"""An index that is in PostgreSQL, by its own tools: pg_dump and pg_restore (package postgresql-client)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from echostream.deploy.layout import DeployError

PG_DUMP: Final = "pg_dump"
PG_RESTORE: Final = "pg_restore"
LONGEST_S: Final = 3600.0
_TOLD: Final = 400


def dump(url: str, target: Path) -> None:
    """All of the database, in PostgreSQL's own form. Raises DeployError."""
    _run(PG_DUMP, ["--format=custom", "--no-owner", "--no-privileges", f"--file={target}"], url)


def restore(url: str, source: Path) -> None:
    """Make the database what was dumped: all of it, or with a DeployError nothing."""
    words = ["--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction", str(source)]
    _run(PG_RESTORE, words, url)


def _run(program: str, words: list[str], url: str) -> None:
    address, password = without_password(url)
    environment = {**os.environ, **({"PGPASSWORD": password} if password else {}), "PGCONNECT_TIMEOUT": "20"}
    command = [program, "--no-password", f"--dbname={address}", *words]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_S,
        )
    except FileNotFoundError:
        raise DeployError(f"{program} is not installed (apt install postgresql-client)") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeployError(f"{program}: {error}") from None
    if done.returncode != 0:
        raise DeployError(f"{program}: {' '.join(done.stderr.split())[:_TOLD]}")


def without_password(url: str) -> tuple[str, str]:
    """The address as libpq takes it, and the password, which everybody could read on a command line."""
    parts = urlsplit(url)
    scheme = parts.scheme.partition("+")[0]  # postgresql+psycopg://, as SQLAlchemy has it
    user, has_password, password = parts.netloc.rpartition("@")[0].partition(":")
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{user}@{host}" if user else host
    query = f"?{parts.query}" if parts.query else ""
    address = f"{scheme}://{netloc}{parts.path}{query}"  # urlunsplit drops the // of an empty host
    return address, unquote(password) if has_password else ""
