"""The thread that says how the gateway is: ready when it may, fed while it moves, never what fails it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from echostream.gateway import Gateway
from echostream.gateway_health import READY_WITHIN_S, Asked, HealthWatch
from echostream.service.blame import last_blame
from echostream.service.health import Health, read_health
from echostream.service.notify import Notifier
from echostream.vitals.model import LinkVitals


class Channel:
    """As much of a running channel as is looked at."""

    def __init__(self, name: str, card: str = "usb:1-1.1") -> None:
        self.config = SimpleNamespace(id=name, card=card)
        self.state = SimpleNamespace(online=True, phase="idle")
        self.capture, self.playback = (
            SimpleNamespace(frames=0, misses=0, refusals=0, slips=0, present=True, last_frame_at_s=0.0)
            for _ in range(2)
        )

    def move(self) -> None:
        self.capture.frames += 50
        self.playback.frames += 50


@dataclass
class House:
    """A gateway of two channels, its watch, and the manager that listens; a second is one step."""

    directory: Path
    manager: socket.socket
    channels: list[Channel]
    asked: Asked = field(default_factory=Asked)
    now: float = 0.0
    answers: bool = True

    def __post_init__(self) -> None:
        self.coordinator = SimpleNamespace(turns=0)
        self.signalling = SimpleNamespace(connected=True, last_failure="")
        gateway = cast(Gateway, self)
        self.watch = HealthWatch(
            gateway, Notifier(self.manager.getsockname()), self.directory, "echostream", self.asked
        )
        self.watch._began_s = 0.0

    def post(self, event: object) -> None:
        raise AssertionError(event)

    def seconds(self, count: int, *moving: Channel) -> list[str]:
        """What the manager is told meanwhile."""
        said = self.said()
        for _ in range(count):
            self.now += 1.0
            self.coordinator.turns += self.answers
            for channel in moving:
                channel.move()
            self.watch._look(self.now)
            said += self.said()
        return said

    def said(self) -> list[str]:
        said = list[str]()
        while True:
            try:
                said += self.manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return said

    @property
    def health(self) -> Health:
        return read_health(self.directory / "echostream.health.json")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        yield House(tmp_path, manager, [Channel("fire"), Channel("ems", "usb:1-1.2")])


def test_it_is_ready_when_the_first_channel_is_up(house: House) -> None:
    fire, ems = house.channels
    fire.state.online = ems.state.online = False
    assert "READY=1" not in house.seconds(2, fire, ems)
    assert house.health.status.startswith("starting; ")
    assert not house.health.ready
    fire.state.online = True
    said = house.seconds(1, fire, ems)
    assert said[:2] == ["WATCHDOG=1", "READY=1"]
    assert said[2] == "STATUS=1 of 2 channels on the air; not taken by the server: ems"
    assert house.health.ready
    assert house.health.healthy


def test_ready_is_said_until_a_busy_manager_has_taken_it(house: House) -> None:
    """One that is lost would be a start that takes too long, and the end of the gateway."""
    spam = Notifier(house.manager.getsockname())
    while spam.status("somebody else"):
        pass
    for channel in house.channels:
        channel.move()
    house.now += 1.0
    house.watch._look(house.now)
    assert "READY=1" not in house.said()
    assert "READY=1" in house.seconds(1, *house.channels)
    assert "READY=1" not in house.seconds(3, *house.channels)


def test_where_no_channel_comes_up_it_is_ready_all_the_same_and_says_what_is_missing(house: House) -> None:
    for channel in house.channels:
        channel.state.online = False
        channel.capture.present = channel.playback.present = False
    house.signalling.connected, house.signalling.last_failure = False, "Connection refused"
    said = list[str]()
    while "READY=1" not in said:
        for channel in house.channels:
            channel.capture.misses += 2
            channel.playback.misses += 2
        said += house.seconds(1)
        assert house.now <= READY_WITHIN_S
    assert house.now == READY_WITHIN_S
    assert house.health.why == (
        "no card usb:1-1.1 for fire",
        "no card usb:1-1.2 for ems",
        "server is away: Connection refused",
    )
    assert house.health.healthy, "what is merely away may come"


def test_nothing_is_fed_when_nothing_moves_and_the_next_run_knows_why(house: House) -> None:
    assert house.seconds(20, *house.channels).count("WATCHDOG=1") == 20
    assert house.seconds(10).count("WATCHDOG=1") == 5
    assert not house.health.healthy
    found = last_blame(house.directory, "echostream")
    assert found is not None
    assert found.whom == "all channels"
    assert house.seconds(5, *house.channels).count("WATCHDOG=1") == 5, "unless it moves again in time"


def test_a_channel_that_a_restart_did_not_mend_does_not_restart_the_others_again(house: House) -> None:
    fire, ems = house.channels
    house.seconds(20, fire, ems)
    assert house.seconds(40, fire).count("WATCHDOG=1") == 20
    second = House(house.directory, house.manager, [Channel("fire"), Channel("ems")])
    second.seconds(20, *second.channels)
    assert second.seconds(40, second.channels[0]).count("WATCHDOG=1") == 40
    assert not second.health.healthy
    assert any("ems" in words for words in second.health.why)


def test_a_coordinator_that_hangs_is_not_fed(house: House) -> None:
    house.seconds(20, *house.channels)
    house.answers = False
    assert house.seconds(10, *house.channels).count("WATCHDOG=1") == 5
    assert "coordinator" in house.health.why[0]


def test_what_cannot_be_told_is_no_reason_to_restart(house: House, caplog: pytest.LogCaptureFixture) -> None:
    """A bug in what others say of themselves, and a full runtime directory: once in the log, and fed."""

    def broken() -> Any:
        raise ZeroDivisionError("a bug")

    house.asked.links = broken
    assert house.seconds(10, *house.channels) == ["WATCHDOG=1"] * 10
    assert len([one for one in caplog.records if "this is a bug" in one.message]) == 1
    house.asked.links = tuple
    (house.directory / "echostream.health.json.new").mkdir()
    assert house.seconds(10, *house.channels).count("WATCHDOG=1") == 10
    assert len([one for one in caplog.records if "cannot be written" in one.message]) == 1


def test_a_status_is_told_when_it_changes_and_not_each_second(house: House) -> None:
    house.seconds(5, *house.channels)
    house.channels[0].state.phase = "open"
    said = house.seconds(5, *house.channels)
    assert [words for words in said if words != "WATCHDOG=1"] == [
        "STATUS=2 of 2 channels on the air; transmitting: fire"
    ]


def test_notes_and_ways_out_are_in_it_and_who_waits_is_woken_when_it_changes(house: House) -> None:
    told: list[bool] = []
    house.asked.on_change = lambda: told.append(house.watch.healthy)
    house.asked.notes = lambda: ["not the configuration asked for"]
    house.asked.links = lambda: [LinkVitals("mqtt", False, 3.0, detail="refused")]
    house.seconds(3, *house.channels)
    assert house.health.why == ("mqtt is away: refused", "not the configuration asked for")
    assert house.health.links["mqtt"].detail == "refused"
    assert told == [True]
    house.seconds(10)
    assert told == [True, False]


def test_while_it_stops_it_is_fed_whatever_hangs_and_leaves_no_file(house: House) -> None:
    house.seconds(3, *house.channels)
    house.watch.end_begins()
    assert house.seconds(20) == ["STOPPING=1", "STATUS=stopping", *["WATCHDOG=1"] * 20]
    (house.directory / "echostream.watchdog.json").write_text("{}")
    house.watch.forget()
    assert not list(house.directory.glob("*.json")), "what the watchdog did does not concern the next start"


def test_the_file_is_json_that_anybody_reads(house: House) -> None:
    house.seconds(3, *house.channels)
    document = json.loads((house.directory / "echostream.health.json").read_text())
    assert document["channels"]["fire"]["capture_frames"] == 150
    assert set(document["channels"]["fire"]) >= {"online", "card", "underruns", "level_dbfs", "phase"}
