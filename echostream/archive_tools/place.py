"""Where the archive of a command is: named, or as a configuration says."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from echostream.archive_tools.index_store import open_store
from echostream.archive_tools.store import Store
from echostream.errors import ArchiveError
from echostream.event_log.acts import ActLog

if TYPE_CHECKING:
    from echostream.config.models import Config

CONFIGURATIONS: Final = (Path("config.json"), Path("/etc/echostream/config.json"))
"""Where the gateway's own is, if none is named: as `echostream run` reads it, and as the service does."""
DEFAULT: Final = Path("/var/lib/echostream/recordings")

_REMEDY: Final = "; run this as the user of the service, or with sudo"


@dataclass(frozen=True, slots=True)
class Place:
    """As typed. directory goes before config; by_files: the index is not asked."""

    directory: Path | None = None
    config: Path | None = None
    by_files: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Where they are. database_url: None is SQLite beside them. gateway: its id, "" where nobody says.

    events: events.directory, where who did what is logged; None where no configuration was read.
    """

    directory: Path
    database_url: str | None = None
    gateway: str = ""
    events: Path | None = None

    def acts(self, err: TextIO) -> ActLog:
        """What is done there, in the event log; nowhere where there is none."""
        return ActLog(self.events, self.gateway, err)


def resolve(place: Place) -> Found:
    """As typed, and as the configuration says. ConfigError."""
    path = place.config
    if path is None and place.directory is None:
        path = next((one for one in CONFIGURATIONS if one.exists()), None)
    if path is None:
        return Found(place.directory or DEFAULT)
    # Reading one takes longer than all else that `list` does.
    from echostream.config.load import load_config

    return _found(load_config(path).config, place)


def configured(path: Path | None) -> tuple[Config, Found]:
    """The configuration, for what a directory alone does not say, and its recordings. ConfigError."""
    from echostream.config.load import load_config

    path = path or next((one for one in CONFIGURATIONS if one.exists()), CONFIGURATIONS[-1])
    config = load_config(path).config
    return config, _found(config, Place(config=path))


def _found(config: Config, place: Place) -> Found:
    from echostream.config.secrets import read_secret

    url = None
    if config.recording.database is not None and not place.by_files:
        url = read_secret(config.recording.database, "recording.database").strip()
    directory = place.directory or Path(config.recording.directory)
    return Found(directory, url, config.gateway.id, Path(config.events.directory))


@contextlib.contextmanager
def opened(place: Place, err: TextIO, owned: bool = True, found: Found | None = None) -> Iterator[Store]:
    """The recordings there. owned: `as_owner`; not for who writes elsewhere. found: where it is resolved
    already. ArchiveError, ConfigError."""
    found = found or resolve(place)
    with told_as_ours(), as_owner(found.directory) if owned else contextlib.nullcontext():
        store = open_store(found.directory, found.database_url, place.by_files, err)
        try:
            yield store
        finally:
            store.close()


@contextlib.contextmanager
def told_as_ours() -> Iterator[None]:
    """What the disk refuses is told in a line: ArchiveError instead of OSError."""
    try:
        yield
    except (ArchiveError, BrokenPipeError):
        raise
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        remedy = _REMEDY if isinstance(error, PermissionError) else ""
        raise ArchiveError(f"{place}{error.strerror or error}{remedy}") from None


@contextlib.contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """Root does as the service that owns the recordings: what it makes there the service can change too."""
    if os.geteuid() != 0 or not directory.is_dir() or (owner := directory.stat()).st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(owner.st_gid)
    try:
        os.seteuid(owner.st_uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
