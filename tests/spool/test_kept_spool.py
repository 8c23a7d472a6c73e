"""While the disk refuses, what waits is in memory, bounded; when it takes it again, it goes there."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from echostream.errors import SpoolUnavailable
from echostream.spool import kept_spool
from echostream.spool.kept_spool import AGAIN_S, KeptSpool
from echostream.spool.spool import Item, Spool


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FullDisk:
    """Makes every Spool refuse to write while `full`."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full = False
        put, done = Spool.put, Spool.done

        def refuse(spool: Spool) -> None:
            if self.full:
                raise SpoolUnavailable(f"{spool.path}: cannot write: database or disk is full")

        def checked_put(spool: Spool, items: list[Item]) -> list[Item]:
            refuse(spool)
            return put(spool, items)

        def checked_done(spool: Spool, numbers: list[int]) -> None:
            refuse(spool)
            done(spool, numbers)

        patch.setattr(Spool, "put", checked_put)
        patch.setattr(Spool, "done", checked_done)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FullDisk:
    return FullDisk(monkeypatch)


def item(name: str, weight: int = 1, size: int = 10) -> Item:
    return Item(1, weight, "fire", name, b"x" * size)


def names(spool: KeptSpool, after: int = 0) -> list[str]:
    return [one.key for one in spool.waiting(after, 1000)]


def test_full_disk_is_said_once_and_costs_nothing(
    tmp_path: Path, clock: Clock, disk: FullDisk, caplog: pytest.LogCaptureFixture
) -> None:
    spool = KeptSpool(tmp_path / "s.sqlite3", 1_000_000, clock)
    spool.put([item("one")])
    disk.full = True
    for name in ("two", "three"):
        spool.put([item(name)])
        clock.now += AGAIN_S + 1
    assert names(spool) == ["one", "two", "three"]
    assert len([one for one in caplog.records if one.levelno == logging.ERROR]) == 1
    assert "disk is full" in caplog.text
    disk.full = False
    epoch = spool.epoch
    clock.now += AGAIN_S + 1
    spool.put([item("four")])
    assert names(spool) == ["one", "two", "three", "four"]
    assert spool.epoch == epoch + 1
    assert spool.count == 4
    spool.close()
    with Spool(tmp_path / "s.sqlite3", 1_000_000) as there:
        assert [one.key for one in there.waiting()] == ["one", "two", "three", "four"]


def test_what_has_arrived_is_not_offered_again_while_the_disk_cannot_forget_it(
    tmp_path: Path, clock: Clock, disk: FullDisk
) -> None:
    spool = KeptSpool(tmp_path / "s.sqlite3", 1_000_000, clock)
    (one, _) = spool.put([item("one"), item("two")])
    disk.full = True
    spool.done([one.number])
    assert names(spool) == ["two"]
    assert spool.count == 1
    (three,) = spool.put([item("three")])
    spool.done([three.number])
    assert names(spool) == ["two"]
    disk.full = False
    clock.now += AGAIN_S + 1
    (four,) = spool.put([item("four")])
    assert four.number < three.number
    assert names(spool) == ["two", "four"]
    assert spool.epoch == 1, "whoever read beyond the memory's numbers must begin at the front"
    spool.done([])
    spool.close()
    with Spool(tmp_path / "s.sqlite3", 1_000_000) as there:
        assert [one.key for one in there.waiting()] == ["two", "four"]


def test_disk_that_is_really_full_is_survived(tmp_path: Path, clock: Clock) -> None:
    """SQLite's own SQLITE_FULL, by its page limit."""
    spool = KeptSpool(tmp_path / "s.sqlite3", 10_000_000, clock)
    spool.put([item("one", size=5000)])
    assert spool._disk is not None
    assert spool._disk._file is not None
    spool._disk._file.execute("PRAGMA max_page_count = 20")
    for at in range(40):
        spool.put([item(f"{at}", size=5000)])
        clock.now += AGAIN_S + 1
    assert names(spool) == ["one", *(str(at) for at in range(40))]
    assert spool.count == 41
    spool._disk._file.execute("PRAGMA max_page_count = 100000")
    clock.now += AGAIN_S + 1
    spool.put([item("last")])
    spool.close()
    with Spool(tmp_path / "s.sqlite3", 10_000_000) as there:
        assert [one.key for one in there.waiting(limit=99)] == ["one", *(str(at) for at in range(40)), "last"]


def test_folder_that_comes_late_takes_what_waited(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "later").touch()
    spool = KeptSpool(tmp_path / "later" / "s.sqlite3", 1_000_000, clock)
    spool.put([item("one")])
    assert names(spool) == ["one"]
    (tmp_path / "later").unlink()
    clock.now += AGAIN_S + 1
    assert names(spool) == ["one"]
    spool.close()
    with Spool(tmp_path / "later" / "s.sqlite3", 1_000_000) as there:
        assert [one.key for one in there.waiting()] == ["one"]


def test_memory_is_bounded_and_the_least_gives_way(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_spool, "MEMORY_BYTES", 1500)
    (tmp_path / "none").touch()
    spool = KeptSpool(tmp_path / "none" / "s.sqlite3", 1_000_000, clock)
    spool.put([item("alarm", weight=2)])
    for at in range(20):
        spool.put([item(f"event {at}")])
    assert names(spool)[0] == "alarm"
    assert names(spool)[-1] == "event 19"
    assert spool.bytes_waiting <= 1500
    assert spool.dropped == 21 - spool.count
    spool.close()


def test_age_is_by_this_machines_own_seconds(tmp_path: Path, clock: Clock) -> None:
    spool = KeptSpool(tmp_path / "s.sqlite3", 1_000_000, clock)
    assert spool.oldest_s == 0.0
    (first,) = spool.put([item("one")])
    clock.now += 100
    spool.put([item("two")])
    clock.now += 10
    assert spool.oldest_s == 110.0
    spool.done([first.number])
    assert spool.oldest_s == 10.0
    spool.close()


def test_age_stays_bounded_and_near_the_truth_however_long_it_takes(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = KeptSpool(tmp_path / "s.sqlite3", 100_000_000, clock)
    numbers = []
    monkeypatch.setattr(kept_spool, "MOST_AGES", 32)
    for _ in range(100):
        numbers += [one.number for one in spool.put([item("one")])]
        clock.now += 400
    assert len(spool._ages) <= kept_spool.MOST_AGES
    assert spool.oldest_s == 100 * 400
    spool.done(numbers[:50])
    assert abs(spool.oldest_s - 50 * 400) < 10_000
    spool.close()
