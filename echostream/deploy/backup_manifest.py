"""What a backup says of itself: manifest.json, the last file in its archive."""

from __future__ import annotations

import json
import posixpath
from dataclasses import asdict, dataclass
from typing import Any, Final

from echostream.deploy.layout import DeployError

NAME: Final = "manifest.json"
FORMAT: Final = "echostream-backup-1"
FILES: Final = "files"
"""Before the path of each file in the archive."""
DATABASES: Final = "databases"
MOST_BYTES: Final = 256_000_000


@dataclass(frozen=True, slots=True)
class Kept:
    """One file. name: in the archive; path: on the machine; mode: permission bits; user, group: names."""

    name: str
    path: str
    size: int
    sha256: str
    mode: int
    user: str
    group: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """made_at: UTC, ISO 8601. databases: name in the archive -> the configuration that names its database."""

    version: str
    made_at: str
    host: str
    gateways: tuple[str, ...]
    recordings: bool
    files: tuple[Kept, ...]
    databases: dict[str, str]
    sums: dict[str, str]
    """SHA-256 of what is in the archive beside the files: the databases."""
    left_out: tuple[str, ...] = ()

    def text(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1, ensure_ascii=False).encode() + b"\n"


def read_manifest(data: bytes, origin: str) -> Manifest:
    """Raises DeployError for anything that is none, or that would put a file elsewhere than it says."""
    try:
        document = json.loads(data)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r}")
        manifest = Manifest(
            str(document["version"]),
            str(document["made_at"]),
            str(document["host"]),
            tuple(map(str, document["gateways"])),
            bool(document["recordings"]),
            tuple(_kept(one) for one in document["files"]),
            {str(name): str(path) for name, path in document["databases"].items()},
            {str(name): str(digest) for name, digest in document["sums"].items()},
            tuple(map(str, document["left_out"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DeployError(f"{origin} is no backup of EchoStream: {NAME}: {error}") from None
    return manifest


def _kept(one: dict[str, Any]) -> Kept:
    kept = Kept(
        str(one["name"]),
        str(one["path"]),
        int(one["size"]),
        str(one["sha256"]),
        int(one["mode"]) & 0o777,
        str(one["user"]),
        str(one["group"]),
    )
    if not kept.path.startswith("/") or posixpath.normpath(kept.path) != kept.path or "\0" in kept.path:
        raise ValueError(f"{kept.path!r} is no place for a file")
    if kept.name != FILES + kept.path:
        raise ValueError(f"{kept.name!r} is not {kept.path!r}")
    return kept
