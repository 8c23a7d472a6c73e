"""What is to be sent elsewhere, and was: nothing of it is deleted before it was told.

This alone does not stand in the files: after a loss of the index, whoever sends them adds them again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from echostream.index.engine import transaction
from echostream.index.store import AT_ONCE
from echostream.index.tables import uploads


@dataclass(frozen=True, slots=True)
class Upload:
    """One recording to one target. since_us, alarmed_us: Unix microseconds."""

    recording_id: str
    target: str
    attempts: int
    error: str
    since_us: int
    alarmed_us: int | None


class Uploads:
    """Rows of the table `uploads`. Methods raise IndexUnavailable."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, recording_id: str, target: str, now_us: int) -> None:
        """It is to be sent there, from now on. Nothing changes where that is known, or done, already."""
        with transaction(self._engine, writes=True) as connection:
            known = sa.select(uploads.c.number).where(*_one(recording_id, target))
            if connection.execute(known).first() is None:
                row = {"recording_id": recording_id, "target": target, "state": "pending", "since_us": now_us}
                connection.execute(sa.insert(uploads).values(**row))

    def done(self, recording_id: str, target: str) -> None:
        """It is there."""
        with transaction(self._engine, writes=True) as connection:
            of = sa.update(uploads).where(*_one(recording_id, target))
            connection.execute(of.values(state="done", error=""))

    def failed(self, recording_id: str, target: str, error: str) -> None:
        """It was tried in vain, and stays pending."""
        with transaction(self._engine, writes=True) as connection:
            of = sa.update(uploads).where(*_one(recording_id, target))
            connection.execute(of.values(attempts=uploads.c.attempts + 1, error=error[:500]))

    def pending(self, limit: int = 100) -> list[Upload]:
        """What is still to be sent, the oldest first."""
        names = ("recording_id", "target", "attempts", "error", "since_us", "alarmed_us")
        query = sa.select(*(uploads.c[name] for name in names)).where(sa.literal_column("state = 'pending'"))
        with transaction(self._engine) as connection:
            return [Upload(*row) for row in connection.execute(query.order_by(uploads.c.number).limit(limit))]

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


def _one(recording_id: str, target: str) -> list[sa.ColumnElement[bool]]:
    return [uploads.c.recording_id == recording_id, uploads.c.target == target]
