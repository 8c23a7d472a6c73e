"""What the index says about many recordings together."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from echostream.index.query import SourceGap, SourceStats, Stats
from echostream.index.rows import gap_of
from echostream.index.tables import devices, gaps, recordings, tone_events


def stats(connection: Connection, archive: str) -> Stats:
    """Counters of every source that has a recording, by name."""
    query = sa.select(devices).where(devices.c.recordings > 0)
    query = query.order_by(devices.c.gateway, devices.c.source, devices.c.kind, devices.c.channel_id)
    sources = tuple(
        SourceStats(
            source=row["source"],
            kind=row["kind"],
            gateway=row["gateway"],
            channel_id=row["channel_id"],
            label=row["label"],
            recordings=row["recordings"],
            bytes=row["bytes"],
            duration_us=row["duration_us"],
            first_us=row["first_us"],
            last_us=row["last_us"],
            ppm=row["ppm"],
            own=row["archive"] == archive,
        )
        for row in connection.execute(query).mappings()
    )
    protected = sa.select(sa.func.count()).select_from(recordings).where(sa.literal_column("protected = 1"))
    return Stats(
        sources,
        gaps=connection.execute(sa.select(sa.func.count()).select_from(gaps)).scalar_one(),
        protected=connection.execute(protected).scalar_one(),
        tones=connection.execute(sa.select(sa.func.count()).select_from(tone_events)).scalar_one(),
    )


def gap_list(
    connection: Connection,
    since_us: int | None,
    until_us: int | None,
    sources: tuple[str, ...],
    limit: int,
    archive: str | None = None,
) -> tuple[SourceGap, ...]:
    """Gaps that overlap [since, until), the oldest first. archive: only of this one."""
    query = sa.select(gaps, devices.c.source, devices.c.kind, recordings.c.id)
    query = query.join(recordings, recordings.c.number == gaps.c.recording)
    query = query.join(devices, devices.c.number == gaps.c.device)
    if since_us is not None:
        query = query.where(gaps.c.end_us > since_us)
    if until_us is not None:
        query = query.where(gaps.c.start_us < until_us)
    if sources:
        query = query.where(devices.c.source.in_(sources))
    if archive is not None:
        query = query.where(devices.c.archive == archive)
    query = query.order_by(gaps.c.start_us, gaps.c.number).limit(limit)
    return tuple(
        SourceGap(row["source"], row["kind"], gap_of(dict(row)), row["id"], bool(row["before"]))
        for row in connection.execute(query).mappings()
    )
