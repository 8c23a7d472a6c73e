"""Reads recordings out of the tables: pages in the order of time, however many there are.

A page is found by the numbers of its recordings first, along one index that is in their order already, and
only these rows are read whole. Which index that is depends on what is asked for:

    words, tones, triggers,   the full-text index, with the devices as marks in the same expression
    repaired
    protected, open           an index of these few alone
    a few devices             the newest of each device, merged
    anything else             the recordings themselves, from one end
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from echostream.archive.recording import Recording
from echostream.index import full_text
from echostream.index.full_text import Order
from echostream.index.query import Page, Query
from echostream.index.rows import PROTECTED, first_number, recording_of
from echostream.index.tables import any_device, devices, gaps, recordings, tone_events
from echostream.index.words import AnyOf, mark, terms_of

MERGED: Final = 32
"""Up to so many devices are read one by one and merged."""
MARKED: Final = 200
"""Up to so many devices stand in a full-text expression."""
MOST: Final = 1000
"""Recordings of one page."""
_LONGEST_US: Final = 4 * 3_600_000_000
"""An open recording may grow as long as this."""

_number = recordings.c.number
Condition = sa.ColumnElement[bool]


def page(connection: Connection, archive: str, query: Query, limit: int, after: str | None) -> Page:
    """`limit` recordings (1 to 1,000), from where the page before ended (`after`: its `next`).

    Raises ValueError for an `after` that no page gave.
    """
    limit = min(max(limit, 1), MOST)
    asked = _Asked(connection, archive, query, after)
    numbers = asked.numbers(limit + 1)
    found = read(connection, numbers[:limit])
    more = str(numbers[limit - 1]) if len(numbers) > limit else None
    return Page(tuple(found), more)


def read(connection: Connection, numbers: Sequence[int]) -> list[Recording]:
    """Whole recordings, in the order of `numbers`; one that is gone meanwhile is left out."""
    names = ("gateway", "source", "kind", "channel_id")
    query = sa.select(recordings, *(devices.c[name] for name in names))
    query = query.join(devices, devices.c.number == recordings.c.device).where(_number.in_(numbers))
    rows = {row["number"]: row for row in connection.execute(query).mappings()}
    parts: list[dict[int, list[Any]]] = []
    for table in (gaps, tone_events):
        of = sa.select(table).where(table.c.recording.in_(list(rows))).order_by(table.c.number)
        grouped: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(of).mappings() if rows else ():
            grouped[row["recording"]].append(row)
        parts.append(grouped)
    return [recording_of(dict(rows[one]), parts[0][one], parts[1][one]) for one in numbers if one in rows]


class _Asked:
    """One query, being answered."""

    def __init__(self, connection: Connection, archive: str, query: Query, after: str | None) -> None:
        self._connection = connection
        self._query = query
        self._devices = _devices(connection, archive, query)
        self._from, self._before = 0, 2**63 - 1  # numbers
        self._where = self._conditions()
        if after is not None:
            if not after.isascii() or not after.isdigit() or len(after) > 19:
                raise ValueError(f"{after[:40]!r} is not where a page ended")
            if query.oldest_first:
                self._from = max(self._from, int(after) + 1)
            else:
                self._before = min(self._before, int(after))

    def numbers(self, limit: int) -> list[int]:
        query = self._query
        if self._devices == {} or (query.text.strip() and not terms_of(query.text)):
            return []
        if groups := self._groups():
            return self._full_text(groups, limit)
        if query.protected:
            return self._run(self._walk([sa.literal_column("protected") == sa.literal_column("1")], limit))
        if query.state == "open":
            return self._run(self._walk([sa.literal_column("state") == sa.literal_column("'open'")], limit))
        if self._devices is not None and len(self._devices) <= MERGED:
            return self._run(self._merged(list(self._devices), limit))
        self._keep_to_ends()
        return self._run(self._walk([], limit))

    def _run(self, statement: sa.Select[Any]) -> list[int]:
        return [int(number) for number in self._connection.execute(statement).scalars()]

    def _ordered(self, statement: sa.Select[Any], limit: int, column: Any = _number) -> sa.Select[Any]:
        return statement.order_by(column.asc() if self._query.oldest_first else column.desc()).limit(limit)

    def _conditions(self) -> list[Condition]:
        query, where = self._query, list[Condition]()
        if query.since_us is not None:
            longest = self._connection.execute(sa.select(sa.func.max(devices.c.longest_us))).scalar() or 0
            self._from = first_number(query.since_us - max(longest, _LONGEST_US))
            column = recordings.c
            where.append(
                sa.or_(
                    column.end_us > query.since_us, column.start_us >= query.since_us, column.state == "open"
                )
            )
        if query.until_us is not None:
            self._before = first_number(query.until_us)
        if query.protected is not None:
            where.append(recordings.c.protected == int(query.protected))
        if query.state is not None:
            where.append(recordings.c.state == query.state)
        if query.triggers:
            where.append(recordings.c.trigger.in_(query.triggers))
        return where

    def _groups(self) -> list[AnyOf]:
        """What of the query stands in the full-text index: of each group, one must be there."""
        query, groups = self._query, full_text.groups_of(self._connection, terms_of(self._query.text))
        if query.triggers and "continuous" not in query.triggers:
            groups.append(AnyOf(tuple(mark("g", trigger) for trigger in query.triggers)))
        if query.tones:
            groups.append(AnyOf(tuple(mark("t", tone) for tone in query.tones)))
        if query.state == "repaired":
            groups.append(AnyOf((mark("s", "repaired"),)))
        if not groups:
            return []
        if query.state == "open":
            groups.append(AnyOf((mark("s", "open"),)))
        if query.protected:
            groups.append(AnyOf((PROTECTED,)))
        if self._devices is not None and len(self._devices) <= MARKED:
            groups.append(AnyOf(tuple(mark("d", device) for device in self._devices)))
        return groups

    def _full_text(self, groups: list[AnyOf], limit: int) -> list[int]:
        where = [*self._where, *self._among()]
        order = Order(self._from, self._before, self._query.oldest_first, limit)
        return full_text.search(self._connection, groups, where, order)

    def _among(self) -> list[Condition]:
        """The devices, where they are too many to stand in an expression."""
        if self._devices is None or len(self._devices) <= MARKED:
            return []
        return [any_device.in_(list(self._devices))]

    def _walk(self, more: Iterable[Condition], limit: int) -> sa.Select[Any]:
        among = [] if self._devices is None else [any_device.in_(list(self._devices))]
        where = [*self._bounds_on(_number), *self._where, *among, *more]
        return self._ordered(sa.select(_number).where(*where), limit)

    def _merged(self, numbers: list[int], limit: int) -> sa.Select[Any]:
        where = [*self._bounds_on(_number), *self._where]
        one_by_one = [
            self._ordered(sa.select(_number).where(recordings.c.device == number, *where), limit)
            for number in numbers
        ]
        if len(one_by_one) == 1:
            return one_by_one[0]
        if self._connection.dialect.name == "postgresql":
            return self._lateral(numbers, where, limit)
        merged = sa.union_all(*(sa.select(one.subquery().c.number) for one in one_by_one)).subquery()
        return self._ordered(sa.select(merged.c.number), limit, merged.c.number)

    def _lateral(self, numbers: list[int], where: list[Condition], limit: int) -> sa.Select[Any]:
        """The same for PostgreSQL, which plans each part of a union for itself, a millisecond each."""
        each = sa.select(devices.c.number).where(devices.c.number.in_(numbers)).subquery()
        newest = sa.select(_number).where(recordings.c.device == each.c.number, *where).correlate(each)
        newest = self._ordered(newest, limit)
        found = newest.lateral()
        return self._ordered(
            sa.select(found.c.number).select_from(each.join(found, sa.true())), limit, found.c.number
        )

    def _bounds_on(self, column: Any) -> list[Condition]:
        return [column >= self._from, column < self._before]

    def _keep_to_ends(self) -> None:
        """Nothing is walked over in vain before the devices that are asked for begin, or after they end."""
        if self._devices:
            spans = self._devices.values()
            self._from = max(self._from, first_number(min(first_us for first_us, _ in spans)))
            self._before = min(self._before, first_number(max(last_us for _, last_us in spans) + 1))


def _devices(connection: Connection, archive: str, query: Query) -> dict[int, tuple[int, int]] | None:
    """The devices that are asked for, with the first and the last start of each; None: all of them."""
    where: list[Condition] = []
    for names, column in (
        (query.sources, devices.c.source),
        (query.channels, devices.c.channel_id),
        (query.kinds, devices.c.kind),
        (query.gateways, devices.c.gateway),
        ((archive,) if query.here_only else (), devices.c.archive),
    ):
        if names:
            where.append(column.in_(names))
    if not where:
        return None
    columns = (devices.c.number, devices.c.first_us, devices.c.last_us)
    rows = connection.execute(sa.select(*columns).where(*where, devices.c.recordings > 0))
    return {number: (first_us, last_us) for number, first_us, last_us in rows}
