"""What is open outlives a restart: nobody is told twice, and what was acknowledged stays so.

One small JSON file, whole or not at all. Times are kept as ages: the clock may be another one afterwards.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from echostream.alerts.rules import Incident

log = logging.getLogger(__name__)

MAX_BYTES: Final = 16_000_000
_AGES: Final = ("raised_s", "open_s", "told_s")


def save(path: Path, incidents: Sequence[Incident], next_number: int, now_s: float) -> None:
    """OSError where the disk refuses."""
    document = {"next": next_number, "open": [_written(incident, now_s) for incident in incidents]}
    scratch = path.with_name(path.name + ".new")
    with open(scratch, "w", encoding="utf-8", opener=_for_the_group) as file:
        file.write(json.dumps(document, ensure_ascii=False))  # dump() would take ten times as long
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def load(path: Path, now_s: float) -> tuple[list[Incident], int]:
    """The open ones and the next number. A file that is not ours is moved aside and said once."""
    try:
        return read(path, now_s)
    except FileNotFoundError:
        return [], 1
    except OSError as error:
        log.error("%s cannot be read (%s): what was open is told again", path, error.strerror)
        return [], 1
    except ValueError:
        broken = path.with_name(path.name + ".broken")
        log.error("%s is damaged and is now %s: what was open is told again", path, broken.name)
        try:
            path.replace(broken)
        except OSError as error:
            log.error("%s cannot be moved aside: %s", path, error.strerror)
        return [], 1


def read(path: Path, now_s: float) -> tuple[list[Incident], int]:
    """The same for whoever only looks. OSError; ValueError: it is not ours."""
    with path.open("rb") as file:
        data = file.read(MAX_BYTES)
    try:
        document = json.loads(data)
        return [_read(one, now_s) for one in document["open"]], int(document["next"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from None


def _for_the_group(path: str, flags: int) -> int:
    return os.open(path, flags, 0o640)


def _written(incident: Incident, now_s: float) -> dict[str, Any]:
    document = {name: getattr(incident, name) for name in Incident.__dataclass_fields__}
    for name in _AGES:
        if document[name] is not None:
            document[name] = round(now_s - document[name], 3)
    document["told"], document["owed"] = sorted(incident.told), sorted(incident.owed)
    return document


def _read(document: dict[str, Any], now_s: float) -> Incident:
    known = {name: document[name] for name in Incident.__dataclass_fields__ if name in document}
    incident = Incident(**known)
    return replace(
        incident,
        raised_s=now_s - float(incident.raised_s),
        open_s=None if incident.open_s is None else now_s - float(incident.open_s),
        told_s=now_s - float(incident.told_s),
        told=frozenset(map(str, incident.told)),
        owed=frozenset(map(str, incident.owed)),
        number=int(incident.number),
    )
