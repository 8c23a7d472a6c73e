"""A PostgreSQL server of the tests' own: made of the installed binaries, on a free port, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "only-for-tests"


def binaries() -> Path | None:
    """Where initdb and postgres are; Debian keeps them off the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@contextmanager
def server() -> Iterator[str]:
    """The address of an empty server: postgresql://echostream:...@127.0.0.1:PORT/postgres."""
    where = binaries()
    assert where is not None, "PostgreSQL is missing: scripts/setup.sh dev installs it"
    folder = Path(tempfile.mkdtemp(prefix="echostream-pg-", dir="/tmp"))
    port = _free_port()
    try:
        user = _user(folder)
        _run(where, user, folder, "initdb", *_initdb_options(folder))
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        start = ("-D", str(folder / "data"), "-l", str(folder / "log"), "-o", options, "-w", "-t", "60")
        _run(where, user, folder, "pg_ctl", "start", *start)
        try:
            yield f"postgresql://echostream:{PASSWORD}@127.0.0.1:{port}/postgres"
        finally:
            _run(where, user, folder, "pg_ctl", "stop", "-D", str(folder / "data"), "-m", "immediate")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _initdb_options(folder: Path) -> list[str]:
    password = folder / "password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o644)
    encoding = ("-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    return [
        "-D",
        str(folder / "data"),
        "-U",
        "echostream",
        "-A",
        "scram-sha-256",
        f"--pwfile={password}",
        *encoding,
    ]


def _user(folder: Path) -> str | None:
    """PostgreSQL refuses to run as root: whom it runs as then."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    shutil.chown(folder, user)
    return user


def _run(where: Path, user: str | None, folder: Path, program: str, *args: str) -> None:
    # What it says goes into a file: the server keeps a pipe open, and would be waited for.
    said = folder / f"{program}.txt"
    with said.open("wb") as output:
        done = subprocess.run(
            [str(where / program), *args],
            user=user,
            extra_groups=[] if user else None,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, f"{program}: {said.read_text(errors='replace')[-2000:]}"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
