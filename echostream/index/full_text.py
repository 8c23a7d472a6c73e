"""Looks for words: in SQLite by its full-text engine, in PostgreSQL by an inverted index of rows.

Both are in the order of time, so that the newest of a million that match are found at once. PostgreSQL's own
GIN index is not: it finds all of them first, and a planner that would rather not walks through everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from echostream.index.tables import recordings, vocabulary
from echostream.index.words import AnyOf, Term, fts5_match

NAMED: Final = 64
"""Words with one beginning that are looked for one by one."""
MERGED: Final = 32
"""Words of one group whose rows are merged; of more all rows are sorted."""
COUNTED: Final = 5_000
"""So many rows of a word are counted to tell a rare one from a common one."""
_LAST: Final = "\U0010ffff"

_fts5 = sa.table("recording_words", sa.column("rowid"), sa.column("recording_words"))
_posted = sa.table("recording_words", sa.column("word", sa.Text), sa.column("number", sa.BigInteger))
Condition = sa.ColumnElement[bool]


@dataclass(frozen=True, slots=True)
class Order:
    """Numbers from `begin` to below `end`, the largest first unless `oldest_first`; at most `limit`."""

    begin: int
    end: int
    oldest_first: bool
    limit: int

    def within(self, column: Any) -> list[Condition]:
        return [column >= self.begin, column < self.end]

    def first(self, statement: sa.Select[Any], column: Any) -> sa.Select[Any]:
        """The first of them."""
        return statement.order_by(column.asc() if self.oldest_first else column.desc()).limit(self.limit)


def groups_of(connection: Connection, terms: Sequence[Term]) -> list[AnyOf]:
    """A group for each term: the word itself, or those that begin with it."""
    groups = []
    for term in terms:
        if not term.begins:
            groups.append(AnyOf((term.word,)))
            continue
        word = vocabulary.c.word
        query = sa.select(word).where(word >= term.word, word <= term.word + _LAST)
        found = list(connection.execute(query.order_by(word).limit(NAMED + 1)).scalars())
        groups.append(AnyOf(tuple(found)) if len(found) <= NAMED else AnyOf((), term.word))
    return groups


def search(
    connection: Connection, groups: Sequence[AnyOf], where: Sequence[Condition], order: Order
) -> list[int]:
    """Numbers of the recordings that have one of each group, and to which `where` applies."""
    if not all(group.words or group.begins for group in groups):
        return []
    statement = (
        _in_postgres(connection, groups, where, order)
        if connection.dialect.name == "postgresql"
        else _in_sqlite(groups, where, order)
    )
    return [int(number) for number in connection.execute(statement).scalars()]


def _in_sqlite(groups: Sequence[AnyOf], where: Sequence[Condition], order: Order) -> sa.Select[Any]:
    statement = sa.select(_fts5.c.rowid).where(_fts5.c.recording_words.op("MATCH")(fts5_match(groups)))
    statement = statement.where(*order.within(_fts5.c.rowid), *_also(_fts5, _fts5.c.rowid, where))
    return order.first(statement, _fts5.c.rowid)


def _also(table: Any, number: Any, where: Sequence[Condition]) -> list[Condition]:
    """A row is looked at only once the words have led to it."""
    if not where:
        return []
    row = sa.select(sa.literal(1)).select_from(recordings).where(recordings.c.number == number, *where)
    return [row.correlate(table).exists()]


def _in_postgres(
    connection: Connection, groups: Sequence[AnyOf], where: Sequence[Condition], order: Order
) -> sa.Select[Any]:
    """Along the rows of the rarest group, each looked up in the other groups."""
    rarest = min(groups, key=lambda group: _size(connection, group, order)) if len(groups) > 1 else groups[0]
    others = [group for group in groups if group is not rarest]
    words: list[str | None] = list(rarest.words) if 0 < len(rarest.words) <= MERGED else [None]
    parts = []
    for word in words:
        posted = _posted.alias()
        one = posted.c.word == word if word is not None else _is_one(posted.c.word, rarest)
        statement = sa.select(posted.c.number).where(one, *order.within(posted.c.number))
        for group in others:
            also = _posted.alias()
            there = sa.select(sa.literal(1)).where(
                _is_one(also.c.word, group), also.c.number == posted.c.number
            )
            statement = statement.where(there.correlate(posted).exists())
        statement = statement.where(*_also(posted, posted.c.number, where))
        parts.append(order.first(statement.distinct() if word is None else statement, posted.c.number))
    if len(parts) == 1:
        return parts[0]
    merged = sa.union(*(sa.select(part.subquery().c.number) for part in parts)).subquery()
    return order.first(sa.select(merged.c.number), merged.c.number)


def _size(connection: Connection, group: AnyOf, order: Order) -> int:
    if len(group.words) > MERGED:
        return COUNTED + 1
    some = sa.select(_posted.c.number).where(_is_one(_posted.c.word, group), *order.within(_posted.c.number))
    counted = sa.select(sa.func.count()).select_from(some.limit(COUNTED).subquery())
    return int(connection.execute(counted).scalar_one())


def _is_one(word: Any, group: AnyOf) -> Condition:
    if group.begins:
        return sa.and_(word >= group.begins, word <= group.begins + _LAST)
    is_one: Condition = word == group.words[0] if len(group.words) == 1 else word.in_(group.words)
    return is_one
