"""`echostream backup FILE`: configuration, keys, index, event log and what waits to be told, in one file."""

from __future__ import annotations

import grp
import hashlib
import io
import os
import pwd
import socket
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote

from echostream import __version__
from echostream.config.models import Secret
from echostream.config.secrets import read_secret
from echostream.deploy import postgres_dump
from echostream.deploy.backup_manifest import DATABASES, FILES, NAME, Kept, Manifest
from echostream.deploy.backup_plan import Piece, Plan, plan_of
from echostream.deploy.files import sync_folder
from echostream.deploy.layout import DeployError, Layout
from echostream.errors import SecretError

Say = Callable[[str], None]

_BUSY_S: Final = 30.0
_PAGES: Final = 2_000
"""Of SQLite at a time: whoever writes meanwhile comes in between."""


def backup(layout: Layout, target: Path, recordings: bool, say: Say) -> Manifest:
    """Write it whole, or not at all, readable for its owner alone. Raises DeployError."""
    if target.exists():
        raise DeployError(f"{target} is there already; name another file")
    if any(target.resolve().is_relative_to(one.resolve()) for one in (layout.config_dir, layout.data)):
        raise DeployError(f"{target} lies in what is kept: name a file elsewhere, on another disk at best")
    plan = plan_of(layout, recordings)
    if not plan.pieces:
        raise DeployError(f"{layout.config_dir} and {layout.data} hold nothing: what is to be kept?")
    scratch = target.with_name(target.name + ".new")
    try:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=3) as archive:
                manifest = _Writing(layout, archive, say).write(plan, recordings)
            file.flush()
            os.fsync(descriptor)
        scratch.rename(target)
        sync_folder(target.parent)
    except OSError as error:
        raise DeployError(f"{error.filename or target}: {error.strerror}") from None
    finally:
        scratch.unlink(missing_ok=True)
    return manifest


class _Writing:
    """One archive being written."""

    def __init__(self, layout: Layout, archive: tarfile.TarFile, say: Say) -> None:
        self._layout = layout
        self._archive = archive
        self._say = say
        self._left_out = list[str]()

    def write(self, plan: Plan, recordings: bool) -> Manifest:
        self._left_out += plan.left_out
        kept = [one for piece in plan.pieces.values() if (one := self._piece(piece)) is not None]
        databases, sums = dict[str, str](), dict[str, str]()
        for number, (config, ref) in enumerate(plan.databases.items(), 1):
            name = f"{DATABASES}/{number}.dump"
            if (digest := self._database(config, ref, name)) is not None:
                databases[name], sums[name] = config, digest
        manifest = Manifest(
            __version__,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            socket.gethostname(),
            tuple(plan.gateways),
            recordings,
            tuple(kept),
            databases,
            sums,
            tuple(self._left_out),
        )
        self._add(NAME, io.BytesIO(text := manifest.text()), len(text))
        return manifest

    def _piece(self, piece: Piece) -> Kept | None:
        """None for one that cannot be read, or is gone meanwhile: that is said, and the others are kept."""
        path = self._layout.below(piece.path)
        try:
            about = path.stat()
            name = FILES + piece.path
            if piece.kind == "sqlite":
                size, digest = self._sqlite(path, name)
            else:
                with path.open("rb") as file:
                    # One that grows meanwhile is kept as long as it was.
                    size = os.fstat(file.fileno()).st_size
                    digest = self._add(name, file, size)
        except FileNotFoundError:
            return None
        except (OSError, sqlite3.Error) as error:
            self._left_out.append(f"{piece.path}: {getattr(error, 'strerror', None) or error}")
            self._say(f"left out: {self._left_out[-1]}")
            return None
        owner, group = _user(about.st_uid), _group(about.st_gid)
        return Kept(name, piece.path, size, digest, about.st_mode & 0o777, owner, group)

    def _sqlite(self, path: Path, name: str) -> tuple[int, str]:
        """What stood in the database at one moment, whoever writes into it."""
        with tempfile.TemporaryDirectory(prefix="echostream-backup-") as scratch:
            copy = Path(scratch, "copy.sqlite3")
            source = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=_BUSY_S)
            with closing(source), closing(sqlite3.connect(copy)) as target:
                source.backup(target, pages=_PAGES)
                target.execute("PRAGMA journal_mode = DELETE")
            with copy.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                return size, self._add(name, file, size)

    def _database(self, config: str, ref: Secret, name: str) -> str | None:
        with tempfile.TemporaryDirectory(prefix="echostream-backup-") as scratch:
            dump = Path(scratch, "index.dump")
            try:
                url = read_secret(ref, f"{config}: recording.database").strip()
                postgres_dump.dump(url, dump)
            except (SecretError, DeployError) as error:
                self._left_out.append(f"the index in PostgreSQL of {config}: {error}")
                self._say(f"left out: {self._left_out[-1]}")
                return None
            with dump.open("rb") as file:
                return self._add(name, file, os.fstat(file.fileno()).st_size)

    def _add(self, name: str, source: IO[bytes], size: int) -> str:
        """The first `size` bytes of `source`, and their SHA-256."""
        reader = _Hashed(source)
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, 0o600, int(time.time())
        self._archive.addfile(member, reader)
        return reader.hexdigest()


class _Hashed(io.RawIOBase):
    """Reads, and hashes what was read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self._digest.update(data)
        return data

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
