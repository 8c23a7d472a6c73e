"""What the process that makes a report is told to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from echostream.reports.sources import Place

MODULE: Final = "echostream.reports.child"


@dataclass(frozen=True, slots=True)
class Job:
    """day: YYYY-MM-DD. utc: its times are those of UTC and not of the machine's own zone."""

    place: Place
    day: str
    now_us: int
    utc: bool = False


def packed(job: Job) -> str:
    """As the child reads it."""
    plain = asdict(job)
    plain["place"]["events"] = str(job.place.events)
    plain["place"]["recordings"] = None if job.place.recordings is None else str(job.place.recordings)
    return json.dumps(plain)


def unpacked(text: str) -> Job:
    """What `packed` made."""
    plain = json.loads(text)
    place = Place(**plain.pop("place"))
    recordings = None if place.recordings is None else Path(place.recordings)
    return Job(replace(place, events=Path(place.events), recordings=recordings), **plain)
