"""Finds what was recorded again (SQLite beside the recordings, or a site's PostgreSQL), and what is kept.

The index says nothing of its own: everything in it stands in the files of `archive/`, and it can be made of
them again. Only this room knows SQLAlchemy; `door.py`, `query.py`, `words.py` and `retention_plan.py` do not
import it, so that a command which does not need it starts without.
"""
