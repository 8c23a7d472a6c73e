"""Recordings that nobody has said yet that they are to be sent: after a loss of the index, a change of the
rules, or while the sender was not there. Found by a walk along one index, some hundred at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from echostream.archive.recording import Recording
from echostream.config.s3_models import S3Rule
from echostream.index import reading
from echostream.index.engine import transaction
from echostream.index.tables import devices, recordings, tone_events, uploads

AT_ONCE: Final = 200
Condition = sa.ColumnElement[bool]


def unsent(
    engine: Engine, archive: str, target: str, rules: Sequence[S3Rule], stopped: Callable[[], bool]
) -> Iterator[list[Recording]]:
    """Closed recordings of this archive that meet one of the rules and are unknown to `uploads`, by source.

    No transaction is open between two lists. Raises IndexUnavailable.
    """
    for device, meeting in _devices(engine, archive, rules):
        yield from _of_device(engine, device, meeting, target, stopped)


def _devices(engine: Engine, archive: str, rules: Sequence[S3Rule]) -> list[tuple[int, list[S3Rule]]]:
    """Each source of the archive that some rules name, with these: of a site's recordings only these few
    are looked at."""
    column = devices.c
    query = sa.select(column.number, column.kind, column.source).where(column.archive == archive)
    with transaction(engine) as connection:
        rows = connection.execute(query).all()
    found = []
    for number, kind, source in rows:
        meeting = [one for one in rules if kind in one.kinds and (not one.sources or source in one.sources)]
        if meeting:
            found.append((number, meeting))
    return found


def _of_device(
    engine: Engine, device: int, rules: Sequence[S3Rule], target: str, stopped: Callable[[], bool]
) -> Iterator[list[Recording]]:
    column, after = recordings.c, -1
    where = [
        column.device == device,
        column.state != "open",
        column.sha256 != "",
        sa.or_(*(_meets(rule) for rule in rules)),
        sa.not_(_known(target)),
    ]
    while not stopped():
        query = sa.select(column.number).where(column.number > after, *where).order_by(column.number)
        with transaction(engine) as connection:
            numbers = list(connection.execute(query.limit(AT_ONCE)).scalars())
            found = reading.read(connection, numbers)
        if found:
            yield found
        if len(numbers) < AT_ONCE:
            return
        after = numbers[-1]


def _known(target: str) -> Condition:
    row = sa.select(sa.literal(1)).where(
        uploads.c.recording_id == recordings.c.id, uploads.c.target == target
    )
    return sa.exists(row.correlate(recordings))


def _meets(rule: S3Rule) -> Condition:
    """What uploads/rules.py says of a recording, without that of its source."""
    if rule.what == "protected":
        return sa.literal_column("recordings.protected = 1")
    if rule.what == "pages":
        page = sa.select(sa.literal(1)).where(tone_events.c.recording == recordings.c.number)
        return sa.or_(recordings.c.trigger == "page", sa.exists(page.correlate(recordings)))
    return sa.true()
