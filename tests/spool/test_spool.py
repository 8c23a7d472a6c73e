"""The spool's contract: numbers rise, what is put stays until it is done, the least important gives way."""

from __future__ import annotations

import sqlite3
import tempfile
import threading
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.errors import SpoolUnavailable
from echostream.spool.spool import Item, Spool

PLENTY = 10_000_000
IN_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""Where thousands of commits wait for no disk."""


def item(body: bytes = b"x", weight: int = 1, lane: str = "fire") -> Item:
    return Item(1_700_000_000_000_000, weight, lane, "key", body)


def test_what_is_put_is_there_after_it_is_opened_again(tmp_path: Path) -> None:
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:
        put = spool.put([item(b"one"), item(b"two", weight=2, lane="ems")])
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:
        assert spool.waiting() == put
        assert spool.count == 2
        assert spool.bytes_waiting == sum(one.bytes for one in put)


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:
        (first,) = spool.put([item()])
        spool.done([first.number])
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:
        (second,) = spool.put([replace(first)])
        assert second.number > first.number
        spool.done([first.number])
        assert spool.waiting() == [second]


def test_done_of_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:
        (one,) = spool.put([item()])
        spool.done([one.number, one.number, 999])
        spool.done([])
        assert spool.put([]) == []
        assert (spool.count, spool.bytes_waiting) == (0, 0)


def test_telemetry_gives_way_first_and_of_equals_the_oldest(tmp_path: Path) -> None:
    room = 5 * item().bytes
    with Spool(tmp_path / "s.sqlite3", room) as spool:
        alarm = spool.put([item(weight=2)])
        spool.put([item(weight=0)])
        events = spool.put([item(weight=1), item(weight=1), item(weight=1)])
        late = spool.put([item(weight=2), item(weight=2)])
        assert spool.waiting() == [*alarm, *events[1:], *late]
        assert spool.dropped == 2
        assert spool.bytes_waiting <= room


def test_one_that_is_larger_than_all_room_is_not_kept_and_costs_no_other(tmp_path: Path) -> None:
    with Spool(tmp_path / "s.sqlite3", 1000) as spool:
        kept = spool.put([item(weight=2)])
        spool.put([item(b"x" * 2000, weight=1)])
        assert spool.waiting() == kept
        assert spool.dropped == 1


@pytest.mark.parametrize("damage", ["garbage", "head", "middle", "empty", "cut"])
def test_broken_file_is_moved_aside_and_the_next_begins(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.sqlite3"
    with Spool(path, PLENTY) as spool:
        put = spool.put([item(bytes([at % 250]) * 900) for at in range(200)])
    raw = bytearray(path.read_bytes())
    match damage:
        case "garbage":
            raw[:] = b"no database " * 1000
        case "head":
            raw[:16] = b"\0" * 16
        case "middle":
            middle = len(raw) // 2 // 4096 * 4096
            raw[middle : middle + 8192] = b"\xff" * 8192
        case "empty":
            raw.clear()
        case "cut":
            del raw[len(raw) // 2 :]
    path.write_bytes(raw)
    with Spool(path, PLENTY) as spool:
        kept = spool.waiting(limit=1000)
        assert set(kept) <= set(put)
        assert [one.number for one in kept] == sorted(one.number for one in kept)
        if damage == "middle":
            assert len(kept) > 50
        (new,) = spool.put([item(b"new")])
        assert spool.waiting(limit=1000) == [*kept, new]
    assert damage == "empty" or (tmp_path / "s.sqlite3.broken").exists()


def test_file_that_breaks_while_it_is_used_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with Spool(path, PLENTY) as spool:
        spool.put([item(b"y" * 5000) for _ in range(40)])
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xfe" * (path.stat().st_size - 4096))
        fresh = Item(1, 2, "", "after", b"after")
        spool.put([fresh])
        assert [one.key for one in spool.waiting(limit=1000)][-1] == "after"


def test_file_of_a_newer_version_is_left_whole(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    with Spool(path, PLENTY) as spool:
        spool.put([item(b"kept")])
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 7")
    other.close()
    with Spool(path, PLENTY) as spool:
        assert [one.body for one in spool.waiting()] == [b"kept"]
    aside = sqlite3.connect(tmp_path / "s.sqlite3.broken")
    assert aside.execute("PRAGMA user_version").fetchone() == (7,)
    aside.close()


def test_folder_is_made(tmp_path: Path) -> None:
    with Spool(tmp_path / "var" / "lib" / "s.sqlite3", PLENTY) as spool:
        assert spool.put([item()])


def test_folder_that_cannot_be_made_is_said_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpoolUnavailable, match="its folder must be writable"):
        Spool(tmp_path / "file" / "s.sqlite3", PLENTY)


def test_file_stays_near_its_bound_however_much_passes_through(tmp_path: Path) -> None:
    path, room = tmp_path / "s.sqlite3", 1_000_000
    with Spool(path, room) as spool:
        for at in range(120):
            put = spool.put([item(bytes([at]) * 2000, weight=at % 3) for _ in range(20)])
            spool.done([one.number for one in put[:5]])
        assert spool.bytes_waiting <= room
        assert path.stat().st_size < 2 * room


def test_closed_spool_says_so(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite3", PLENTY)
    spool.close()
    with pytest.raises(SpoolUnavailable, match="closed"):
        spool.put([item()])


def test_many_threads_put_and_take_at_once(tmp_path: Path) -> None:
    with Spool(tmp_path / "s.sqlite3", PLENTY) as spool:

        def work(lane: str) -> None:
            for at in range(30):
                put = spool.put([item(str(at).encode(), lane=lane), item(b"gone", lane=lane)])
                spool.done([put[1].number])

        threads = [threading.Thread(target=work, args=(f"lane{at}",), name=f"put-{at}") for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        left = spool.waiting(limit=1000)
        assert spool.count == len(left) == 120
        for lane in range(4):
            bodies = [int(one.body) for one in left if one.lane == f"lane{lane}"]
            assert bodies == list(range(30))


@dataclass(frozen=True)
class Put:
    """(weight, size) of each."""

    of: list[tuple[int, int]]


@dataclass(frozen=True)
class Done:
    numbers: list[int]


@dataclass(frozen=True)
class OpenAgain:
    pass


STEPS = st.lists(
    st.one_of(
        st.builds(Put, st.lists(st.tuples(st.integers(0, 2), st.integers(0, 300)), min_size=1, max_size=6)),
        st.builds(Done, st.lists(st.integers(1, 60), min_size=1, max_size=5)),
        st.builds(OpenAgain),
    )
)


@given(steps=STEPS, room=st.integers(150, 4000))
@settings(max_examples=60)
def test_any_order_of_steps_is_as_a_list_would_have_it(
    steps: list[Put | Done | OpenAgain], room: int
) -> None:
    folder = tempfile.TemporaryDirectory(dir=IN_MEMORY)
    path = Path(folder.name) / "s.sqlite3"
    spool, model, last = Spool(path, room), list[Item](), 0
    try:
        for step in steps:
            match step:
                case OpenAgain():
                    spool.close()
                    spool = Spool(path, room)
                case Done():
                    spool.done(step.numbers)
                    model = [one for one in model if one.number not in step.numbers]
                case Put():
                    put = spool.put([item(b"z" * size, weight) for weight, size in step.of])
                    assert [one.number for one in put] == list(range(last + 1, last + 1 + len(put)))
                    last = put[-1].number
                    model += put
                    while sum(one.bytes for one in model) > room:
                        model.remove(min(model, key=lambda one: (one.weight, one.number)))
            assert spool.waiting(limit=1000) == model
            assert (spool.count, spool.bytes_waiting) == (len(model), sum(one.bytes for one in model))
    finally:
        spool.close()
        folder.cleanup()
