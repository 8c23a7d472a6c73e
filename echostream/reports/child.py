"""Makes one day's report, in a process of its own: `python -m echostream.reports.child`, the job on stdin.

Reading a day of events and drawing takes seconds, and matplotlib a hundred megabytes: neither is for a
process that has audio to move.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, date, tzinfo
from pathlib import Path
from typing import Final

from echostream.errors import LibraryMissing
from echostream.reports.folder import alone, days_there, put, reports_directory
from echostream.reports.job import Job, unpacked
from echostream.reports.sources import report_of
from echostream.reports.table import write_csv, write_json
from echostream.reports.text import write_text

_NICE: Final = 15


def make(job: Job) -> str:
    """Write the report in every form; the page only where there is matplotlib. What is to be said of it, ""
    for nothing. OSError."""
    zone = UTC if job.utc else None
    folder = reports_directory(job.place.events)
    with alone(folder):
        # Whoever was first, the gateway or a command, has written it.
        return "" if date.fromisoformat(job.day) in days_there(folder) else _make(job, folder, zone)


def _make(job: Job, folder: Path, zone: tzinfo | None) -> str:
    report = report_of(job.place, date.fromisoformat(job.day), zone, job.now_us)
    put(folder, f"{job.day}.txt", lambda out: write_text(report, zone, out))
    put(folder, f"{job.day}.csv", lambda out: write_csv(report, out))
    said = ""
    try:
        from echostream.reports.page import write_page

        put(folder, f"{job.day}.html", lambda out: write_page(report, zone, out))
    except LibraryMissing as error:
        said = f"without a page: {error}"
    put(folder, f"{job.day}.json", lambda out: write_json(report, out))
    return said


def main() -> int:
    """Exit code 0, and on stdout what is to be said of it; or 1 with the reason in one line on stderr."""
    os.nice(_NICE)
    job = unpacked(sys.stdin.read())
    try:
        said = make(job)
    except OSError as error:
        sys.stderr.write(f"{error.filename or job.place.events}: {error.strerror or error}\n")
        return 1
    sys.stdout.write(said)
    return 0


if __name__ == "__main__":
    sys.exit(main())
