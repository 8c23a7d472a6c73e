"""What an upload needs to go on where it was: of which archive, which file, whose turn, under which name."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, SmallInteger, Text

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TEXTS = ("archive", "path", "key", "upload_id")


def upgrade() -> None:
    for name in _TEXTS:
        op.add_column("uploads", Column(name, Text, nullable=False, server_default=""))
    op.add_column("uploads", Column("turn", SmallInteger, nullable=False, server_default="1"))
    op.add_column("uploads", Column("bytes", BigInteger, nullable=False, server_default="0"))
    op.create_index("uploads_next", "uploads", ["archive", "target", "state", "turn", "attempts", "number"])


def downgrade() -> None:
    op.drop_index("uploads_next", "uploads")
    for name in (*_TEXTS, "turn", "bytes"):
        op.drop_column("uploads", name)
