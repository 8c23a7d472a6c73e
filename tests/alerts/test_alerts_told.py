"""People are told, through Apprise and the process that sends, by servers on loopback."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from alert_receivers import Receiver, dead_port, deaf_receiver, http_receiver, smtp_receiver
from vitals_made import a_channel, vitals

from echostream.alerts import control, memory, post_room
from echostream.alerts.alerts import Alerts
from echostream.config.alert_models import AlertRule, AlertTarget
from echostream.config.alert_models import Alerts as Settings
from echostream.config.base import Secret
from echostream.config.models import Gateway
from echostream.events import Event
from echostream.notices.notice import Json, Notice, Weight
from echostream.spool.item import Item
from echostream.spool.kept_spool import KeptSpool
from echostream.spool.spool import Spool
from echostream.vitals.model import Vitals

IN_TIME_S = 10.0


def settings(*rules: AlertRule, targets: tuple[str, ...] = ("chief",)) -> Settings:
    named = tuple(AlertTarget(name=name, url=Secret(env="X")) for name in targets)
    return Settings(enabled=True, targets=named, rules=rules)


PAGED = AlertRule(name="Engine 7", on="page", sources=("engine-7",), targets=("chief",))


def page(at_us: int = 0) -> Notice:
    data: dict[str, Json] = {"tone_id": "engine-7", "name": "Engine 7", "priority": 5}
    text = "Engine 7 is paged on fire-dispatch"
    return Notice("page", at_us, text, "fire-dispatch", "engine-7", Weight.ALARM, data=data)


def at(http: Receiver) -> dict[str, str]:
    """The chief's address."""
    return {"chief": f"json://127.0.0.1:{http.port}/"}


class House:
    """An Alerts with what it told everybody else."""

    def __init__(self, folder: Path, wanted: Settings, urls: dict[str, str]) -> None:
        self.told: list[Notice] = []
        self.posted: list[Event] = []
        gateway = Gateway(id="station-7", affiliation_id="station-7")
        self.alerts = Alerts(
            wanted, gateway, urls, folder / "alerts.sqlite3", self.told.append, self.posted.append
        )

    def states(self) -> list[object]:
        return [notice.data["state"] for notice in self.told]

    def until(self, condition: Callable[[], bool], within_s: float = 15.0) -> bool:
        until_s = time.monotonic() + within_s
        pause = threading.Event()
        while not condition() and time.monotonic() < until_s:
            pause.wait(0.05)
        return condition()

    def see(self, seen: Vitals, condition: Callable[[], bool], within_s: float = 15.0) -> bool:
        """Look so ten times a second until it has an effect."""

        def looked() -> bool:
            self.alerts.look(seen)
            return condition()

        return self.until(looked, within_s)


@contextlib.contextmanager
def running(folder: Path, wanted: Settings, urls: dict[str, str]) -> Iterator[House]:
    house = House(folder, wanted, urls)
    house.alerts.start()
    try:
        yield house
    finally:
        house.alerts.request_stop()
        assert house.alerts.join(5.0)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_room, "GATHER_S", 0.1)


def test_a_page_is_told_in_time_by_http_and_by_mail(tmp_path: Path) -> None:
    rule = PAGED.model_copy(update={"targets": ("chief", "desk")})
    with http_receiver() as http, smtp_receiver() as mail:
        urls = {
            "chief": f"json://127.0.0.1:{http.port}/",
            "desk": f"mailto://user:word@127.0.0.1:{mail.port}/?from=gw@example.org&to=chief@example.org",
        }
        with running(tmp_path, settings(rule, targets=("chief", "desk")), urls) as house:
            began_s = time.monotonic()
            house.alerts.take(page(round(time.time() * 1e6)))
            assert http.wait_for(1)
            assert mail.wait_for(1)
            assert max(http.at_s[0], mail.at_s[0]) - began_s < IN_TIME_S
            assert house.until(lambda: house.alerts.link().sent == 2)  # type: ignore[union-attr]
    assert http.got[0]["title"] == "station-7: Engine 7"
    assert "Engine 7 is paged on fire-dispatch" in http.got[0]["message"]
    assert "chief@example.org" in str(mail.got[0]["to"])
    (notice,) = house.told
    assert (notice.kind, notice.subject, notice.channel_id) == ("alert", "Engine 7", "fire-dispatch")
    assert notice.data["targets"] == ["chief", "desk"]


def test_a_dead_and_a_deaf_target_hold_up_nobody(tmp_path: Path) -> None:
    names = ("dead", "deaf", "chief")
    rule = PAGED.model_copy(update={"targets": names})
    with http_receiver() as http, deaf_receiver() as deaf:
        urls = {
            "dead": f"json://127.0.0.1:{dead_port()}/",
            "deaf": f"json://127.0.0.1:{deaf}/",
            "chief": f"json://127.0.0.1:{http.port}/",
        }
        with running(tmp_path, settings(rule, targets=names), urls) as house:
            began_s = time.monotonic()
            house.alerts.take(page())
            assert http.wait_for(1)
            assert http.at_s[0] - began_s < IN_TIME_S
            assert house.until(lambda: not house.alerts.link().up)  # type: ignore[union-attr]
            link = house.alerts.link()
            assert link is not None
            assert "dead: nobody answers there: connection refused" in link.detail
            assert house.until(lambda: house.alerts.link().waiting == 2)  # type: ignore[union-attr]


def test_what_was_raised_while_nobody_could_be_told_is_told_after_the_restart(tmp_path: Path) -> None:
    with running(tmp_path, settings(PAGED), {"chief": f"json://127.0.0.1:{dead_port()}/"}) as house:
        house.alerts.take(page())
        assert house.until(lambda: not house.alerts.link().up)  # type: ignore[union-attr]
    with http_receiver() as http:
        with running(tmp_path, settings(PAGED), at(http)):
            assert http.wait_for(1)
        assert len(http.got) == 1


def test_a_fault_is_told_once_acknowledged_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(post_room, "GATHER_S", 0.1)
    rule = AlertRule(name="stuck", on="stuck_open", targets=("chief",))
    good = vitals(channels=(a_channel("fire"),))
    bad = replace(good, channels=(a_channel("fire", stuck=True),))
    with http_receiver() as http:
        urls = at(http)
        with running(tmp_path, settings(rule), urls) as house:
            assert house.see(bad, lambda: len(http.got) == 1)
            control.ask(tmp_path / "alerts.ack", control.Asked(1, 1, "cli:anna"))
            assert house.see(bad, lambda: len(http.got) == 2)
        kept, next_number = memory.load(tmp_path / "alerts.json", 0.0)
        assert [(one.number, one.acknowledged) for one in kept] == [(1, "cli:anna")]
        assert next_number == 2
        with running(tmp_path, settings(rule), urls) as again:
            assert not again.see(bad, lambda: len(http.got) > 2, within_s=1.0)
            assert again.see(good, lambda: len(http.got) == 3, within_s=20.0)
    assert [got["title"] for got in http.got] == [
        "station-7: stuck",
        "station-7: Seen to: stuck",
        "station-7: Over: stuck",
    ]
    assert house.states() == ["raised", "acknowledged"]
    assert house.told[1].who == "cli:anna"
    assert again.states() == ["recovered"]


def test_a_thousand_sources_are_one_message(tmp_path: Path) -> None:
    rule = AlertRule(name="cards", on="card_gone", for_s=0, targets=("chief",))
    bad = vitals(channels=tuple(a_channel(f"c{n}", capture_present=False) for n in range(1000)))
    with http_receiver() as http:
        urls = at(http)
        with running(tmp_path, settings(rule), urls) as house:
            house.alerts.look(bad)
            assert http.wait_for(1)
    (got,) = http.got
    assert got["title"] == "station-7: cards (1000)"
    assert "and 980 others" in got["message"]
    assert "alerts ack 1-1000" in got["message"]
    assert len(house.told) == 1000


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    taken = tmp_path / "file"
    taken.write_text("no folder")
    with http_receiver() as http, running(taken, settings(PAGED), at(http)) as house:
        house.alerts.take(page())
        assert http.wait_for(1)
        assert house.alerts.restarts == 0
    assert any("make the folder" in record.message for record in caplog.records)


def test_a_worker_that_dies_tells_what_it_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a bug, in the moment in which it writes down what is open."""

    def broken(*_: object) -> None:
        raise TypeError("a bug")

    rule = AlertRule(name="card", on="card_gone", for_s=0, targets=("chief",))
    bad = vitals(channels=(a_channel("fire", capture_present=False),))
    monkeypatch.setattr(Alerts, "_save", broken)
    with http_receiver() as http, running(tmp_path, settings(rule, PAGED), at(http)) as house:
        house.alerts.look(bad)
        assert house.until(lambda: house.alerts.restarts > 0)
        house.alerts.take(page())
        assert http.wait_for(2, 30.0)
        monkeypatch.undo()
        assert house.until(lambda: house.alerts.link().waiting == 0)  # type: ignore[union-attr]
    assert {got["title"] for got in http.got} == {"station-7: card", "station-7: Engine 7"}


def test_a_disk_that_does_not_answer_keeps_nobody_from_being_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every write hangs, as on a card that dies; then it goes on."""
    answers = threading.Event()
    put = Spool.put

    def hanging(spool: Spool, items: Sequence[Item]) -> list[Item]:
        assert answers.wait(30)
        return put(spool, items)

    monkeypatch.setattr(Spool, "put", hanging)
    with http_receiver() as http, running(tmp_path, settings(PAGED), at(http)) as house:
        began_s = time.monotonic()
        house.alerts.take(page())
        assert http.wait_for(1)
        assert http.at_s[0] - began_s < IN_TIME_S
        assert "the disk does not answer" in caplog.text
        answers.set()
        assert house.until(lambda: "the disk answers again" in caplog.text)
        assert house.until(lambda: not KeptSpool(tmp_path / "alerts.sqlite3", 1000).waiting())
    assert len(http.got) == 1


def test_nothing_of_an_address_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with http_receiver() as http:
        http.status = 401
        url = f"json://hugo:tell-no-one@127.0.0.1:{http.port}/hidden-path?+X-Token=sesame-open"
        with running(tmp_path, settings(PAGED), {"chief": url}) as house:
            house.alerts.take(page())
            assert house.until(lambda: not house.alerts.link().up)  # type: ignore[union-attr]
    said = caplog.text + str(house.told) + str(house.alerts.link())
    assert "chief was not told: the user, the password or the token is wrong (HTTP 401)" in said
    for piece in ("tell-no-one", "hugo", "hidden-path", "sesame", str(http.port)):
        assert piece not in said


def test_a_slow_target_does_not_delay_the_end(tmp_path: Path) -> None:
    with deaf_receiver() as deaf:
        with running(tmp_path, settings(PAGED), {"chief": f"json://127.0.0.1:{deaf}/"}) as house:
            house.alerts.take(page())
            assert house.until(lambda: house.states() == ["raised"])
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 4.0
