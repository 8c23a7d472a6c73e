"""The event log as a table: what happened, and who did what. Rows go with their day; none changes."""

from __future__ import annotations

from typing import Final

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

metadata = MetaData()

_Number = BigInteger().with_variant(Integer, "sqlite")

_Name = Text().with_variant(Text(collation="C"), "postgresql")

events = Table(
    "events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("log", _Name, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("day", _Name, nullable=False),
    Column("id", _Name, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("kind", _Name, nullable=False),
    Column("channel_id", _Name, nullable=False),
    Column("subject", Text, nullable=False),
    Column("weight", SmallInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    UniqueConstraint("log", "line", name="events_one"),
)

event_days = Table(
    "event_days",
    metadata,
    Column("log", _Name, primary_key=True),
    Column("day", _Name, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)

event_purges = Table(
    "event_purges",
    metadata,
    Column("log", _Name, primary_key=True),
    Column("day", _Name, primary_key=True),
)

Index("events_time", events.c.at_us)
Index("events_kind", events.c.kind, events.c.at_us)
Index("events_channel", events.c.channel_id, events.c.at_us)
Index("events_day", events.c.log, events.c.day)

_PURGED: Final = (
    "EXISTS (SELECT 1 FROM event_purges WHERE event_purges.log = old.log AND event_purges.day = old.day)"
)
APPEND_ONLY: Final = {
    "sqlite": (
        """CREATE TRIGGER events_never_change BEFORE UPDATE ON events BEGIN
           SELECT RAISE(ABORT, 'events are never changed'); END""",
        f"""CREATE TRIGGER events_stay BEFORE DELETE ON events WHEN NOT {_PURGED} BEGIN
           SELECT RAISE(ABORT, 'events are never deleted, but with their day'); END""",
    ),
    "postgresql": (
        f"""CREATE FUNCTION echostream_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF TG_OP = 'DELETE' AND {_PURGED} THEN RETURN old; END IF;
           RAISE EXCEPTION 'events are never changed, nor deleted but with their day'; END $$""",
        """CREATE TRIGGER events_stay BEFORE UPDATE OR DELETE ON events
           FOR EACH ROW EXECUTE FUNCTION echostream_events_stay()""",
        """CREATE FUNCTION echostream_events_all_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           RAISE EXCEPTION 'events are never changed, nor deleted but with their day'; END $$""",
        """CREATE TRIGGER events_all_stay BEFORE TRUNCATE ON events
           FOR EACH STATEMENT EXECUTE FUNCTION echostream_events_all_stay()""",
    ),
}
"""The database itself keeps them: a day goes only while it stands in event_purges."""


def upgrade() -> None:
    bind = op.get_bind()
    metadata.create_all(bind)
    for statement in APPEND_ONLY[bind.dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    bind = op.get_bind()
    metadata.drop_all(bind)
    if bind.dialect.name == "postgresql":
        op.execute("DROP FUNCTION echostream_events_stay, echostream_events_all_stay")
