"""The first tables, as they were then: this file never changes."""

from __future__ import annotations

from typing import Final

from alembic import op
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

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

metadata = MetaData()


_Number = BigInteger().with_variant(Integer, "sqlite")

_Name = Text().with_variant(Text(collation="C"), "postgresql")

devices = Table(
    "devices",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("archive", Text, nullable=False),
    Column("gateway", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("channel_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("ppm", Float),
    Column("recordings", BigInteger, nullable=False, server_default="0"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("duration_us", BigInteger, nullable=False, server_default="0"),
    Column("first_us", BigInteger, nullable=False, server_default="0"),
    Column("last_us", BigInteger, nullable=False, server_default="0"),
    Column("longest_us", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("archive", "gateway", "source", "kind", "channel_id", name="devices_one"),
)

recordings = Table(
    "recordings",
    metadata,
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
    Column("keep_until_us", BigInteger),
    Column("meta_mtime_ns", BigInteger, nullable=False),
    Column("words", Text, nullable=False),
)

gaps = Table(
    "gaps",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("recording", BigInteger, ForeignKey("recordings.number", ondelete="CASCADE"), nullable=False),
    Column("device", BigInteger, nullable=False),
    Column("before", SmallInteger, nullable=False),
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
    Column("recording_id", _Name, nullable=False),
    Column("target", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Text, nullable=False, server_default=""),
    Column("since_us", BigInteger, nullable=False),
    Column("alarmed_us", BigInteger),
    UniqueConstraint("recording_id", "target", name="uploads_one"),
)

vocabulary = Table("vocabulary", metadata, Column("word", _Name, primary_key=True), sqlite_with_rowid=False)

folders = Table(
    "folders",
    metadata,
    Column("archive", Text, primary_key=True),
    Column("folder", Text, primary_key=True),
    Column("audio_mtime_ns", BigInteger, nullable=False),
    Column("meta_mtime_ns", BigInteger, nullable=False),
)

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
_pending = uploads.c.state == "pending"
Index("uploads_pending", uploads.c.recording_id, sqlite_where=_pending, postgresql_where=_pending)

FULL_TEXT: Final = {
    "sqlite": (
        # The words stand in `recordings` (external content); where in the text they are, nobody asks.
        """CREATE VIRTUAL TABLE recording_words USING fts5(words, content='recordings',
           content_rowid='number', columnsize=0, detail=none, tokenize="ascii tokenchars '_'")""",
        """CREATE TRIGGER recordings_words_in AFTER INSERT ON recordings BEGIN
           INSERT INTO recording_words(rowid, words) VALUES (new.number, new.words); END""",
        """CREATE TRIGGER recordings_words_out AFTER DELETE ON recordings BEGIN
           INSERT INTO recording_words(recording_words, rowid, words)
           VALUES ('delete', old.number, old.words); END""",
    ),
    "postgresql": (
        # A GIN index finds all that match and has them sorted then; this is in the order of time already.
        'CREATE TABLE recording_words (word text COLLATE "C", number bigint, PRIMARY KEY (word, number))',
        """CREATE FUNCTION echostream_words_in() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           INSERT INTO recording_words SELECT unnest(string_to_array(words, ' ')), number FROM added;
           RETURN NULL; END $$""",
        """CREATE FUNCTION echostream_words_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           DELETE FROM recording_words USING gone, unnest(string_to_array(gone.words, ' ')) AS each_word
           WHERE recording_words.word = each_word AND recording_words.number = gone.number;
           RETURN NULL; END $$""",
        """CREATE TRIGGER recordings_words_in AFTER INSERT ON recordings REFERENCING NEW TABLE AS added
           FOR EACH STATEMENT EXECUTE FUNCTION echostream_words_in()""",
        """CREATE TRIGGER recordings_words_out AFTER DELETE ON recordings REFERENCING OLD TABLE AS gone
           FOR EACH STATEMENT EXECUTE FUNCTION echostream_words_out()""",
    ),
}
"""The words of `recordings` in an inverted index, which the database itself keeps. A row is never updated."""


def upgrade() -> None:
    bind = op.get_bind()
    metadata.create_all(bind)
    for statement in FULL_TEXT[bind.dialect.name]:
        op.execute(statement)


def downgrade() -> None:
    bind = op.get_bind()
    op.execute("DROP TABLE recording_words")
    metadata.drop_all(bind)
    if bind.dialect.name == "postgresql":
        op.execute("DROP FUNCTION echostream_words_in, echostream_words_out")
