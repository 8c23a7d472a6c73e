"""What retention may delete: found by walks along indexes, however many recordings there are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from echostream.index.engine import transaction
from echostream.index.retention_plan import BYTES_A_RECORDING, BYTES_A_SECOND, Use
from echostream.index.rows import US_A_DAY, first_number
from echostream.index.tables import any_device, devices, recordings, uploads

AT_ONCE: Final = 200
MOST_OWN: Final = 5000
"""Recordings with a bound of their own that go in one round."""
_closed = sa.and_(recordings.c.protected == 0, recordings.c.state != "open")
_pending = sa.exists(
    sa.select(sa.literal(1))
    .where(uploads.c.recording_id == recordings.c.id, sa.literal_column("uploads.state = 'pending'"))
    .correlate(recordings)
)
_size: sa.ColumnElement[int] = sa.literal_column(
    f"(recordings.bytes + {BYTES_A_RECORDING} + (end_us - start_us) / 1000000 * {BYTES_A_SECOND})"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recording that may go. bytes: with its small files. alarmed_us: when that was told, if it was."""

    number: int
    id: str
    path: str
    bytes: int
    pending: bool = False
    alarmed_us: int | None = None


class Candidates:
    """Of one archive. Methods raise IndexUnavailable."""

    def __init__(self, engine: Engine, archive: str) -> None:
        self._engine = engine
        self._here = sa.select(devices.c.number).where(devices.c.archive == archive)
        self._archive = archive

    def uses(self) -> dict[int, Use]:
        """By device: how much there is of it, and how much of that may go without a word."""
        columns = devices.c
        query = sa.select(columns.number, columns.bytes, columns.recordings, columns.duration_us)
        query = query.where(columns.archive == self._archive)
        kept = sa.select(any_device, sa.func.sum(_size)).select_from(recordings).group_by(any_device)
        to_send = kept.where(_closed, _pending_ids())
        with transaction(self._engine) as connection:
            totals = {
                number: size + count * BYTES_A_RECORDING + duration_us // 1_000_000 * BYTES_A_SECOND
                for number, size, count, duration_us in connection.execute(query)
            }
            stay = dict.fromkeys(totals, 0)
            for of in (
                kept.where(sa.literal_column("protected = 1")),
                kept.where(sa.literal_column("state = 'open'"), recordings.c.protected == 0),
                to_send,
            ):
                for number, size in connection.execute(of):
                    if number in stay:
                        stay[number] += int(size)
        return {number: Use(total, max(0, total - stay[number])) for number, total in totals.items()}

    def open_paths(self) -> list[str]:
        """Those being written: how large they are, only their files know."""
        query = sa.select(recordings.c.path).where(sa.literal_column("state = 'open'"))
        with transaction(self._engine) as connection:
            return list(connection.execute(query.where(any_device.in_(self._here))).scalars())

    def oldest(self, device: int, size: int) -> Iterator[Candidate]:
        """Of one source, the oldest first, until they make up `size` bytes; none that is still to be sent."""
        found = 0
        for one in self._walk([recordings.c.device == device, sa.not_(_pending)]):
            if found >= size:
                return
            found += one.bytes
            yield one

    def expired(self, now_us: int, keep_days: float | None) -> Iterator[Candidate]:
        """Older than their own keep_days, or than this where they have none; also those still to be sent."""
        own = sa.select(recordings.c.number).where(recordings.c.keep_until_us < now_us, _closed)
        own = own.where(any_device.in_(self._here))
        own = own.order_by(recordings.c.keep_until_us).limit(MOST_OWN)
        with transaction(self._engine) as connection:
            numbers = list(connection.execute(own).scalars())
        for at in range(0, len(numbers), AT_ONCE):
            these = recordings.c.number.in_(numbers[at : at + AT_ONCE])
            yield from self._with_uploads(self._walk([these]))
        if keep_days is not None:
            before_us = now_us - round(keep_days * US_A_DAY)
            common = [
                recordings.c.keep_until_us.is_(None),
                recordings.c.number < first_number(before_us),
                recordings.c.end_us < before_us,
                any_device.in_(self._here),
            ]
            yield from self._with_uploads(self._walk(common))

    def to_send(self) -> Iterator[Candidate]:
        """Those still to be sent, the oldest first."""
        yield from self._with_uploads(self._walk([_pending, any_device.in_(self._here)]))

    def _walk(self, where: list[sa.ColumnElement[bool]]) -> Iterator[Candidate]:
        column, after = recordings.c, -1
        while True:
            query = sa.select(column.number, column.id, column.path, _size)
            query = query.where(_closed, column.number > after, *where).order_by(column.number).limit(AT_ONCE)
            with transaction(self._engine) as connection:
                rows = connection.execute(query).all()
            for row in rows:
                yield Candidate(row[0], row[1], row[2], int(row[3]))
            if len(rows) < AT_ONCE:
                return
            after = rows[-1][0]

    def _with_uploads(self, found: Iterator[Candidate]) -> Iterator[Candidate]:
        """Each with whether it is still to be sent, and since when that was told."""
        batch: list[Candidate] = []
        for one in found:
            batch.append(one)
            if len(batch) == AT_ONCE:
                yield from self._told(batch)
                batch = []
        yield from self._told(batch)

    def _told(self, batch: list[Candidate]) -> list[Candidate]:
        if not batch:
            return []
        column = uploads.c
        # An upload of which nothing was told yet makes the recording one of which nothing was told.
        query = sa.select(column.recording_id, sa.func.min(sa.func.coalesce(column.alarmed_us, -1)))
        query = query.where(
            column.recording_id.in_([one.id for one in batch]), sa.literal_column("state = 'pending'")
        ).group_by(column.recording_id)
        with transaction(self._engine) as connection:
            told: dict[str, Any] = {row[0]: row[1] for row in connection.execute(query)}
        return [
            one
            if one.id not in told
            else Candidate(
                one.number, one.id, one.path, one.bytes, True, None if told[one.id] < 0 else told[one.id]
            )
            for one in batch
        ]


def _pending_ids() -> sa.ColumnElement[bool]:
    ids = sa.select(uploads.c.recording_id).where(sa.literal_column("uploads.state = 'pending'"))
    return recordings.c.id.in_(ids)
