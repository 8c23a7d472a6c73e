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
from echostream.index.tables import any_device, devices, recordings, tone_events, uploads

AT_ONCE: Final = 200
Condition = sa.ColumnElement[bool]


def unsent(
    engine: Engine, archive: str, target: str, rules: Sequence[S3Rule], stopped: Callable[[], bool]
) -> Iterator[list[Recording]]:
    """Closed recordings of this archive that meet one of the rules and are unknown to `uploads`, the oldest
    first. No transaction is open between two lists. Raises IndexUnavailable."""
    column, after = recordings.c, -1
    where = [
        any_device.in_(sa.select(devices.c.number).where(devices.c.archive == archive)),
        column.state != "open",
        column.sha256 != "",
        sa.or_(*(_meets(rule) for rule in rules)) if rules else sa.false(),
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
    """The same as uploads/rules.py says of a recording."""
    here = [devices.c.kind.in_(rule.kinds)]
    if rule.sources:
        here.append(devices.c.source.in_(rule.sources))
    where: list[Condition] = [any_device.in_(sa.select(devices.c.number).where(*here))]
    if rule.what == "protected":
        where.append(sa.literal_column("recordings.protected = 1"))  # as its partial index has it
    if rule.what == "pages":
        page = sa.select(sa.literal(1)).where(tone_events.c.recording == recordings.c.number)
        where.append(sa.or_(recordings.c.trigger == "page", sa.exists(page.correlate(recordings))))
    return sa.and_(*where)
