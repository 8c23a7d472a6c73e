"""Recordings for the tests of the index: made up, and written as files where a test needs these."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from echostream.archive.file_names import Place, make_folder, stem_of
from echostream.archive.meta_files import write_meta
from echostream.archive.recording import Recording

NOON_US = 1_763_726_400_000_000
"""2025-11-21 12:00 UTC."""
MINUTE_US = 60_000_000


def recording(number: int, start_us: int = NOON_US, source: str = "porch", **fields: Any) -> Recording:
    """One of ten minutes at 16 kHz. number: gives it its id, and its name where several begin at once."""
    stem = stem_of(start_us, source, fields.get("kind", "device"))
    place = Place(Path(), f"{stem}-{number}")
    form = fields.get("form", "wav")
    known: dict[str, Any] = {
        "id": hashlib.md5(str(number).encode()).hexdigest(),
        "path": place.path(form),
        "form": form,
        "gateway": "north",
        "source": source,
        "kind": "device",
        "trigger": "continuous",
        "start_us": start_us,
        "rate_hz": 16_000,
        "samples": 9_600_000,
        "state": "closed",
        "ended": "segment",
        "clock": "synchronised",
        "bytes": 1000,
    }
    return Recording(**{**known, **fields})


def written(directory: Path, one: Recording, size: int | None = None) -> Path:
    """Its files, audio of `size` bytes (default: what it says); the path of its meta file."""
    audio = directory / one.path
    make_folder(audio.parent / ".meta")
    audio.write_bytes(bytes(one.bytes if size is None else size))
    return write_meta(directory, one, sync=False)
