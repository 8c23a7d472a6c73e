"""What is to be sent elsewhere, and was: nothing of it is deleted before it was told.

This alone does not stand in the files: after a loss of the index, whoever sends them adds them again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from echostream.index.engine import transaction
from echostream.index.store import AT_ONCE
from echostream.index.tables import uploads

LATER: Final = 1
"""Turn of what goes after the pages."""
_pending: sa.ColumnElement[bool] = sa.literal_column("uploads.state = 'pending'")


@dataclass(frozen=True, slots=True)
class Upload:
    """One recording to one target. since_us, alarmed_us: Unix microseconds.

    number: order in which they were added. path: of its file, as it was then, relative to the archive.
    turn: 0 goes before 1. key, upload_id: of an upload that was begun, else "".
    """

    recording_id: str
    target: str
    attempts: int
    error: str
    since_us: int
    alarmed_us: int | None
    number: int = 0
    path: str = ""
    turn: int = LATER
    bytes: int = 0
    key: str = ""
    upload_id: str = ""


@dataclass(frozen=True, slots=True)
class NewUpload:
    """A recording that is to be sent."""

    recording_id: str
    path: str
    turn: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """All that is still to be sent. oldest: number of the one that was added first, since_us when; both 0
    where there is none."""

    count: int = 0
    bytes: int = 0
    oldest: int = 0
    since_us: int = 0


class Uploads:
    """Rows of the table `uploads`, of one archive. Methods raise IndexUnavailable."""

    def __init__(self, engine: Engine, archive: str = "") -> None:
        self._engine = engine
        self._archive = archive

    def add(self, recording_id: str, target: str, now_us: int) -> None:
        """It is to be sent there, from now on. Nothing changes where that is known, or done, already."""
        self.add_all([NewUpload(recording_id, "", LATER, 0)], target, now_us)

    def add_all(self, new: Sequence[NewUpload], target: str, now_us: int) -> int:
        """Many at once; how many were not known yet."""
        added = 0
        with transaction(self._engine, writes=True) as connection:
            for at in range(0, len(new), AT_ONCE):
                part = {one.recording_id: one for one in new[at : at + AT_ONCE]}
                for known in _known(connection, target, list(part)):
                    del part[known]
                rows = [self._row(one, target, now_us) for one in part.values()]
                if rows:
                    connection.execute(sa.insert(uploads), rows)
                added += len(rows)
        return added

    def _row(self, one: NewUpload, target: str, now_us: int) -> dict[str, object]:
        return {
            "recording_id": one.recording_id,
            "target": target,
            "state": "pending",
            "since_us": now_us,
            "archive": self._archive,
            "path": one.path,
            "turn": one.turn,
            "bytes": one.bytes,
        }

    def begin(self, recording_id: str, target: str, key: str, upload_id: str = "") -> None:
        """It is about to be sent under that name. upload_id: of an upload in parts."""
        self._change(recording_id, target, key=key, upload_id=upload_id)

    def done(self, recording_id: str, target: str, key: str | None = None) -> None:
        """It is there."""
        values: dict[str, object] = {"state": "done", "error": "", "upload_id": ""}
        self._change(recording_id, target, **values | ({} if key is None else {"key": key}))

    def failed(self, recording_id: str, target: str, error: str) -> None:
        """It was tried in vain, and stays pending."""
        self._change(recording_id, target, attempts=uploads.c.attempts + 1, error=error[:500])

    def drop(self, recording_id: str, target: str) -> None:
        """It is not to be sent: it is gone, or nobody wants it there any more."""
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.delete(uploads).where(*_one(recording_id, target)))

    def drop_others(self, target: str) -> int:
        """Of this archive nothing is to be sent elsewhere any more. How many were."""
        with transaction(self._engine, writes=True) as connection:
            of = sa.delete(uploads).where(uploads.c.archive == self._archive, uploads.c.target != target)
            return connection.execute(of.where(_pending)).rowcount

    def _change(self, recording_id: str, target: str, **values: object) -> None:
        with transaction(self._engine, writes=True) as connection:
            connection.execute(sa.update(uploads).where(*_one(recording_id, target)).values(**values))

    def pending(self, limit: int = 100) -> list[Upload]:
        """What is still to be sent, the oldest first."""
        query = _columns().where(_pending).order_by(uploads.c.number).limit(limit)
        with transaction(self._engine) as connection:
            return [Upload(*row) for row in connection.execute(query)]

    def next(self, target: str, turns: int, besides: Collection[int], limit: int = 1) -> list[Upload]:
        """What goes next: by turn, of those the least tried, of those the oldest.

        turns: only turns below this. besides: numbers of those that wait for another attempt.
        """
        column = uploads.c
        query = _columns().where(
            *self._here(target), column.turn < turns, column.number.not_in(list(besides))
        )
        query = query.order_by(column.turn, column.attempts, column.number).limit(limit)
        with transaction(self._engine) as connection:
            return [Upload(*row) for row in connection.execute(query)]

    def waiting(self, target: str) -> Waiting:
        """How much is still to be sent."""
        column = uploads.c
        sums = sa.select(sa.func.count(), sa.func.sum(column.bytes), sa.func.min(column.number))
        with transaction(self._engine) as connection:
            count, size, oldest = connection.execute(sums.where(*self._here(target))).one()
            if not count:
                return Waiting()
            since = connection.execute(sa.select(column.since_us).where(column.number == oldest)).scalar()
        return Waiting(int(count), int(size), int(oldest), int(since or 0))

    def of(self, recording_id: str, target: str) -> tuple[str, str] | None:
        """State ("pending", "done") and key of one; None: it is not known."""
        column = uploads.c
        query = sa.select(column.state, column.key).where(*_one(recording_id, target))
        with transaction(self._engine) as connection:
            row = connection.execute(query).first()
        return None if row is None else (row[0], row[1])

    def in_parts(self, target: str) -> set[str]:
        """Ids of uploads in parts that go on."""
        query = sa.select(uploads.c.upload_id).where(*self._here(target), uploads.c.upload_id != "")
        with transaction(self._engine) as connection:
            return set(connection.execute(query).scalars())

    def _here(self, target: str) -> list[sa.ColumnElement[bool]]:
        return [uploads.c.archive == self._archive, uploads.c.target == target, _pending]

    def alarmed(self, recording_ids: Collection[str], now_us: int) -> None:
        """It was told that these would have to go unsent."""
        ids = list(recording_ids)
        with transaction(self._engine, writes=True) as connection:
            for at in range(0, len(ids), AT_ONCE):
                of = sa.update(uploads).where(
                    uploads.c.recording_id.in_(ids[at : at + AT_ONCE]),
                    uploads.c.state == "pending",
                    uploads.c.alarmed_us.is_(None),
                )
                connection.execute(of.values(alarmed_us=now_us))


def _columns() -> sa.Select[Any]:
    names = ("recording_id", "target", "attempts", "error", "since_us", "alarmed_us")
    more = ("number", "path", "turn", "bytes", "key", "upload_id")
    return sa.select(*(uploads.c[name] for name in (*names, *more)))


def _known(connection: Connection, target: str, ids: list[str]) -> list[str]:
    known = sa.select(uploads.c.recording_id).where(
        uploads.c.recording_id.in_(ids), uploads.c.target == target
    )
    return list(connection.execute(known).scalars())


def _one(recording_id: str, target: str) -> list[sa.ColumnElement[bool]]:
    return [uploads.c.recording_id == recording_id, uploads.c.target == target]
