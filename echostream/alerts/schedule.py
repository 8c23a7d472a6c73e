"""Times of a week and maintenance windows, on the gateway's clock. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from echostream.config.alert_models import Maintenance, Schedule

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def within(schedules: Sequence[Schedule], local: datetime) -> bool:
    """Whether a moment on the gateway's clock is in one of them. Without any: always."""
    return not schedules or any(_within(schedule, local) for schedule in schedules)


def _within(schedule: Schedule, local: datetime) -> bool:
    begins, ends = _minutes(schedule.begins), _minutes(schedule.ends)
    minute = 60 * local.hour + local.minute
    today, yesterday = _DAYS[local.weekday()], _DAYS[local.weekday() - 1]
    if begins < ends:
        return today in schedule.days and begins <= minute < ends
    late = today in schedule.days and minute >= begins
    early = yesterday in schedule.days and minute < ends
    return late or early


def _minutes(time: str) -> int:
    return 60 * int(time[:2]) + int(time[3:])


def held(windows: Sequence[Maintenance], source: str, channel_id: str, page: bool, at_us: int) -> bool:
    """Whether nobody is told of a source now. at_us: Unix microseconds. A page is only held where a window
    names its tone or its channel."""
    for window in windows:
        named = source in window.sources or (page and channel_id in window.sources)
        if not named and (window.sources or page):
            continue
        if _us(window.begins) <= at_us < _us(window.ends):
            return True
    return False


@lru_cache(maxsize=512)
def _us(text: str) -> int:
    """Unix microseconds of an ISO 8601 time; without a zone it is the gateway's clock."""
    return round(datetime.fromisoformat(text).timestamp() * 1e6)
