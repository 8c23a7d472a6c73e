"""The health file: whole or not at all, read as it was written, never taken for one of another boot."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.service.blame import blame, last_blame
from echostream.service.feed import FORGIVEN_S
from echostream.service.health import (
    ChannelHealth,
    GuardHealth,
    Health,
    HealthError,
    LinkHealth,
    RealtimeHealth,
    WakeUps,
    boot_id,
    find_health,
    health_path,
    read_health,
    since_boot_s,
    write_health,
)


def made() -> Health:
    return Health(
        version="0.2.0",
        pid=os.getpid(),
        instance="echostream",
        boot_id=boot_id(),
        started_us=1,
        at_us=2,
        at_boot_s=since_boot_s(),
        ready=True,
        healthy=False,
        why=("no card usb:1-1.2 for ems",),
        status="1 of 2 channels on the air",
        config_sha256="ab" * 32,
        channels={"fire": ChannelHealth(True, True, 10, 11, 1, 2, 0.02, -52.1, -40.0, "open")},
        links={"server": LinkHealth(False, "Connection refused")},
        guard=GuardHealth(77, "unit", 1),
        realtime=RealtimeHealth("fifo", True, ""),
        wakeups=WakeUps(3, 20.0, 90.0, 95.5, (1.0, 2.0), (1, 1, 1)),
    )


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = health_path(tmp_path, "echostream")
    old_mask = os.umask(0o077)
    try:
        write_health(path, made())
    finally:
        os.umask(old_mask)
    found = read_health(path)
    assert dataclasses.asdict(found) == dataclasses.asdict(made()) | {"at_boot_s": found.at_boot_s}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644, "everybody may ask"
    assert [one.name for one in tmp_path.iterdir()] == ["echostream.health.json"]


def test_a_newer_version_may_say_more_and_an_older_one_less(tmp_path: Path) -> None:
    path = tmp_path / "x.health.json"
    write_health(path, made())
    document = json.loads(path.read_text())
    document["mood"] = "fine"
    document["channels"]["fire"]["colour"] = "red"
    del document["wakeups"], document["guard"]
    path.write_text(json.dumps(document))
    found = read_health(path)
    assert found.wakeups == WakeUps()
    assert found.channels["fire"].online


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"version": 1}', '{"channels": []}', '{"channels": {"a": 3}}', "\x00\xff"],
)
def test_what_is_no_health_file_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.health.json"
    path.write_text(text)
    with pytest.raises(HealthError, match=r"x\.health\.json"):
        read_health(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    st.sampled_from([field.name for field in dataclasses.fields(Health)]),
)
def test_any_value_of_any_key_is_read_or_refused(value: object, key: str) -> None:
    path = Path("/dev/shm") / f"echostream-test-{os.getpid()}.health.json"
    try:
        write_health(path, made())
        document = json.loads(path.read_text())
        path.write_text(json.dumps(document | {key: value}))
        with contextlib.suppress(HealthError):
            assert isinstance(read_health(path), Health)
    finally:
        path.unlink(missing_ok=True)


def test_nobody_runs(tmp_path: Path) -> None:
    with pytest.raises(HealthError, match="does not run"):
        read_health(tmp_path / "none.health.json")


def test_only_one_of_this_boot_that_was_just_written_by_a_living_process_is_current() -> None:
    health = made()
    assert health.current
    assert not dataclasses.replace(health, at_boot_s=since_boot_s() - 6).current
    assert not dataclasses.replace(health, at_boot_s=since_boot_s() + 60).current, "before this boot"
    assert dataclasses.replace(health, boot_id="as a container's service sees it").current
    assert not dataclasses.replace(health, pid=2**22 + 1).current


def test_it_is_found_where_a_service_has_it(tmp_path: Path) -> None:
    run, own = tmp_path / "run", tmp_path / "own"
    (run / "north").mkdir(parents=True)
    own.mkdir()
    assert find_health("north", own, run) is None
    write_health(health_path(run / "north", "north"), made())
    assert find_health("north", own, run) == run / "north" / "north.health.json"
    write_health(health_path(own, "north"), made())
    os.utime(health_path(run / "north", "north"), (1, 1))
    assert find_health("north", own, run) == own / "north.health.json"


def test_why_the_watchdog_bit_is_known_to_the_next_run_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert last_blame(tmp_path, "x") is None
    blame(tmp_path, "x", "ems", "channel ems: capture hangs for 21 s")
    found = last_blame(tmp_path, "x")
    assert found is not None
    assert (found.whom, found.why) == ("ems", "channel ems: capture hangs for 21 s")
    assert last_blame(tmp_path, "y") is None
    now_s = since_boot_s()
    monkeypatch.setattr("echostream.service.blame.since_boot_s", lambda: now_s + FORGIVEN_S + 1)
    assert last_blame(tmp_path, "x") is None
    monkeypatch.setattr("echostream.service.blame.since_boot_s", lambda: now_s)
    monkeypatch.setattr("echostream.service.blame.boot_id", lambda: "another")
    assert last_blame(tmp_path, "x") is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"whom": 1}', '{"whom":"a","why":"b","boot_id":"","at_boot_s":"x"}']
)
def test_a_torn_note_of_the_watchdog_is_not_minded(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.watchdog.json").write_text(text)
    assert last_blame(tmp_path, "x") is None


def test_the_page_names_every_key() -> None:
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text()
    kinds = (Health, ChannelHealth, LinkHealth, GuardHealth, RealtimeHealth, WakeUps)
    keys = {field.name for kind in kinds for field in dataclasses.fields(kind)}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
