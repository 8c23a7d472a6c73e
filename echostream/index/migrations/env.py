"""What Alembic runs: the changes, on the connection that schema.py hands over."""

from __future__ import annotations

from alembic import context

from echostream.index.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # SQLite changes a column by making the table anew.
    render_as_batch=True,
)
context.run_migrations()
