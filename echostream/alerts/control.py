"""Acknowledgements of the command line: a small file each, in a folder that the gateway looks into.

The gateway makes the folder and takes the files away, whoever wrote them; it may be another user's.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

MOST_AT_ONCE: Final = 100
MOST_NUMBERS: Final = 10_000
_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Asked:
    """Acknowledge these incidents, first to last. who: as the log shows it."""

    first: int
    last: int
    who: str


def ask(folder: Path, asked: Asked) -> Path:
    """Whole or not at all; returns the file. OSError: no gateway has run there, or it is another user's."""
    scratch = folder / f".{uuid.uuid4()}"
    scratch.write_text(json.dumps({"first": asked.first, "last": asked.last, "who": asked.who}), "utf-8")
    scratch.chmod(0o644)
    path = folder / f"{uuid.uuid4()}.json"
    scratch.replace(path)
    return path


def wait_until_taken(path: Path, within_s: float) -> bool:
    """Whether a gateway runs that has taken the file."""
    until_s = time.monotonic() + within_s
    pause = threading.Event()
    while path.exists():
        if time.monotonic() > until_s:
            return False
        pause.wait(0.1)
    return True


def prepare(folder: Path) -> None:
    """Whoever belongs to the gateway's group may write there. OSError."""
    folder.mkdir(mode=0o770, parents=True, exist_ok=True)


def fetch(folder: Path) -> list[Asked]:
    """What was asked since the last time, which is gone afterwards. A file that says nothing is said once."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".json"))
    except OSError:
        return []
    found: list[Asked] = []
    for name in names[:MOST_AT_ONCE]:
        path = folder / name
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
            path.unlink()
        except OSError as error:
            log.error("%s cannot be read and removed: %s", path, error.strerror)
            continue
        asked = _parsed(data)
        if asked is None:
            log.error("%s does not say which incident is acknowledged; it is removed", path)
        else:
            found.append(asked)
    return found


def _parsed(data: bytes) -> Asked | None:
    try:
        said = json.loads(data)
        first, last, who = int(said["first"]), int(said["last"]), str(said["who"])[:128]
    except (ValueError, KeyError, TypeError):
        return None
    if not who.isprintable() or not 0 < first <= last or last - first > MOST_NUMBERS:
        return None
    return Asked(first, last, who)
