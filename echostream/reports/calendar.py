"""Days by the gateway's clock: of 24 hours, of 23 and of 25."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, tzinfo

from echostream.archive_tools.times import microseconds, moment


def bounds(day: date, zone: tzinfo | None) -> tuple[int, int]:
    """Unix microseconds of its beginning and its end. zone: None is the machine's own."""
    begin, end = (datetime.combine(one, time(), zone) for one in (day, day + timedelta(days=1)))
    return microseconds(begin), microseconds(end)


def day_at(at_us: int, zone: tzinfo | None) -> date:
    """Which day it is then."""
    return moment(at_us, zone).date()
