"""Events of all gateways of a site, by the table in their common index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import TextIO, cast

from echostream.archive_tools.place import Found
from echostream.event_log.lines import Logged
from echostream.event_log.reading import Wanted
from echostream.event_tools.listing import Shown
from echostream.index.door import open_index
from echostream.index.event_rows import EventQuery, EventRow
from echostream.notices.notice import Kind, Notice, Weight


def show_site(found: Found, wanted: Wanted, gateways: tuple[str, ...], shown: Shown, out: TextIO) -> int:
    """Print them in the order of time. Exit code 0. IndexUnavailable where there is none, or it is away."""
    query = EventQuery(
        since_us=wanted.since_us,
        until_us=wanted.until_us,
        kinds=wanted.kinds,
        channels=wanted.channels,
        gateways=gateways,
        oldest_first=not shown.limit,
    )
    with open_index(found.directory, found.database_url, create=False) as index:
        events = (one for one in map(as_logged, index.events(query)) if wanted.fits(one))
        chosen: Iterator[Logged] = events
        if shown.limit:
            chosen = iter(list(islice(events, shown.limit))[::-1])
        for one in chosen:
            out.write(shown.line(one, site=True))
    return 0


def as_logged(row: EventRow) -> Logged:
    """As the log has it."""
    notice = Notice(
        cast(Kind, row.kind),
        row.at_us,
        row.text,
        row.channel_id,
        row.subject,
        Weight(row.weight),
        row.who,
        json.loads(row.data),
        json.loads(row.before) if row.before else None,
        json.loads(row.after) if row.after else None,
        row.id,
    )
    return Logged(row.line, row.gateway, notice)
