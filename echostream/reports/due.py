"""Which reports are to be written now, which are not to be there, which are too old. Pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta, tzinfo
from typing import Final

from echostream.archive_tools.times import moment
from echostream.reports.calendar import day_at

MOST_DAYS: Final = 31
"""So far back missed reports are made up for."""


def due(
    now_us: int, report_at: str, there: Collection[date], first_day: date | None, zone: tzinfo | None
) -> date | None:
    """The day whose report comes next: the newest first, since that one is waited for; None: all are there.

    report_at: HH:MM, from which on yesterday's is due; older ones always are. first_day: of which the log has
    something.
    """
    if first_day is None:
        return None
    today = day_at(now_us, zone)
    newest = today - timedelta(days=1)
    if moment(now_us, zone).strftime("%H:%M") < report_at:
        newest -= timedelta(days=1)
    oldest = max(first_day, today - timedelta(days=MOST_DAYS))
    for back in range(MOST_DAYS):
        day = newest - timedelta(days=back)
        if day < oldest:
            return None
        if day not in there:
            return day
    return None


def premature(now_us: int, there: Collection[date], zone: tzinfo | None) -> list[date]:
    """Reports of days that are not over: the clock was ahead when they were written."""
    return [day for day in there if day >= day_at(now_us, zone)]


def outdated(
    now_us: int, keep_days: float | None, there: Collection[date], zone: tzinfo | None
) -> list[date]:
    """Older than they are to be kept."""
    if keep_days is None:
        return []
    last = day_at(now_us, zone)
    return [day for day in there if (last - day).days > keep_days]
