"""`echostream recordings stats`: how much there is, of whom, and for how long the disk lasts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from typing import Final, TextIO

from echostream.archive.recording import Recording
from echostream.archive_tools.listing import counted
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.store import Store, source_name
from echostream.archive_tools.times import iso, shown, span_shown
from echostream.console.tables import Column, write_table
from echostream.index.query import Query

_DAY_US: Final = 86_400_000_000
_RATE_OVER_US: Final = 7 * _DAY_US
"""What was recorded in this time says how much a day makes."""
_LEAST_TOLD_US: Final = 3_600_000_000
"""Less than this does not say it."""
_COLUMNS: Final = (
    Column("source", keep=True, style="bold"),
    Column("recordings", right=True, keep=True),
    Column("length", right=True, keep=True),
    Column("size", right=True, keep=True),
    Column("a day", right=True),
    Column("gaps", right=True),
    Column("missing", right=True),
    Column("protected", right=True),
    Column("last", keep=True),
    Column("first"),
    Column("label"),
)


@dataclass(slots=True)
class SourceSum:
    """Of one source. gap_us: what is missing within its recordings and between them; recent_bytes: of the
    last days."""

    source: str
    label: str = ""
    recordings: int = 0
    duration_us: int = 0
    bytes: int = 0
    gaps: int = 0
    gap_us: int = 0
    protected: int = 0
    first_us: int = 0
    last_us: int = 0
    recent_bytes: int = 0

    def add(self, one: Recording, now_us: int) -> None:
        """Count one in."""
        gaps = [*([one.gap_before] if one.gap_before else []), *one.gaps]
        self.label = one.label or self.label
        self.first_us = min(self.first_us, one.start_us) if self.recordings else one.start_us
        self.last_us = max(self.last_us, one.end_us)
        self.recordings += 1
        self.duration_us += one.duration_us
        self.bytes += one.bytes
        self.gaps += len(gaps)
        self.gap_us += sum(gap.end_us - gap.start_us for gap in gaps)
        self.protected += one.protected
        self.recent_bytes += one.bytes if one.start_us > now_us - _RATE_OVER_US else 0

    def a_day(self, now_us: int) -> float | None:
        """Bytes a day, as it was of late; None when there was too little to say."""
        over_us = min(_RATE_OVER_US, now_us - self.first_us)
        return self.recent_bytes * _DAY_US / over_us if over_us >= _LEAST_TOLD_US else None


def stats(store: Store, now_us: int, *, utc: bool, as_json: bool, out: TextIO) -> int:
    """Print a row for each source, all of them together, and the disk."""
    sums = sums_of(store.all(Query(here_only=True, oldest_first=True)), now_us)
    disk = shutil.disk_usage(store.directory)
    rates = [rate for one in sums if (rate := one.a_day(now_us)) is not None]
    if as_json:
        text = {
            "sources": [_document(one, now_us) for one in sums],
            "recordings": sum(one.recordings for one in sums),
            "duration_s": sum(one.duration_us for one in sums) / 1e6,
            "bytes": sum(one.bytes for one in sums),
            "bytes_a_day": sum(rates) if rates else None,
            "disk": {"bytes": disk.total, "free_bytes": disk.free},
        }
        out.write(json.dumps(text, ensure_ascii=False, indent=2) + "\n")
        return 0
    if not sums:
        out.write("no recordings there\n")
        return 0
    zone = UTC if utc else None
    rows = [
        (
            one.source,
            str(one.recordings),
            span_shown(one.duration_us),
            bytes_shown(one.bytes),
            bytes_shown(rate) if (rate := one.a_day(now_us)) else "",
            str(one.gaps) if one.gaps else "",
            span_shown(one.gap_us) if one.gaps else "",
            str(one.protected) if one.protected else "",
            shown(one.last_us, zone)[:16],
            shown(one.first_us, zone)[:16],
            one.label if one.label != one.source else "",
        )
        for one in sums
    ]
    write_table(_COLUMNS, rows, out)
    total, size = sum(one.recordings for one in sums), sum(one.bytes for one in sums)
    length = span_shown(sum(one.duration_us for one in sums))
    out.write(
        f"{counted(total, 'recording')} of {counted(len(sums), 'source')}, {length}, {bytes_shown(size)}\n"
    )
    share = 100 * disk.free / max(1, disk.total)
    lasts = (
        f"; at {bytes_shown(sum(rates))} a day full in {_days(disk.free, sum(rates))}" if sum(rates) else ""
    )
    out.write(f"disk: {bytes_shown(disk.free)} of {bytes_shown(disk.total)} free ({share:.0f} %){lasts}\n")
    return 0


def sums_of(recordings: Iterable[Recording], now_us: int) -> list[SourceSum]:
    """By source, by name."""
    sums: dict[str, SourceSum] = {}
    for one in recordings:
        name = source_name(one)
        sums.setdefault(name, SourceSum(name)).add(one, now_us)
    return [sums[name] for name in sorted(sums)]


def _days(free: int, a_day: float) -> str:
    days = free / a_day
    return f"{days:.0f} days" if days >= 3 else f"{24 * days:.0f} h"


def _document(one: SourceSum, now_us: int) -> dict[str, object]:
    return {
        "source": one.source,
        "label": one.label,
        "recordings": one.recordings,
        "duration_s": one.duration_us / 1e6,
        "bytes": one.bytes,
        "bytes_a_day": one.a_day(now_us),
        "gaps": one.gaps,
        "gap_s": one.gap_us / 1e6,
        "protected": one.protected,
        "first": iso(one.first_us),
        "last": iso(one.last_us),
    }
