"""The writer: whoever tells it never waits, and what was told is in the index in the end."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from recorded import NOON_US, recording, written

from echostream.events import Event
from echostream.index import writer as writer_module
from echostream.index.door import FILE_NAME, open_index
from echostream.index.writer import IndexWriter

SOON_S = 10.0


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def writer(tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch) -> Iterator[IndexWriter]:
    monkeypatch.setattr(writer_module, "GATHER_S", 0.01)
    monkeypatch.setattr(writer_module, "RETRY_MIN_S", 0.05)
    one = IndexWriter(tmp_path, events.append)
    yield one
    one.request_stop()
    assert one.join(5.0)


def ids(directory: Path) -> set[str]:
    with open_index(directory) as index:
        return {one.id for one in index.all()}


def eventually(directory: Path, count: int) -> None:
    end_s = time.monotonic() + SOON_S
    while len(ids(directory)) != count:
        assert time.monotonic() < end_s, f"{len(ids(directory))} of {count} after {SOON_S} s"
        time.sleep(0.02)


def test_what_is_told_is_indexed_and_what_was_there_before_too(writer: IndexWriter, tmp_path: Path) -> None:
    written(tmp_path, recording(1))
    writer.start()
    assert writer.wait_idle(SOON_S)
    two, three = recording(2), recording(3)
    writer.changed(written(tmp_path, two))
    writer.changed(written(tmp_path, three))
    writer.removed(tmp_path / two.path)
    assert writer.wait_idle(SOON_S)
    assert ids(tmp_path) == {recording(1).id, three.id}
    assert writer.stats["waiting"] == 0


def test_nobody_waits_while_another_holds_the_database(writer: IndexWriter, tmp_path: Path) -> None:
    writer.start()
    assert writer.wait_idle(SOON_S)
    metas = [written(tmp_path, recording(n)) for n in range(200)]
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        began_s = time.monotonic()
        for meta in metas:
            writer.changed(meta)
        assert time.monotonic() - began_s < 0.5
        assert not writer.wait_idle(0.3)
        other.execute("COMMIT")
    finally:
        other.close()
    assert writer.wait_idle(SOON_S)
    assert len(ids(tmp_path)) == 200


def test_too_much_at_once_is_found_in_the_folders(
    writer: IndexWriter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "BOUND", 10)
    metas = [written(tmp_path, recording(n)) for n in range(25)]
    for meta in metas:
        writer.changed(meta)
    assert writer.stats["waiting"] <= 10
    assert writer.stats["overflows"] == 2
    writer.start()
    assert writer.wait_idle(SOON_S)
    assert len(ids(tmp_path)) == 25


def test_a_database_that_is_away_is_said_once_and_used_when_it_is_back(
    writer: IndexWriter, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).mkdir()  # nothing that SQLite could open
    meta = written(tmp_path, recording(1))
    writer.start()
    writer.changed(meta)
    assert not writer.wait_idle(0.5)
    assert writer.error
    assert caplog.text.count("trying again") == 1
    (tmp_path / FILE_NAME).rmdir()
    assert writer.wait_idle(SOON_S)
    assert (len(ids(tmp_path)), writer.error) == (1, "")


def test_a_file_that_somebody_took_away_is_made_again(writer: IndexWriter, tmp_path: Path) -> None:
    written(tmp_path, recording(1))
    writer.start()
    assert writer.wait_idle(SOON_S)
    for path in tmp_path.glob(f"{FILE_NAME}*"):
        path.unlink()
    writer.changed(written(tmp_path, recording(2)))
    eventually(tmp_path, 2)


def test_damage_while_it_runs_is_mended_without_a_restart(writer: IndexWriter, tmp_path: Path) -> None:
    for n in range(30):
        written(tmp_path, recording(n))
    writer.start()
    assert writer.wait_idle(SOON_S)
    path = tmp_path / FILE_NAME
    with open_index(tmp_path) as index:
        index.list()  # what is in the WAL goes into the file when the last one closes
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    writer.changed(written(tmp_path, recording(100)))
    eventually(tmp_path, 31)
    assert writer.restarts == 0


def test_a_stop_writes_what_was_told_before_it(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "GATHER_S", 5.0)
    one = IndexWriter(tmp_path, events.append)
    one.start()
    assert one.wait_idle(SOON_S)
    one.changed(written(tmp_path, recording(1)))
    one.request_stop()
    assert one.join(3.0)
    assert ids(tmp_path) == {recording(1).id}
    assert events == []


def test_a_file_that_says_nothing_does_not_stop_the_rest(writer: IndexWriter, tmp_path: Path) -> None:
    writer.start()
    broken = written(tmp_path, recording(1, NOON_US + 1_000_000))
    broken.write_text("{")
    writer.changed(broken)
    writer.changed(tmp_path / "no" / ".meta" / "such.json")
    writer.changed(written(tmp_path, recording(2)))
    assert writer.wait_idle(SOON_S)
    assert ids(tmp_path) == {recording(2).id}
