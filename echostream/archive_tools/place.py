"""Where the archive of a command is: named, or as a configuration says."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

from echostream.archive_tools.store import Store, open_store
from echostream.config.load import load_config
from echostream.config.secrets import read_secret

CONFIGURATIONS: Final = (Path("config.json"), Path("/etc/echostream/config.json"))
"""Where the gateway's own is, if none is named: as `echostream run` reads it, and as the service does."""
DEFAULT: Final = Path("/var/lib/echostream/recordings")


@dataclass(frozen=True, slots=True)
class Place:
    """As typed. directory goes before config; by_files: the index is not asked."""

    directory: Path | None = None
    config: Path | None = None
    by_files: bool = False


def resolve(place: Place) -> tuple[Path, str | None]:
    """The directory, and the address of the database where it is not SQLite. ConfigError."""
    config = place.config
    if config is None and place.directory is None:
        config = next((path for path in CONFIGURATIONS if path.exists()), None)
    if config is None:
        return place.directory or DEFAULT, None
    recording = load_config(config).config.recording
    url = None
    if recording.database is not None and not place.by_files:
        url = read_secret(recording.database, "recording.database").strip()
    return place.directory or Path(recording.directory), url


@contextlib.contextmanager
def opened(place: Place, err: TextIO) -> Iterator[Store]:
    """The recordings there. ArchiveError, ConfigError."""
    store = open_store(*resolve(place), place.by_files, err)
    try:
        yield store
    finally:
        store.close()
