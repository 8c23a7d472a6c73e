"""The event log as a table: copied of its files, line by line, and made again of them. Rows never change."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from echostream.errors import StateError
from echostream.index.engine import transaction
from echostream.index.event_rows import EventQuery, EventRow
from echostream.index.rows import plain
from echostream.index.tables import event_days, event_purges, events

AT_ONCE: Final = 500
_PAGE: Final = 500


class EventTable:
    """The part of one log in the database. log: what it is known by there. Any thread; IndexUnavailable."""

    def __init__(self, engine: Engine, log: str) -> None:
        self._engine = engine
        self._log = log

    def read(self) -> dict[str, int]:
        """day -> bytes of its file that are in the table."""
        query = sa.select(event_days.c.day, event_days.c.bytes).where(event_days.c.log == self._log)
        with transaction(self._engine) as connection:
            return {row.day: row.bytes for row in connection.execute(query)}

    def add(self, day: str, begin: int, end: int, rows: Sequence[EventRow]) -> None:
        """The lines of a day's file between two bytes, all or none: however often it is tried, each once.

        StateError where what is before `begin` is not there, or more than that.
        """
        where = [event_days.c.log == self._log, event_days.c.day == day]
        values = [_values(self._log, row) for row in rows]
        with transaction(self._engine, writes=True) as connection:
            there = connection.execute(sa.select(event_days.c.bytes).where(*where).with_for_update()).scalar()
            if (there or 0) != begin:
                raise StateError(f"{day}: {there or 0} bytes are in the table, not {begin}")
            for at in range(0, len(values), AT_ONCE):
                connection.execute(_INSERT, values[at : at + AT_ONCE])
            if there is None:
                connection.execute(sa.insert(event_days).values(log=self._log, day=day, bytes=end))
            else:
                connection.execute(sa.update(event_days).where(*where).values(bytes=end))

    def last_line(self, day: str) -> int:
        """Of a day; 0 where there is none."""
        query = sa.select(sa.func.max(events.c.line)).where(events.c.log == self._log, events.c.day == day)
        with transaction(self._engine) as connection:
            return connection.execute(query).scalar() or 0

    def purge(self, days: Collection[str]) -> None:
        """These days go: the one way in which rows are deleted."""
        for day in sorted(days):
            with transaction(self._engine, writes=True) as connection:
                connection.execute(sa.insert(event_purges).values(log=self._log, day=day))
                for table in (events, event_days, event_purges):
                    connection.execute(sa.delete(table).where(table.c.log == self._log, table.c.day == day))


def by_time(engine: Engine, query: EventQuery) -> Iterator[EventRow]:
    """Of all logs of the database, page by page. IndexUnavailable."""
    order = (events.c.at_us, events.c.number)
    statement = sa.select(*[events.c[name] for name in _NAMES], events.c.number).where(*_where(query))
    ordered = order if query.oldest_first else [column.desc() for column in order]
    statement = statement.order_by(*ordered).limit(_PAGE)
    after: tuple[int, int] | None = None
    while True:
        page = statement if after is None else statement.where(_beyond(order, after, query.oldest_first))
        with transaction(engine) as connection:
            found = connection.execute(page).all()
        for row in found:
            yield EventRow(*row[:-1])
        if len(found) < _PAGE:
            return
        after = (found[-1].at_us, found[-1].number)


def _beyond(
    order: Sequence[sa.Column[Any]], last: tuple[int, int], oldest_first: bool
) -> sa.ColumnElement[bool]:
    here, there = sa.tuple_(*order), sa.tuple_(*last)
    return here > there if oldest_first else here < there


def _where(query: EventQuery) -> list[sa.ColumnElement[bool]]:
    column = events.c
    where: list[sa.ColumnElement[bool]] = []
    if query.since_us is not None:
        where.append(column.at_us >= query.since_us)
    if query.until_us is not None:
        where.append(column.at_us < query.until_us)
    for name, values in (
        ("kind", query.kinds),
        ("channel_id", query.channels),
        ("gateway", query.gateways),
    ):
        if values:
            where.append(column[name].in_(values))
    return where


_NAMES: Final = tuple(field.name for field in fields(EventRow))
_COLUMNS: Final = ("log", *_NAMES)
_INSERT: Final = sa.text(
    f"INSERT INTO events ({', '.join(chr(34) + name + chr(34) for name in _COLUMNS)}) "
    f"VALUES ({', '.join(':' + name for name in _COLUMNS)}) ON CONFLICT DO NOTHING"
)


def _values(log: str, row: EventRow) -> dict[str, Any]:
    values: dict[str, Any] = {"log": log}
    for name in _NAMES:
        value = getattr(row, name)
        values[name] = plain(value) if isinstance(value, str) else value
    return values
