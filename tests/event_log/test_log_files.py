"""The log's files: whole after a kill, a power cut and a full disk; in order whatever the clock says."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.event_log import files as log_files
from echostream.event_log.backwards import BLOCK, lines_backwards
from echostream.event_log.files import LogFiles, day_files, last_number
from echostream.event_log.following import AWAKE, Follower
from echostream.event_log.lines import LAST_US, MOST_BYTES, Logged, day_of, decode, encode, quoted
from echostream.event_log.purging import Purge, too_old
from echostream.event_log.reading import Wanted, read, tail
from echostream.notices.notice import Notice, Weight

NOON_US = 1_795_262_400_000_000
DAY_US = 86_400_000_000
TEXT = st.text(max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NOTICES = st.builds(
    Notice,
    kind=st.sampled_from(["page", "admin", "device"]),
    at_us=st.integers(-(10**18), 10**18),
    text=TEXT,
    channel_id=TEXT,
    subject=TEXT,
    weight=st.sampled_from(Weight),
    who=TEXT,
    data=st.dictionaries(TEXT, JSON, max_size=3),
    before=JSON,
    after=JSON,
)


def notice(text: str = "x", at_us: int = NOON_US, **fields: Any) -> Notice:
    return replace(Notice("page", at_us, text), **fields)


def numbers(directory: Path, wanted: Wanted | None = None) -> list[int]:
    return [one.number for one in read(directory, wanted)]


@settings(max_examples=60)
@given(NOTICES, st.integers(1, 2**62))
def test_what_is_written_is_read_again(one: Notice, number: int) -> None:
    line = encode(Logged(number, "station-7", one))
    assert line.count(b"\n") == 1
    back = decode(line)
    assert encode(back) == line
    assert (back.number, back.gateway, back.notice.kind, back.notice.id) == (
        number,
        "station-7",
        one.kind,
        one.id,
    )
    assert back.notice.at_us == min(max(one.at_us, 0), LAST_US)
    assert quoted("kind", one.kind) in line
    if one.channel_id:
        assert quoted("channel_id", one.channel_id) in line


@given(st.binary(max_size=200))
def test_rubbish_is_refused_with_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        decode(line)


def test_an_event_that_is_too_large_keeps_its_text() -> None:
    line = encode(Logged(1, "", notice("said", data={"much": "x" * MOST_BYTES}, before="y")))
    back = decode(line).notice
    assert len(line) < MOST_BYTES
    assert (back.text, list(back.data), back.before) == ("said", ["too_long"], None)


@given(
    st.lists(st.binary(max_size=BLOCK * 2).map(lambda one: one.replace(b"\n", b"")), max_size=5),
    st.booleans(),
)
def test_backwards_is_forwards_reversed(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], torn: bool
) -> None:
    path = tmp_path_factory.mktemp("back") / "file"
    path.write_bytes(b"".join(line + b"\n" for line in lines) + (b"torn" if torn else b""))
    with path.open("rb") as file:
        assert list(lines_backwards(file)) == lines[::-1]


def test_a_clock_that_steps_back_a_year_leaves_the_order(tmp_path: Path) -> None:
    files = LogFiles(tmp_path, "g")
    for step in (0, 1, -365, -365, 2, 400, -365, 2):
        files.append([notice(at_us=NOON_US + step * DAY_US)])
    assert numbers(tmp_path) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [one.number for one in read(tmp_path, newest_first=True)] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert [one.number for one in tail(tmp_path, Wanted(), 3)] == [6, 7, 8]
    assert len(day_files(tmp_path)) == 5


def test_a_range_of_time_reads_its_days_alone(tmp_path: Path) -> None:
    LogFiles(tmp_path).append([notice(at_us=NOON_US + day * DAY_US) for day in range(5)])
    day_files(tmp_path)[0].write_bytes(b"\xff not read")
    wanted = Wanted(since_us=NOON_US + DAY_US, until_us=NOON_US + 3 * DAY_US)
    assert numbers(tmp_path, wanted) == [2, 3]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(kinds=("admin",)), [2]),
        (Wanted(channels=("fire",)), [1]),
        (Wanted(channels=("fire", "")), [1, 2, 3]),
        (Wanted(text="ENGINE 7"), [1]),
        (Wanted(who="cli:"), [2]),
        (Wanted(after=2), [3]),
    ],
)
def test_what_is_asked_for_is_found(tmp_path: Path, wanted: Wanted, found: list[int]) -> None:
    LogFiles(tmp_path).append(
        [
            notice("page: Engine 7", channel_id="fire"),
            notice("deleted", kind="admin", who="cli:anna"),
            notice("other", data={"kind": "admin"}),
        ]
    )
    assert numbers(tmp_path, wanted) == found


@pytest.mark.parametrize("torn", [b'{"n":3,"kind":"pa', b"\0" * 5000, b'{"n":1', b"x" * 400_000])
def test_a_line_that_a_power_cut_tore_is_cut_off(
    tmp_path: Path, torn: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    LogFiles(tmp_path).append([notice("first"), notice("second")])
    (path,) = day_files(tmp_path)
    with path.open("ab") as file:
        file.write(torn)
    assert numbers(tmp_path) == [1, 2]
    assert last_number(path) == 2
    LogFiles(tmp_path).append([notice("third")])
    assert [one.notice.text for one in read(tmp_path)] == ["first", "second", "third"]
    assert torn[:10] not in path.read_bytes()[-500:] or torn[:5] == b'{"n":'
    assert "torn by a power cut" in caplog.text


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path: Path) -> None:
    LogFiles(tmp_path).append([notice("first"), notice("second")])
    (path,) = day_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    LogFiles(tmp_path).append([notice("third")])
    assert [one.notice.text for one in read(tmp_path)] == ["first", "second", "third"]


@pytest.mark.parametrize("counter", [None, b"", b"\0" * 40, b"17 another-boot\n", b"rubbish"])
def test_a_lost_counter_is_found_again(tmp_path: Path, counter: bytes | None) -> None:
    LogFiles(tmp_path).append([notice(at_us=NOON_US - DAY_US)] * 20)
    LogFiles(tmp_path).append([notice(at_us=NOON_US - 9 * DAY_US)])
    lock = tmp_path / ".lock"
    lock.unlink() if counter is None else lock.write_bytes(counter)
    (logged,) = LogFiles(tmp_path).append([notice()])
    assert logged.number == 22


def test_processes_take_turns(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from echostream.event_log.files import LogFiles; "
        "from echostream.notices.notice import Notice\n"
        "files = LogFiles(pathlib.Path(sys.argv[1]), sys.argv[2])\n"
        f"for n in range(20): files.append([Notice('page', {NOON_US} + (n % 2) * {DAY_US}, str(n))] * 3)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(n)]) for n in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    found = list(read(tmp_path))
    assert [one.number for one in found] == list(range(1, 181))
    for gateway in "012":
        mine = [int(one.notice.text) for one in found if one.gateway == gateway]
        assert mine == sorted(mine)


@pytest.mark.parametrize("refused_at", [1, 2, 3])
def test_a_full_disk_takes_all_of_a_batch_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused_at: int
) -> None:
    files = LogFiles(tmp_path)
    files.append([notice("before")])
    real, calls = os.write, 0

    def write(file: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls == refused_at:
            real(file, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data[: max(1, len(data) // 2)] if calls == 1 else data)

    monkeypatch.setattr("echostream.event_log.files.os.write", write)
    with pytest.raises(OSError, match="No space"):
        files.append([notice("lost"), notice("lost too", NOON_US + DAY_US)])
    monkeypatch.undo()
    files.append([notice("after")])
    assert [one.notice.text for one in read(tmp_path)] == ["before", "after"]
    assert len(set(numbers(tmp_path))) == 2


def test_whoever_was_stopped_with_the_lock_costs_a_bounded_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr(log_files, "_LOCKED_S", 0.05)
    files = LogFiles(tmp_path)
    files.append([notice()])
    with (tmp_path / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another process holds it"):
            files.append([notice()])
    files.append([notice()])
    assert len(numbers(tmp_path)) == 2


def test_a_follower_gets_everything_once_and_in_order(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    files.append([notice("old")])
    follower = Follower(tmp_path, Wanted(kinds=("page",)))
    got: list[int] = []

    def write() -> None:
        for at in range(40):
            step = (-365 if at % 7 == 0 else at % 3) * DAY_US
            files.append([notice(at_us=NOON_US + step), notice(kind="device")])

    writer = threading.Thread(target=write, name="writes")
    writer.start()
    while writer.is_alive():
        got += [one.number for one in follower.look()]
    writer.join()
    got += [one.number for one in follower.look()]
    assert sorted(got) == list(range(2, 82, 2))


def test_a_follower_of_a_quiet_log_looks_at_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = LogFiles(tmp_path)
    files.append([notice()])
    follower = Follower(tmp_path, Wanted())
    looked: list[Path] = []

    def looks(directory: Path) -> list[Path]:
        looked.append(directory)
        return day_files(directory)

    monkeypatch.setattr("echostream.event_log.following.day_files", looks)
    for _ in range(3 * AWAKE):
        assert follower.look() == []
    assert len(looked) < AWAKE
    files.append([notice("news")])
    assert [one.notice.text for one in follower.look()] == ["news"]


def test_a_follower_survives_a_torn_line_and_a_purge(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    files.append([notice(), notice(at_us=NOON_US - 9 * DAY_US)])
    follower = Follower(tmp_path, Wanted())
    old, new = day_files(tmp_path)
    with new.open("ab") as file:
        file.write(b'{"n":3')
    assert follower.look() == []
    old.unlink()
    files.append([notice("next")])
    assert [one.notice.text for one in follower.look()] == ["next"]


def purge(directory: Path, keep_days: float | None, now_us: int, synchronised: bool = True) -> list[str]:
    from echostream.archive.wall_clock import ClockQuality

    quality = ClockQuality("synchronised" if synchronised else "unsynchronised", 1.0)
    return Purge(directory, keep_days, None, lambda: now_us / 1e6, lambda: quality).run(100.0)


def test_whole_days_go_when_they_are_too_old(tmp_path: Path) -> None:
    LogFiles(tmp_path).append([notice(at_us=NOON_US + day * DAY_US) for day in range(10)])
    assert purge(tmp_path, None, NOON_US + 9 * DAY_US) == []
    assert purge(tmp_path, 3.0, NOON_US + 9 * DAY_US) == [day_of(NOON_US + at * DAY_US) for at in range(6)]
    assert numbers(tmp_path) == [7, 8, 9, 10]


def test_a_clock_that_nobody_set_deletes_nothing(tmp_path: Path) -> None:
    LogFiles(tmp_path).append([notice()])
    assert purge(tmp_path, 3.0, NOON_US + 4000 * DAY_US, synchronised=False) == []


def test_news_written_under_an_old_clock_stays(tmp_path: Path) -> None:
    """A board without a clock of its own starts in 1970."""
    files = LogFiles(tmp_path)
    files.append([notice(at_us=NOON_US + day * DAY_US) for day in (-9, 0)])
    files.append([notice("news", at_us=5)])
    files.append([notice(at_us=NOON_US + DAY_US)])
    assert purge(tmp_path, 3.0, NOON_US + DAY_US) == [day_of(NOON_US - 9 * DAY_US)]
    assert "news" in [one.notice.text for one in read(tmp_path)]


def test_the_only_day_stays(tmp_path: Path) -> None:
    LogFiles(tmp_path).append([notice()])
    assert too_old(day_files(tmp_path), "2030-01-01") == []


def test_a_log_that_is_too_large_loses_what_was_written_first(tmp_path: Path) -> None:
    files = LogFiles(tmp_path)
    for day in (3, 1, 2):  # a clock that was set
        files.append([notice("x" * 1000, at_us=NOON_US + day * DAY_US)] * 10)
    size = sum(path.stat().st_size for path in day_files(tmp_path))
    assert Purge(tmp_path, None, size / 1e6).run(0.0) == []
    assert Purge(tmp_path, None, (size - 10) / 1e6).run(0.0) == [day_of(NOON_US + 3 * DAY_US)]
    assert Purge(tmp_path, None, 0.0001).run(0.0) == [day_of(NOON_US + DAY_US)]
    assert numbers(tmp_path) == list(range(21, 31))


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["page", "admin"])), max_size=4), max_size=8
    ),
    st.tuples(st.integers(-3, 3), st.integers(-3, 3)),
    st.sampled_from([(), ("page",)]),
)
def test_what_is_read_is_what_fits_in_the_order_of_writing(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[tuple[int, str]]],
    days: tuple[int, int],
    kinds: tuple[str, ...],
) -> None:
    directory = tmp_path_factory.mktemp("read")
    written: list[Logged] = []
    with patch("echostream.event_log.files.os.fsync"):  # the disk is not what is looked at
        for batch in batches:
            made = [notice(at_us=NOON_US + day * DAY_US, kind=kind) for day, kind in batch]
            written += LogFiles(directory).append(made)
    wanted = Wanted(NOON_US + days[0] * DAY_US, NOON_US + days[1] * DAY_US, kinds)
    fit = [one.number for one in written if wanted.fits(one)]
    assert numbers(directory, wanted) == fit
    assert [one.number for one in read(directory, wanted, newest_first=True)] == fit[::-1]
    assert [one.number for one in tail(directory, wanted, 2)] == fit[-2:]


@pytest.mark.parametrize(
    "said", ['say "hi"', "back\\slash", "tab\there", "Löschzug", "\u212aelvin", "stra\xdfe", "porch-7"]
)
def test_a_search_finds_what_is_written_differently(tmp_path: Path, said: str) -> None:
    LogFiles(tmp_path).append([notice(said), notice("other")])
    for text in (said, said.upper(), said.casefold()):
        assert numbers(tmp_path, Wanted(text=text)) == [1], text
