"""A configuration that does not work gives way to the one that did, and says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from echostream.errors import ConfigError
from echostream.service.last_good import GOOD_AFTER_S, STARTS, LastGood, Start

GOOD, BAD, OTHER = b"good", b"bad", b"other"


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def parse(content: bytes, origin: str) -> str:
    if content.startswith(BAD):
        raise ConfigError(f"{origin}: this configuration does not hold\n  channels[0].card: missing")
    return content.decode()


class Machine:
    """A folder that outlives the gateway's lives."""

    def __init__(self, folder: Path) -> None:
        self.path, self.folder, self.boot_id = folder / "config.json", folder / "last-good", "boot-1"

    def start(self, content: bytes | None = None) -> tuple[LastGood, Start[str]]:
        if content is not None:
            self.path.write_bytes(content)
        keeper = LastGood(self.folder, self.boot_id)
        return keeper, keeper.begin(self.path, read, parse)

    def live(self, content: bytes, seconds: float = GOOD_AFTER_S + 1) -> None:
        keeper, _ = self.start(content)
        for second in range(int(seconds) + 1):
            keeper.look(True, 1000.0 + second)

    def kept(self) -> bytes | None:
        path = self.folder / "config.json"
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_kept_only_after_two_minutes_of_health(machine: Machine) -> None:
    machine.live(GOOD, GOOD_AFTER_S - 1)
    assert machine.kept() is None
    machine.live(GOOD, GOOD_AFTER_S)
    assert machine.kept() == GOOD


def test_a_moment_of_ill_health_starts_the_two_minutes_again(machine: Machine) -> None:
    keeper, _ = machine.start(GOOD)
    keeper.look(True, 0.0)
    keeper.look(False, GOOD_AFTER_S - 1)
    keeper.look(True, GOOD_AFTER_S)
    keeper.look(True, 2 * GOOD_AFTER_S - 1)
    assert machine.kept() is None
    keeper.look(True, 2 * GOOD_AFTER_S)
    assert machine.kept() == GOOD


def test_one_that_is_refused_gives_way_and_the_file_stays(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.live(GOOD)
    with caplog.at_level(logging.ERROR):
        keeper, start = machine.start(BAD)
    assert start.loaded == "good"
    assert "channels[0].card: missing" in start.why
    assert "\n" not in start.why
    assert keeper.why == start.why
    assert start.why in caplog.text
    assert machine.path.read_bytes() == BAD


def test_a_file_that_is_gone_gives_way(machine: Machine) -> None:
    machine.live(GOOD)
    machine.path.unlink()
    assert machine.start()[1].loaded == "good"


def test_without_one_that_worked_the_error_is_the_callers(machine: Machine) -> None:
    with pytest.raises(ConfigError, match="does not hold"):
        machine.start(BAD)


def test_one_that_worked_and_is_damaged_now_is_of_no_use(machine: Machine) -> None:
    machine.live(GOOD)
    (machine.folder / "config.json").write_bytes(BAD + b"er")
    with pytest.raises(ConfigError, match="does not hold"):
        machine.start(BAD)


def test_three_starts_that_came_to_nothing(machine: Machine) -> None:
    machine.live(GOOD)
    for _ in range(STARTS):
        assert machine.start(OTHER)[1].why == ""
    _, fourth = machine.start(OTHER)
    assert fourth.loaded == "good"
    assert "3 starts in a row" in fourth.why
    assert machine.start()[1].why, "still bad: no fourth try of its own"
    assert machine.start(b"another")[1].why == "", "what was written anew is tried"


def test_starts_in_other_boots_do_not_count(machine: Machine) -> None:
    machine.live(GOOD)
    for boot in range(STARTS + 2):
        machine.boot_id = f"boot-{boot}"
        assert machine.start(OTHER)[1].why == "", "the power went, that is all"


def test_one_healthy_moment_ends_the_row(machine: Machine) -> None:
    machine.live(GOOD)
    for _ in range(STARTS - 1):
        machine.start(OTHER)
    machine.start()[0].look(True, 5.0)
    for _ in range(STARTS):
        assert machine.start()[1].why == ""


def test_a_stop_that_was_asked_for_does_not_count(machine: Machine) -> None:
    machine.live(GOOD)
    for _ in range(3 * STARTS):
        keeper, start = machine.start(OTHER)
        assert start.why == ""
        keeper.ended_in_order()


def test_the_one_that_worked_is_never_replaced_by_its_own_failing(machine: Machine) -> None:
    machine.live(GOOD)
    for _ in range(3 * STARTS):
        assert machine.start(GOOD)[1].why == "", "there is nothing better"


def test_health_with_the_one_that_worked_does_not_make_the_bad_one_good(machine: Machine) -> None:
    machine.live(GOOD)
    for _ in range(STARTS):
        machine.start(OTHER)
    keeper, start = machine.start(OTHER)
    for second in range(int(GOOD_AFTER_S) + 2):
        keeper.look(True, float(second))
    assert start.why
    assert machine.kept() == GOOD
    assert machine.start(OTHER)[1].why, "it has not become healthy itself"


def test_a_reload_is_a_new_beginning(machine: Machine) -> None:
    machine.live(GOOD)
    keeper, _ = machine.start(BAD)
    keeper.reloaded(OTHER)
    assert keeper.why == ""
    for second in range(int(GOOD_AFTER_S) + 2):
        keeper.look(True, float(second))
    assert machine.kept() == OTHER


def test_a_damaged_count_stops_nothing(machine: Machine) -> None:
    machine.live(GOOD)
    for rubbish in (
        b"",
        b"\x00\xff",
        b"[]",
        b'{"starts": "x"}',
        b'{"sha256": 1, "boot_id": 2, "starts": -5}',
    ):
        (machine.folder / "starts.json").write_bytes(rubbish)
        assert machine.start(OTHER)[1].why == ""


def test_a_disk_that_refuses_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    machine = Machine(tmp_path)
    machine.folder = tmp_path / "a file" / "last-good"
    machine.folder.parent.write_text("in the way")
    machine.live(GOOD)
    assert "cannot be kept" in caplog.text


def test_nothing_is_kept_where_nobody_asked_for_it(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(GOOD)
    keeper = LastGood(None)
    assert keeper.begin(path, read, parse) == Start("good")
    keeper.look(True, 0.0)
    keeper.look(True, GOOD_AFTER_S)
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_kept_is_for_the_service_and_its_group(machine: Machine) -> None:
    machine.live(GOOD)
    assert (machine.folder / "config.json").stat().st_mode & 0o777 & 0o007 == 0
    assert json.loads((machine.folder / "starts.json").read_text())["starts"] == 0
