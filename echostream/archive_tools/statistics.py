"""`echostream recordings stats`: how much there is, of whom, and for how long the disk lasts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Final, TextIO

from echostream.archive.recording import Recording
from echostream.archive_tools.listing import counted
from echostream.archive_tools.sizes import bytes_shown
from echostream.archive_tools.source_names import source_name
from echostream.archive_tools.store import Store, Total
from echostream.archive_tools.times import iso, shown, span_shown
from echostream.console.tables import Column, write_table
from echostream.index.query import Query

_DAY_US: Final = 86_400_000_000
_LEAST_TOLD_US: Final = 3_600_000_000
"""What was recorded in less than this does not say how much a day makes."""
_COLUMNS: Final = (
    Column("source", keep=True, style="bold"),
    Column("recordings", right=True, keep=True),
    Column("length", right=True, keep=True),
    Column("size", right=True, keep=True),
    Column("a day", right=True),
    Column("gaps", right=True),
    Column("missing", right=True),
    Column("last", keep=True),
    Column("first"),
    Column("label"),
)


@dataclass(slots=True)
class LastDay:
    """Of one source in the last 24 hours, or since its first recording. gap_us: what is missing within its
    recordings and between them."""

    bytes: int = 0
    gaps: int = 0
    gap_us: int = 0

    def add(self, one: Recording) -> None:
        """Count one in."""
        gaps = [*([one.gap_before] if one.gap_before else []), *one.gaps]
        self.bytes += one.bytes
        self.gaps += len(gaps)
        self.gap_us += sum(gap.end_us - gap.start_us for gap in gaps)

    def bytes_a_day(self, first_us: int, now_us: int) -> float | None:
        """None when there was too little time to say. first_us: of the source's first recording."""
        over_us = min(_DAY_US, now_us - first_us)
        return self.bytes * _DAY_US / over_us if over_us >= _LEAST_TOLD_US else None


def last_day(recordings: Iterable[Recording]) -> dict[str, LastDay]:
    """By source."""
    days: dict[str, LastDay] = {}
    for one in recordings:
        days.setdefault(source_name(one), LastDay()).add(one)
    return days


def stats(store: Store, now_us: int, *, utc: bool, as_json: bool, out: TextIO) -> int:
    """Print a row for each source, all of them together, and the disk."""
    totals = store.totals()
    # What is long over is counted already; one day is few enough to look at each.
    days = last_day(store.all(Query(since_us=now_us - _DAY_US, here_only=True)))
    sums = [(total, days.get(total.source, LastDay())) for total in totals]
    disk = shutil.disk_usage(store.directory)
    a_day = sum(day.bytes_a_day(total.first_us, now_us) or 0.0 for total, day in sums)
    if as_json:
        document = {
            "sources": [_document(total, day, now_us) for total, day in sums],
            "recordings": sum(total.recordings for total in totals),
            "duration_s": sum(total.duration_us for total in totals) / 1e6,
            "bytes": sum(total.bytes for total in totals),
            "bytes_a_day": a_day or None,
            "disk": {"bytes": disk.total, "free_bytes": disk.free},
        }
        out.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return 0
    if not totals:
        out.write("no recordings there\n")
        return 0
    zone = UTC if utc else None
    write_table(_COLUMNS, [_row(total, day, now_us, zone) for total, day in sums], out)
    whole = Total("")
    for total in totals:
        whole.add(total)
    count, sources = counted(whole.recordings, "recording"), counted(len(totals), "source")
    out.write(f"{count} of {sources}, {span_shown(whole.duration_us)}, {bytes_shown(whole.bytes)}")
    out.write("; a day, gaps, missing: of the last 24 h\n" if days else "\n")
    share = 100 * disk.free / max(1, disk.total)
    lasts = f"; at {bytes_shown(a_day)} a day full in {_days(disk.free, a_day)}" if a_day else ""
    out.write(f"disk: {bytes_shown(disk.free)} of {bytes_shown(disk.total)} free ({share:.0f} %){lasts}\n")
    return 0


def _row(total: Total, day: LastDay, now_us: int, zone: tzinfo | None) -> tuple[str, ...]:
    rate = day.bytes_a_day(total.first_us, now_us)
    return (
        total.source,
        str(total.recordings),
        span_shown(total.duration_us),
        bytes_shown(total.bytes),
        bytes_shown(rate) if rate else "",
        str(day.gaps) if day.gaps else "",
        span_shown(day.gap_us) if day.gaps else "",
        shown(total.last_us, zone)[:16],
        shown(total.first_us, zone)[:16],
        total.label if total.label != total.source else "",
    )


def _days(free: int, a_day: float) -> str:
    days = free / a_day
    return f"{days:.0f} days" if days >= 3 else f"{24 * days:.0f} h"


def _document(total: Total, day: LastDay, now_us: int) -> dict[str, object]:
    return {
        "source": total.source,
        "label": total.label,
        "recordings": total.recordings,
        "duration_s": total.duration_us / 1e6,
        "bytes": total.bytes,
        "first": iso(total.first_us),
        "last": iso(total.last_us),
        "bytes_a_day": day.bytes_a_day(total.first_us, now_us),
        "gaps_last_day": day.gaps,
        "gap_s_last_day": day.gap_us / 1e6,
    }
