"""What the watchdog restarted the gateway for: in the runtime directory, which outlives that and no boot."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from echostream.service.feed import FORGIVEN_S
from echostream.service.health import boot_id, since_boot_s

log = logging.getLogger(__name__)

SUFFIX: Final = ".watchdog.json"
_MOST_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Blame:
    """whom: a channel's id, or what feed.py names. at_boot_s: when, in seconds since the machine booted."""

    whom: str
    why: str
    boot_id: str
    at_boot_s: float


def blame(directory: Path, instance: str, whom: str, why: str) -> None:
    """Before the manager ends us. A disk that refuses is said: then the next run knows of nothing."""
    found = Blame(whom, why, boot_id(), since_boot_s())
    path = directory / f"{instance}{SUFFIX}"
    try:
        path.write_text(json.dumps(asdict(found)), "utf-8")
    except OSError as error:
        log.error("%s: why the watchdog is not fed cannot be written down: %s", path, error)


def forgive(directory: Path, instance: str) -> None:
    """Nothing of it concerns the next run."""
    (directory / f"{instance}{SUFFIX}").unlink(missing_ok=True)


def last_blame(directory: Path, instance: str) -> Blame | None:
    """Of less than an hour ago; None: none, or of another boot."""
    path = directory / f"{instance}{SUFFIX}"
    try:
        with path.open("rb") as file:
            document = json.loads(file.read(_MOST_BYTES))
        found = Blame(
            str(document["whom"]),
            str(document["why"]),
            str(document["boot_id"]),
            float(document["at_boot_s"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s does not read and is not minded: %s", path, error)
        return None
    ago_s = since_boot_s() - found.at_boot_s
    return found if found.boot_id == boot_id() and 0 <= ago_s <= FORGIVEN_S else None
