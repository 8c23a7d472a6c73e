"""The tables, for SQLite and PostgreSQL alike.

SQLAlchemy's Core without its object mapper: a row becomes a `Recording`, nothing is kept in sync with
objects, and the import is a quarter cheaper. Times are Unix microseconds. Yes and no are 1 and 0, because a
partial index must read the same in both databases.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# SQLite numbers rows by itself only in a column that is called INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

# Ordered by its bytes, whatever language the database is in.
_Name = Text().with_variant(Text(collation="C"), "postgresql")

devices = Table(
    "devices",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("archive", Text, nullable=False),  # the folder that its files lie in: its `archive-id`
    Column("gateway", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("label", Text, nullable=False),  # of its newest recording
    Column("ppm", Float),
    # Kept with every recording that comes or goes, so that asking costs nothing.
    Column("recordings", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("duration_us", BigInteger, nullable=False, server_default="0"),
    Column("first_us", BigInteger, nullable=False, server_default="0"),
    Column("last_us", BigInteger, nullable=False, server_default="0"),
    Column("longest_us", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("archive", "gateway", "source", "kind", "channel_id", name="devices_one"),
)
"""One source on one channel."""

recordings = Table(
    "recordings",
    metadata,
    # start_us * 2048 + a number that makes it the only one: the key is the order of time (rows.py).
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("id", _Name, nullable=False, unique=True),
    Column("device", BigInteger, ForeignKey("devices.number"), nullable=False),
    Column("path", _Name, nullable=False),
    Column("form", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("rate_hz", Integer, nullable=False),
    Column("samples", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("ended", Text, nullable=False),
    Column("clock", Text, nullable=False),
    Column("start_error_ms", Float, nullable=False),
    Column("ppm", Float),
    Column("peak_dbfs", Float),
    Column("rms_dbfs", Float),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("protected", SmallInteger, nullable=False),
    Column("notes", Text, nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("keep_days", Float),
    Column("keep_until_us", BigInteger),  # end_us + keep_days
    Column("meta_mtime_ns", BigInteger, nullable=False),  # of the file that this row was made of
    Column("words", Text, nullable=False),  # what the full-text index is made of (words.py)
)

gaps = Table(
    "gaps",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("recording", BigInteger, ForeignKey("recordings.number", ondelete="CASCADE"), nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("before", SmallInteger, nullable=False),  # 1: it lies before the recording, 0: within
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("position", BigInteger),
)

tone_events = Table(
    "tone_events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("recording", BigInteger, ForeignKey("recordings.number", ondelete="CASCADE"), nullable=False),
    Column("tone_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    # Not the row's number: that may change when a better time of its start is known.
    Column("recording_id", _Name, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),  # pending, done
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=""),
    Column("since_us", BigInteger, nullable=False),
    Column("alarmed_us", BigInteger),  # when it was told that the recording would have to go unsent
    Column("archive", Text, nullable=False, server_default=""),
    Column("path", Text, nullable=False, server_default=""),  # of the file, as it was when it was added
    Column("key", Text, nullable=False, server_default=""),  # what it is called there, once it was begun
    Column("upload_id", Text, nullable=False, server_default=""),  # of an upload in parts that was begun
    Column("turn", SmallInteger, nullable=False, server_default="1"),  # 0: a page, goes first; 1: others
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("recording_id", "target", name="uploads_one"),
)

vocabulary = Table("vocabulary", metadata, Column("word", _Name, primary_key=True), sqlite_with_rowid=False)
"""Every word that any recording has, or had: what `eng*` begins."""

folders = Table(
    "folders",
    metadata,
    Column("archive", Text, primary_key=True),
    Column("folder", Text, primary_key=True),  # a day
    Column("audio_mtime_ns", BigInteger, nullable=False),
    Column("meta_mtime_ns", BigInteger, nullable=False),
)
"""When each day was last compared with its files: a day that has not changed since is not read again."""

events = Table(
    "events",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("log", _Name, nullable=False),  # the `archive-id` of its folder
    Column("line", BigInteger, nullable=False),  # its number in the log
    Column("day", _Name, nullable=False),  # which file it is in
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
"""The event log, of its files. Triggers keep rows from being changed, and deleted but by a purge."""

event_days = Table(
    "event_days",
    metadata,
    Column("log", _Name, primary_key=True),
    Column("day", _Name, primary_key=True),
    Column("bytes", BigInteger, nullable=False),
)
"""How much of each day's file is in the table."""

event_purges = Table(
    "event_purges",
    metadata,
    Column("log", _Name, primary_key=True),
    Column("day", _Name, primary_key=True),
)
"""Days that are being deleted; empty but within that transaction."""

any_device = sa.literal_column("+recordings.device", BigInteger)
"""The same column where no index of it shall be used: what is asked for is in the order of another one."""

Index("recordings_device", recordings.c.device, recordings.c.number)
Index("recordings_path", recordings.c.path)
for _name, _where in (
    ("recordings_protected", recordings.c.protected == 1),
    ("recordings_open", recordings.c.state == "open"),
):
    Index(_name, recordings.c.number, sqlite_where=_where, postgresql_where=_where)
_keep = recordings.c.keep_until_us.is_not(None)
Index("recordings_keep", recordings.c.keep_until_us, sqlite_where=_keep, postgresql_where=_keep)
Index("gaps_recording", gaps.c.recording)
Index("gaps_time", gaps.c.start_us)
Index("tones_recording", tone_events.c.recording)
Index("tones_time", tone_events.c.start_us)
_turns = [uploads.c[name] for name in ("archive", "target", "state", "turn", "attempts", "number")]
Index("uploads_next", *_turns)
_pending = uploads.c.state == "pending"
Index("uploads_pending", uploads.c.recording_id, sqlite_where=_pending, postgresql_where=_pending)
Index("events_time", events.c.at_us)
Index("events_kind", events.c.kind, events.c.at_us)
Index("events_channel", events.c.channel_id, events.c.at_us)
Index("events_day", events.c.log, events.c.day)
