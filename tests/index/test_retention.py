"""Retention: bounds hold, sources are treated alike, and what must stay stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from recorded import MINUTE_US, NOON_US, recording, written

from echostream.archive.disk_room import Disk
from echostream.archive.meta_files import read_meta, write_meta
from echostream.archive.recording import Recording
from echostream.archive.wall_clock import ClockQuality
from echostream.config.recording_models import Recording as Settings
from echostream.errors import IndexUnavailable
from echostream.events import Event, RecordingAtRisk
from echostream.index import folders
from echostream.index import reserve as reserve_module
from echostream.index import retention as retention_module
from echostream.index.archive_index import ArchiveIndex
from echostream.index.door import open_index
from echostream.index.retention import GRACE_S, Retention
from echostream.index.retention_plan import BYTES_A_RECORDING

NOW_S = NOON_US / 1e6 + 10 * 86_400
DAY_US = 24 * 60 * MINUTE_US
EACH = 40_000 - BYTES_A_RECORDING  # of audio: with its small files a recording takes 40 kB
LARGE = Disk(free=900 * 10**9, total=1000 * 10**9)


class House:
    """An archive, and retention with a clock and a disk of its own."""

    def __init__(self, directory: Path, url: str | None) -> None:
        self.directory = directory
        self.url = url
        self.events: list[Event] = []
        self.now_s = NOW_S
        self.disk = LARGE
        self.quality = ClockQuality("synchronised", 1.0)
        self.index = open_index(directory, url)

    def record(self, recordings: Iterable[Recording]) -> list[Recording]:
        made = list(recordings)
        self.index.changed([written(self.directory, one, 10) for one in made])
        return made

    def retention(self, **settings: object) -> Retention:
        return Retention(
            self.directory,
            Settings.model_validate({"min_free_percent": 5.0, **settings}),
            self.events.append,
            self.url,
            clock=lambda: self.now_s,
            disk=lambda _: self.disk,
            quality=lambda: self.quality,
        )

    def left(self) -> set[str]:
        indexed = {one.path for one in self.index.all()}
        files = {f"{path.parent.name}/{path.name}" for path in self.directory.glob("20*/*.wav")}
        assert indexed == files
        return indexed


@pytest.fixture
def house(tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch) -> Iterable[House]:
    monkeypatch.setattr(retention_module, "_size_of", lambda path: 0)  # the index's own file
    one = House(tmp_path, database_url)
    yield one
    one.index.close()


def many(count: int, source: str, first: int = 0, every_us: int = MINUTE_US, **known: Any) -> list[Recording]:
    known = {"bytes": EACH, "samples": 0, **known}
    return [recording(first + n, NOON_US + n * every_us, source, **known) for n in range(count)]


def test_what_is_too_old_goes_each_by_its_own_bound(house: House) -> None:
    old, young = house.record(many(2, "porch", every_us=8 * DAY_US))
    short = house.record(many(1, "barn", 10, keep_days=1.0))[0]
    long = house.record(many(1, "gate", 20, keep_days=30.0))[0]
    report = house.retention(keep_days=5.0).tick(NOW_S)
    assert house.left() == {young.path, long.path}
    assert (report.deleted, report.freed_bytes) == (2, 80_000)
    assert {old.path, short.path}.isdisjoint(house.left())


def test_without_a_bound_nothing_is_too_old(house: House) -> None:
    house.record(many(3, "porch"))
    assert house.retention().tick(NOW_S + 1e9).deleted == 0


def test_protected_and_open_ones_stay_whatever_their_age(house: House) -> None:
    kept = house.record([*many(1, "porch", protected=True), *many(1, "barn", 1, state="open")])
    house.record(many(1, "gate", 2))
    house.retention(keep_days=1.0, keep_gb=0.000001).tick(NOW_S)
    assert house.left() == {one.path for one in kept}


def test_what_was_protected_a_moment_ago_stays_though_the_index_does_not_know(house: House) -> None:
    one = house.record(many(1, "porch"))[0]
    meta = house.directory / one.path[:10] / ".meta" / f"{Path(one.path).stem}.json"
    known = read_meta(meta)
    known.protected = True
    write_meta(house.directory, known)
    assert house.retention(keep_days=1.0).tick(NOW_S).deleted == 0
    assert house.left() == {one.path}
    assert house.index.stats().protected == 1


def test_a_bound_in_bytes_takes_the_oldest_of_those_who_have_most(house: House) -> None:
    noisy = house.record(many(20, "noisy"))
    house.record(many(3, "quiet", 100))
    report = house.retention(keep_gb=0.000_600).tick(NOW_S)  # 15 of 40 kB, and 23 there are
    left = house.left()
    assert sum(1 for path in left if "quiet" in path) == 3
    assert {path for path in left if "noisy" in path} == {one.path for one in noisy[-11:]}
    assert report.still_over == 0
    assert house.retention(keep_gb=0.000_600).tick(NOW_S).deleted == 0


def test_free_space_is_left_to_others(house: House) -> None:
    house.record(many(20, "porch"))
    house.disk = Disk(free=400_000, total=10_000_000)  # 4 %; 5 % are 500,000
    report = house.retention().tick(NOW_S)
    assert report.deleted == 3  # 100,000 bytes and a margin
    assert len(house.left()) == 17


def test_what_is_to_be_sent_goes_last_and_only_after_an_alarm(house: House) -> None:
    unsent = house.record(many(3, "porch"))
    sent = house.record(many(3, "barn", 10, every_us=DAY_US))
    for one in (*unsent, *sent):
        house.index.uploads.add(one.id, "cloud", NOON_US)
    for one in sent:
        house.index.uploads.done(one.id, "cloud")
    retention = house.retention(keep_gb=0.000_081)  # two of six
    report = retention.tick(NOW_S)
    assert house.left() == {one.path for one in unsent}
    assert (report.deleted, report.at_risk) == (3, 1)
    (alarm,) = house.events
    assert isinstance(alarm, RecordingAtRisk)
    assert (alarm.paths, alarm.recordings, alarm.until_s) == ((unsent[0].path,), 1, NOW_S + GRACE_S)
    retention.tick(NOW_S + GRACE_S / 2)
    assert (len(house.left()), len(house.events)) == (3, 1)  # said once
    retention.tick(NOW_S + GRACE_S + 1)
    assert house.left() == {one.path for one in unsent[1:]}


def test_what_is_sent_within_the_grace_goes_as_any_other(house: House) -> None:
    one = house.record(many(1, "porch"))[0]
    house.index.uploads.add(one.id, "cloud", NOON_US)
    retention = house.retention(keep_days=1.0)
    retention.tick(NOW_S)
    assert house.left() == {one.path}
    assert len(house.events) == 1
    house.index.uploads.done(one.id, "cloud")
    retention.tick(NOW_S + 30)
    assert house.left() == set()


def test_when_nothing_may_go_it_says_so_once(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.record(many(3, "porch", protected=True))
    retention = house.retention(keep_gb=0.000_001)
    assert retention.tick(NOW_S).still_over > 0
    retention.tick(NOW_S + 30)
    assert caplog.text.count("all that is left is protected") == 1
    assert len(house.left()) == 3


def test_a_clock_that_nobody_set_deletes_nothing_for_its_age(house: House) -> None:
    house.record(many(3, "porch"))
    house.quality = ClockQuality("unsynchronised", 16_000.0)
    retention = house.retention(keep_days=1.0)
    assert retention.tick(NOW_S + 30 * 365 * 86_400).deleted == 0
    house.quality = ClockQuality("synchronised", 1.0)
    assert retention.tick(NOW_S).deleted == 3


def test_one_that_cannot_be_deleted_costs_only_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    made = house.record(many(3, "porch"))
    real = folders.delete

    def fails(directory: Path, path: str) -> None:
        if path == made[0].path:
            raise OSError("Read-only file system")
        real(directory, path)

    monkeypatch.setattr(folders, "delete", fails)
    report = house.retention(keep_days=1.0).tick(NOW_S)
    assert (report.deleted, len(report.failed)) == (2, 1)
    assert house.left() == {made[0].path}


def test_a_folder_of_another_gateway_is_left_alone(tmp_path: Path, postgres_url: str) -> None:
    houses = []
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        houses.append(House(tmp_path / name, postgres_url))
    north, south = houses
    try:
        north.record(many(3, "porch", gateway="north"))
        south.record(many(3, "porch", 10, gateway="south"))
        north.retention(keep_days=1.0, keep_gb=0.000_001).tick(NOW_S)
        assert [one.gateway for one in south.index.all()] == ["south"] * 3
        assert len(list((tmp_path / "south").glob("20*/*.wav"))) == 3
    finally:
        for one in houses:
            one.index.close()


def test_a_day_of_a_hundred_sources_keeps_its_bound_and_shares_it(house: House) -> None:
    """Every hour each source adds one; a tenth of them adds five."""
    retention = house.retention(keep_gb=0.008)  # 200 recordings, and 280 come
    number = 0
    for hour in range(4):
        made = []
        for source in range(50):
            for extra in range(5 if source < 5 else 1):
                at_us = NOON_US + hour * 60 * MINUTE_US + extra
                made.append(recording(number, at_us, f"mic-{source}", bytes=EACH, samples=0))
                number += 1
        house.record(made)
        retention.tick(NOON_US / 1e6 + hour * 3600)
        assert len(house.left()) <= 200
    left = house.index.stats().sources
    assert {one.recordings for one in left} <= {3, 4}
    assert len(left) == 50


def test_a_disk_without_a_free_byte_recovers_by_itself(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite cannot be opened there: the reserve is given up for it, and made again afterwards."""
    house.record(many(5, "porch"))
    reserve = house.directory / reserve_module.FILE_NAME

    def opens(directory: Path, url: str | None) -> ArchiveIndex:
        if reserve.exists() and house.disk.free == 0:
            raise IndexUnavailable("disk I/O error")
        return open_index(directory, url)

    monkeypatch.setattr(retention_module, "open_index", opens)
    monkeypatch.setattr(retention_module, "EVERY_S", 0.02)
    house.now_s = NOON_US / 1e6  # nothing is too old yet
    retention = house.retention(keep_days=1.0, min_free_percent=0.0)
    retention.start()
    try:
        # No hole: the space is really taken.
        wait_until(lambda: reserve.exists() and reserve.stat().st_blocks * 512 >= reserve_module.SIZE)
        house.disk = Disk(free=0, total=1000 * 10**9)
        house.now_s = NOW_S
        wait_until(lambda: not list(house.directory.glob("20*/*.wav")))
        assert not reserve.exists()
        house.disk = LARGE
        wait_until(reserve.exists)
    finally:
        retention.request_stop()
        assert retention.join(5.0)


def wait_until(true: Callable[[], bool], seconds: float = 15.0) -> None:
    end_s = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_it_stops_at_once_in_the_middle(house: House) -> None:
    house.record(many(5, "porch"))
    retention = house.retention(keep_days=1.0)
    retention.start()
    began_s = time.monotonic()
    retention.request_stop()
    assert retention.join(2.0)
    assert time.monotonic() - began_s < 1.0
    assert len(house.left()) == 5
