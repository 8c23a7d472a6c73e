"""How SQLite finds rows: along an index that is in the order of the answer, whatever it knows of the sizes.

A plan that reads everything is right in every other test, and takes a second once there are a million.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from recorded import MINUTE_US, NOON_US, recording, written

from echostream.archive.recording import Gap, ToneMark
from echostream.index.archive_index import ArchiveIndex
from echostream.index.candidates import Candidates
from echostream.index.door import open_index
from echostream.index.query import Query

EVERYTHING = re.compile(r"SCAN recordings(?! USING (COVERING )?INDEX recordings_(open|protected|keep)\b)")
"""A walk through all rows; an index of a few of them may be read whole."""


class Watch:
    """The plan of every statement that reads `recordings`."""

    def __init__(self, index: ArchiveIndex) -> None:
        self.plans: list[tuple[str, str]] = []
        self._busy = False
        sa.event.listen(index.engine, "before_cursor_execute", self._before)

    def _before(self, _c: Any, cursor: Any, statement: str, parameters: Any, _x: Any, many: bool) -> None:
        if self._busy or many or "recordings" not in statement or statement.startswith(("INSERT", "PRAGMA")):
            return
        rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
        self.plans.append((statement, "\n".join(row[3] for row in rows)))

    def take(self) -> list[tuple[str, str]]:
        taken, self.plans = self.plans, []
        return taken


@pytest.fixture(params=["known sizes", "unknown sizes"])
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[ArchiveIndex, Watch]]:
    """A few hundred recordings of many devices; the planner has seen them, or not."""
    with open_index(tmp_path) as index:
        made = [
            recording(
                n,
                NOON_US + n // 40 * 10 * MINUTE_US,
                f"mic-{n % 40}",
                channel_id=f"c{n % 4}",
                protected=n % 50 == 0,
                keep_days=1.0 if n % 7 == 0 else None,
                gaps=[Gap(NOON_US, NOON_US + 1, "overload", 0)],
                tones=[ToneMark("engine", "Engine", NOON_US, NOON_US + 1)] if n % 9 == 0 else [],
            )
            for n in range(400)
        ]
        index.changed([written(tmp_path, one, 1) for one in made])
        if request.param == "known sizes":
            index.tidy_up()
        yield index, Watch(index)


def no_scan(watch: Watch, sorted_few: bool = False) -> None:
    plans = watch.take()
    assert plans
    for statement, plan in plans:
        assert not EVERYTHING.search(plan), f"{statement}\n{plan}"
        assert sorted_few or "TEMP B-TREE FOR ORDER BY" not in plan, f"{statement}\n{plan}"


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(oldest_first=True),
        Query(since_us=NOON_US, until_us=NOON_US + MINUTE_US),
        Query(sources=("mic-3",)),
        Query(kinds=("device",)),
        Query(protected=True),
        Query(protected=True, sources=("mic-3",)),
        Query(state="open"),
        Query(tones=("engine",)),
        Query(text="engine mic*", protected=False),
        Query(text="engine", channels=("c1",), until_us=NOON_US),
        Query(triggers=("vox",)),
    ],
    ids=repr,
)
def test_a_question_is_a_walk_along_an_index(watched: tuple[ArchiveIndex, Watch], query: Query) -> None:
    index, watch = watched
    index.list(query, limit=5)
    no_scan(watch)


def test_a_channel_of_some_devices_is_merged_of_a_few_of_each(watched: tuple[ArchiveIndex, Watch]) -> None:
    index, watch = watched
    index.list(Query(channels=("c1",)), limit=5)
    no_scan(watch, sorted_few=True)


def test_changes_find_their_rows_at_once(watched: tuple[ArchiveIndex, Watch], tmp_path: Path) -> None:
    index, watch = watched
    some = list(index.all())[:20]
    watch.take()
    index.changed([written(tmp_path, one, 1) for one in some])
    index.removed([one.path for one in some])
    plans = watch.take()
    by_path = [plan for statement, plan in plans if "recordings.path IN" in statement]
    assert by_path
    assert all("recordings_path" in plan for plan in by_path)
    for statement, plan in plans:
        assert not EVERYTHING.search(plan), f"{statement}\n{plan}"


def test_comparing_a_day_reads_that_day_only(watched: tuple[ArchiveIndex, Watch]) -> None:
    index, watch = watched
    index.reconcile()
    plans = [plan for statement, plan in watch.take() if "meta_mtime_ns" in statement]
    assert plans
    assert all("recordings_path" in plan for plan in plans)


def test_retention_looks_only_at_what_may_go(watched: tuple[ArchiveIndex, Watch]) -> None:
    index, watch = watched
    candidates = Candidates(index.engine, index.archive)
    list(candidates.oldest(1, 10**9))
    list(candidates.expired(NOON_US * 2, 1.0))
    candidates.open_paths()
    candidates.uses()
    no_scan(watch, sorted_few=True)
