"""`echostream restore FILE`: everything in the archive is looked at first; what was there is kept beside."""

from __future__ import annotations

import grp
import hashlib
import os
import posixpath
import pwd
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from echostream.config.load import InvalidConfig, parse_config
from echostream.config.models import Config
from echostream.config.secrets import read_secret
from echostream.deploy import postgres_dump
from echostream.deploy.backup_manifest import FILES, MOST_BYTES, NAME, Kept, Manifest, read_manifest
from echostream.deploy.backup_plan import ASIDE, SCRATCH
from echostream.deploy.files import sync_folder
from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.services import PATTERNS, Services
from echostream.errors import SecretError

Say = Callable[[str], None]

PLACES: Final = (
    *("/etc/echostream/", "/var/lib/echostream/", "/var/opt/", "/srv/", "/mnt/", "/media/"),
    *("/home/", "/data/"),
)
"""Where a gateway's files may be. An archive from elsewhere must not write over the system's own."""
SPARE_BYTES: Final = 50_000_000
_CHUNK: Final = 1 << 20
_PARTS: Final = ("-wal", "-shm", "-journal")
_CREDENTIALS: Final = "/etc/echostream/credentials/"


@dataclass(frozen=True, slots=True)
class Options:
    """also: places beyond PLACES that the person who restores has named."""

    also: tuple[str, ...] = ()


def restore(layout: Layout, services: Services, source: Path, options: Options, say: Say) -> Manifest:
    """Put the archive's files in their places. Raises DeployError; until `placed` nothing has changed."""
    manifest, configs = look_through(source)
    refuse_elsewhere(manifest, options)
    changed = [one for one in manifest.files if _sha256(layout.below(one.path)) != one.sha256]
    say(f"{source}: whole; {len(changed)} of {len(manifest.files)} files differ from what is here")
    _refuse_full(layout, changed)
    try:
        with _reading(source):
            _write_beside(layout, source, changed)
            with _stopped(services, say):
                _place(layout, changed)
                _restore_databases(source, manifest, configs, say)
    finally:
        for one in changed:
            _beside(layout, one).unlink(missing_ok=True)
    return manifest


# ---- looking


def look_through(source: Path) -> tuple[Manifest, dict[str, Config]]:
    """The manifest, once every file was compared with it; and each configuration, once it holds."""
    sums, texts, manifest = dict[str, str](), dict[str, bytes](), None
    with _reading(source):
        for name, _, file in _members(source):
            if name == NAME:
                manifest = read_manifest(file.read(MOST_BYTES), str(source))
            elif posixpath.dirname(name) == f"{FILES}/etc/echostream" and name.endswith(".json"):
                texts[name.removeprefix(FILES)] = data = file.read()
                sums[name] = hashlib.sha256(data).hexdigest()
            else:
                sums[name] = _digest(file)
    if manifest is None:
        raise DeployError(f"{source} is no backup of EchoStream, or only the beginning of one: no {NAME}")
    wanted = {one.name: one.sha256 for one in manifest.files} | manifest.sums
    for name, digest in wanted.items():
        if name not in sums:
            raise DeployError(f"{source}: {name} is missing: this backup is damaged")
        if sums[name] != digest:
            raise DeployError(f"{source}: {name} is not what it was: this backup is damaged")
    if extra := sorted(set(sums) - set(wanted)):
        raise DeployError(f"{source}: {extra[0]} does not belong to it")
    configs = {}
    for path, data in texts.items():
        try:
            configs[path] = parse_config(data, path).config
        except InvalidConfig as error:
            raise DeployError(f"{source}: {error}; nothing was restored") from None
    return manifest, configs


def _members(source: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Each regular file of the archive. DeployError where it holds anything else."""
    with tarfile.open(source, "r:*") as archive:
        for one in archive:
            file = archive.extractfile(one) if one.isreg() else None
            if file is None:
                raise DeployError(f"{source}: {one.name} is no regular file: this is no backup of ours")
            yield one.name, one.size, file


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """What is wrong with the file is told in a line: DeployError."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DeployError(f"{source} cannot be read: {error}") from None
    except OSError as error:
        raise DeployError(f"{error.filename or source}: {error.strerror or error}") from None


def refuse_elsewhere(manifest: Manifest, options: Options) -> None:
    """Raises DeployError for a file that would be put where no file of a gateway belongs."""
    places = (*PLACES, *(f"{one.rstrip('/')}/" for one in options.also))
    for one in manifest.files:
        if not one.path.startswith(places):
            folder = posixpath.dirname(one.path)
            raise DeployError(
                f"{one.path} is in this backup, and not where a gateway's files usually are; if it belongs "
                f"there, say so: --also {folder}"
            )


def _refuse_full(layout: Layout, changed: list[Kept]) -> None:
    needed = dict[int, tuple[int, Path]]()
    for one in changed:
        folder = layout.below(one.path).parent
        while not folder.exists():
            folder = folder.parent
        disk = folder.stat().st_dev
        needed[disk] = (needed.get(disk, (0, folder))[0] + one.size, folder)
    for size, folder in needed.values():
        free = shutil.disk_usage(folder).free
        if free < size + SPARE_BYTES:
            raise DeployError(
                f"{folder}: {size // 1_000_000} MB are needed beside what is there, "
                f"{free // 1_000_000} MB are free"
            )


# ---- placing


def _write_beside(layout: Layout, source: Path, changed: list[Kept]) -> None:
    wanted = {one.name: one for one in changed}
    folders = set[Path]()
    for name, _, file in _members(source):
        kept = wanted.get(name)
        if kept is None:
            continue
        path = _beside(layout, kept)
        _make_folder(path.parent, kept)
        folders.add(path.parent)
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        with open(os.open(path, flags, 0o600), "wb") as target:
            digest = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
            if digest.hexdigest() != kept.sha256:
                raise DeployError(f"{source} has changed while it was read: nothing was restored")
            _give(target.fileno(), kept)
            target.flush()
            os.fsync(target.fileno())
    for folder in folders:
        sync_folder(folder)


def _place(layout: Layout, changed: list[Kept]) -> None:
    """What is there goes aside, what was kept comes in; all of it, or with an OSError nothing."""
    moved = list[tuple[Path, Path]]()

    def move(what: Path, to: Path) -> None:
        what.replace(to)
        moved.append((what, to))

    try:
        for one in changed:
            path = layout.below(one.path)
            for part in ("", *_PARTS) if path.suffix == ".sqlite3" else ("",):
                there = path.with_name(path.name + part)
                if there.exists() or there.is_symlink():
                    move(there, _aside(layout, one, part))
            move(_beside(layout, one), path)
    except OSError:
        for what, to in reversed(moved):
            to.replace(what)
        raise
    for folder in {layout.below(one.path).parent for one in changed}:
        sync_folder(folder)


def _aside(layout: Layout, one: Kept, part: str) -> Path:
    """Beside it; of credentials in a folder of their own: every file in theirs is one."""
    path = layout.below(one.path)
    if not one.path.startswith(_CREDENTIALS):
        return path.with_name(path.name + part + ASIDE)
    folder = layout.credentials.with_name(layout.credentials.name + ASIDE)
    folder.mkdir(0o700, exist_ok=True)
    return folder / path.name


def _beside(layout: Layout, one: Kept) -> Path:
    path = layout.below(one.path)
    if one.path.startswith(_CREDENTIALS):
        return layout.config_dir / f".{path.name}{SCRATCH}"
    return path.with_name(f".{path.name}{SCRATCH}")


def _make_folder(folder: Path, one: Kept) -> None:
    """As installing makes it: below /etc for everybody to enter, elsewhere for whom the file belongs to."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(0o755 if one.path.startswith("/etc/") else 0o750)
        if os.geteuid() == 0 and not one.path.startswith("/etc/"):
            os.chown(path, *_owner(one))
    if one.path.startswith(_CREDENTIALS):
        (folder / "credentials").mkdir(0o700, exist_ok=True)


def _give(descriptor: int, one: Kept) -> None:
    if os.geteuid() == 0:
        os.fchown(descriptor, *_owner(one))
    os.fchmod(descriptor, one.mode)


def _owner(one: Kept) -> tuple[int, int]:
    """By name: on another machine the numbers are others. Who is not there is root, or whoever is asked."""
    try:
        user = pwd.getpwnam(one.user).pw_uid
    except KeyError:
        user = 0
    try:
        group = grp.getgrnam(one.group).gr_gid
    except KeyError:
        group = 0
    return user, group


# ---- databases and services


def _restore_databases(source: Path, manifest: Manifest, configs: dict[str, Config], say: Say) -> None:
    for name, size, file in _members(source) if manifest.databases else ():
        config = configs.get(manifest.databases.get(name, ""))
        if config is None or config.recording.database is None:
            continue
        with tempfile.TemporaryDirectory(prefix="echostream-restore-") as scratch:
            dump = Path(scratch, "index.dump")
            with dump.open("wb") as target:
                shutil.copyfileobj(file, target)
            try:
                url = read_secret(config.recording.database, "recording.database").strip()
                postgres_dump.restore(url, dump)
                say(f"the index in PostgreSQL is what it was ({size // 1000} kB)")
            except (SecretError, DeployError) as error:
                say(f"the index in PostgreSQL was not restored ({error}); the gateway makes it anew")


@contextmanager
def _stopped(services: Services, say: Say) -> Iterator[None]:
    """No gateway runs meanwhile; those that ran run again afterwards, whatever happened."""
    units = services.running(PATTERNS)
    if units:
        say(f"stopping {', '.join(units)}")
        services.stop(units)
    try:
        yield
    finally:
        if units:
            say(f"starting {', '.join(units)}")
            services.start(units)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return _digest(file)
    except OSError:
        return ""


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()
