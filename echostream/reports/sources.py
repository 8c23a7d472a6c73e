"""Where a report comes from: the files of the event log, and the index of the recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, tzinfo
from itertools import islice
from pathlib import Path
from typing import Final

from echostream.archive.recording import Gap
from echostream.config.models import Config
from echostream.errors import IndexUnavailable
from echostream.event_log.files import log_directory
from echostream.event_log.lines import Logged
from echostream.event_log.reading import Wanted, read
from echostream.index.door import open_index
from echostream.index.query import Query
from echostream.notices.notice import Notice
from echostream.reports.alive import signs
from echostream.reports.calendar import bounds
from echostream.reports.day import BY_OTHERS, DayBuilder, Facts, Subject
from echostream.reports.model import DayReport, Recorded
from echostream.reports.spans import Span

SELDOM: Final = ("gateway", "channel", "card", "server", "link")
OFTEN: Final = ("device",)
BRIEF: Final = ("transmission", "talker")
"""Kinds that say what holds from then on, by how far back the last of them may be."""
DAY_US: Final = 86_400_000_000
MONTHS_US: Final = 190 * DAY_US
MOST_BACK: Final = 200_000
"""Of each of these groups, that are read before the day to know what held at its beginning."""
ALL_GAPS: Final = 200_000
"""Of a day and all sources: a thousand of them that each lose something every seven minutes."""
FRESH_US: Final = 180_000_000
"""A gateway that has not said for so long that it is alive is not."""
MOST_GAPS: Final = 200
"""Of one source, that are kept for the picture."""


@dataclass(frozen=True, slots=True)
class Place:
    """Of one gateway. events: events.directory; recordings: None: nothing is recorded. names, labels: as in
    day.Subject."""

    events: Path
    recordings: Path | None = None
    database_url: str | None = field(default=None, repr=False)
    gateway: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def place_of(config: Config, database_url: str | None, events: Path | None = None) -> Place:
    """As the configuration says. events: another folder than events.directory."""
    recording = config.recording
    return Place(
        events or Path(config.events.directory),
        Path(recording.directory) if recording.enabled else None,
        database_url,
        config.gateway.id,
        {channel.id: channel.name for channel in config.channels if channel.enabled},
        {device.name: device.label for device in config.esp32.devices if device.enabled}
        if config.esp32.enabled
        else {},
    )


def report_of(place: Place, day: date, zone: tzinfo | None, now_us: int) -> DayReport:
    """Read it all. zone: None is the machine's own. OSError where the log cannot be read."""
    begin_us, end_us = bounds(day, zone)
    log = log_directory(place.events)
    builder = DayBuilder(
        Subject(
            place.gateway or _writer(log, begin_us, end_us),
            str(day),
            begin_us,
            end_us,
            now_us,
            place.names,
            place.labels,
            signs(place.events),
        )
    )
    for notice in _standing(log, begin_us, place.gateway):
        builder.before(notice)
    for notice in _events(log, Wanted(begin_us, end_us), place.gateway):
        builder.take(notice)
    died_us = _died(place, log, end_us, now_us)
    return builder.finished(_facts(place, begin_us, end_us), died_us)


def _died(place: Place, log: Path, end_us: int, now_us: int) -> int | None:
    """When a gateway that ran as the day ended was killed, at the earliest; None: it was not, or not yet."""
    wanted = Wanted(since_us=end_us, kinds=("gateway",))
    after = next(_events(log, wanted, place.gateway), None)
    seen = [sign for sign in signs(place.events) if sign <= now_us]
    if after is None:
        if not seen or now_us - seen[-1] < FRESH_US:
            return None  # it runs, or nobody knows better
        before_us = now_us
    elif after.data.get("state") == "started":
        before_us = after.at_us
    else:
        return None
    events = _events(log, Wanted(until_us=before_us), place.gateway, newest_first=True)
    last = next((one.at_us for one in events if one.kind not in BY_OTHERS), 0)
    return max([last, *(sign for sign in seen if sign <= before_us)])


def _writer(log: Path, begin_us: int, end_us: int) -> str:
    """Who wrote the log of that day; "" where it says nothing."""
    return next((logged.gateway for logged in read(log, Wanted(begin_us, end_us)) if logged.gateway), "")


def _events(log: Path, wanted: Wanted, gateway: str, newest_first: bool = False) -> Iterator[Notice]:
    return (logged.notice for logged in _logged(log, wanted, gateway, newest_first))


def _logged(log: Path, wanted: Wanted, gateway: str, newest_first: bool = True) -> Iterator[Logged]:
    """Of this gateway: a folder may hold what another one wrote before."""
    for logged in read(log, wanted, newest_first=newest_first):
        if not gateway or logged.gateway in ("", gateway):
            yield logged


def _standing(log: Path, begin_us: int, gateway: str) -> list[Notice]:
    """What was last said of each thing since the gateway started, oldest first."""
    found: dict[tuple[str, ...], Logged] = {}
    newest = islice(_logged(log, Wanted(until_us=begin_us), gateway), MOST_BACK)
    last = next((logged for logged in newest if logged.notice.kind not in BY_OTHERS), None)
    if last is None:
        return []
    found[()] = last
    started = 0
    for kinds, back_us in (SELDOM, MONTHS_US), (OFTEN, MONTHS_US), (BRIEF, DAY_US):
        wanted = Wanted(max(0, begin_us - back_us), begin_us, kinds, after=started)
        for logged in islice(_logged(log, wanted, gateway), MOST_BACK):
            notice = logged.notice
            part = str(notice.data.get("direction", "")) if notice.kind == "card" else ""
            found.setdefault((notice.kind, notice.channel_id, notice.subject, part), logged)
            if notice.kind == "gateway":
                started = logged.number
                break
    return [logged.notice for logged in sorted(found.values(), key=lambda logged: logged.number)]


def _facts(place: Place, begin_us: int, end_us: int) -> Facts | None:
    """None where there is no index, or it does not answer."""
    if place.recordings is None:
        return None
    try:
        with open_index(place.recordings, place.database_url, create=False) as index:
            sums: dict[tuple[str, str], _Sum] = {}
            wanted = Query(since_us=begin_us, until_us=end_us, here_only=True)
            for one in index.all(wanted):
                of = sums.setdefault((one.kind, one.source), _Sum(begin_us, end_us))
                of.add(one.start_us, one.end_us, one.bytes)
            for found in index.gaps(begin_us, end_us, limit=ALL_GAPS, here_only=True):
                sums.setdefault((found.kind, found.source), _Sum(begin_us, end_us)).miss(found.gap)
            return {key: one.told() for key, one in sums.items()}
    except (IndexUnavailable, OSError):
        return None


class _Sum:
    """Of one source."""

    def __init__(self, begin_us: int, end_us: int) -> None:
        self._begin_us = begin_us
        self._end_us = end_us
        self._recordings = self._recorded_us = self._bytes = self._gaps = self._gap_us = 0
        self._missing: list[Span] = []

    def add(self, begin_us: int, end_us: int, size: int) -> None:
        """A recording: of one that goes over midnight only the part of this day."""
        within = self._within(begin_us, end_us)
        self._recordings += 1
        self._recorded_us += within.length_us
        self._bytes += round(size * within.length_us / max(1, end_us - begin_us))

    def miss(self, gap: Gap) -> None:
        within = self._within(gap.start_us, gap.end_us)
        if within.length_us <= 0:
            return
        self._gaps += 1
        self._gap_us += within.length_us
        if len(self._missing) < MOST_GAPS:
            self._missing.append(within)

    def told(self) -> Recorded:
        return Recorded(
            self._recordings,
            self._recorded_us / 1e6,
            self._bytes,
            self._gaps,
            self._gap_us / 1e6,
            tuple(sorted(self._missing)),
        )

    def _within(self, begin_us: int, end_us: int) -> Span:
        begin_us, end_us = max(begin_us, self._begin_us), min(end_us, self._end_us)
        return Span(begin_us, max(begin_us, end_us))
