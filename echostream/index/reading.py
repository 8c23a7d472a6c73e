"""Reads recordings out of the tables: pages in the order of time, however many there are.

A page is found by the numbers of its recordings first, along one index that is in their order already, and
only these rows are read whole. Which index that is depends on what is asked for:

    words, tones, triggers    the full-text index, with the devices as marks in the same expression
    protected, open           an index of these few alone
    a few devices             the newest of each device, merged
    anything else             the recordings themselves, from one end
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY
from sqlalchemy.engine import Connection

from echostream.archive.recording import Recording
from echostream.index.query import Page, Query
from echostream.index.rows import PROTECTED, first_number, recording_of
from echostream.index.tables import devices, gaps, recordings, tone_events
from echostream.index.words import Term, mark, postgres_match, sqlite_match, terms_of

MERGED: Final = 32
"""Up to so many devices are read one by one and merged."""
MARKED: Final = 200
"""Up to so many devices stand in a full-text expression."""
MOST: Final = 1000
"""Recordings of one page."""
_LONGEST_US: Final = 4 * 3_600_000_000
"""An open recording may grow as long as this."""

_words = sa.table("recording_words", sa.column("rowid"), sa.column("recording_words"))
_number = recordings.c.number
_tsvector = sa.func.array_to_tsvector(
    sa.func.string_to_array(recordings.c.words, sa.literal_column("' '"))  # as the index says it
)
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
        self._terms = terms_of(query.text)
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
        if self._devices == {} or (query.text.strip() and not self._terms):
            return []
        groups = self._groups()
        if self._terms or query.tones or any(group[0].startswith("_g") for group in groups):
            return self._run(self._full_text(groups, limit))
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

    def _groups(self) -> list[list[str]]:
        """What of the query is a mark in the full-text index: of each group, one must be there."""
        query, groups = self._query, list[list[str]]()
        if query.triggers and "continuous" not in query.triggers:
            groups.append([mark("g", trigger) for trigger in query.triggers])
        if query.tones:
            groups.append([mark("t", tone) for tone in query.tones])
        if query.protected:
            groups.append([PROTECTED])
        if self._devices is not None and len(self._devices) <= MARKED:
            groups.append([mark("d", device) for device in self._devices])
        return groups

    def _full_text(self, groups: list[list[str]], limit: int) -> sa.Select[Any]:
        terms: list[Term] = self._terms
        where = [*self._where, *self._among()]
        if self._connection.dialect.name == "postgresql":
            match = sa.cast(sa.literal(postgres_match(terms, groups)), TSQUERY)
            where += self._bounds_on(_number)
            return self._ordered(sa.select(_number).where(_tsvector.op("@@")(match), *where), limit)
        match_text = sa.literal(sqlite_match(terms, groups))
        statement = sa.select(_words.c.rowid).where(_words.c.recording_words.op("MATCH")(match_text))
        statement = statement.where(*self._bounds_on(_words.c.rowid))
        if where:
            # A row is looked at only once the words have led to it.
            of = sa.select(sa.literal(1)).select_from(recordings).where(_number == _words.c.rowid, *where)
            statement = statement.where(of.correlate(_words).exists())
        return self._ordered(statement, limit, _words.c.rowid)

    def _among(self) -> list[Condition]:
        """The devices, where they are too many to stand in an expression."""
        if self._devices is None or len(self._devices) <= MARKED:
            return []
        return [recordings.c.device.in_(list(self._devices))]

    def _walk(self, more: Iterable[Condition], limit: int) -> sa.Select[Any]:
        among = [] if self._devices is None else [recordings.c.device.in_(list(self._devices))]
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
        merged = sa.union_all(*(sa.select(one.subquery().c.number) for one in one_by_one)).subquery()
        return self._ordered(sa.select(merged.c.number), limit, merged.c.number)

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
