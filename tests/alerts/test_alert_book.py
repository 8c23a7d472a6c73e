"""All rules together: who is chosen, what happens twice, what is remembered, how long a thousand take."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from vitals_made import a_channel, a_device, vitals

from echostream.alerts import memory
from echostream.alerts.book import MOST_HAPPENINGS, Now, RuleBook
from echostream.alerts.conditions import Happening, happening, sights
from echostream.alerts.rules import Saying, State
from echostream.config.alert_conditions import LIMITS
from echostream.config.alert_models import AlertRule, Alerts, AlertTarget, Escalation, Maintenance, Schedule
from echostream.config.base import Secret
from echostream.notices.notice import Json, Notice
from echostream.vitals.model import LinkVitals, Vitals

NOON = datetime(2026, 11, 21, 12, 0)  # a Saturday
SECRET = Secret(env="X")


def now(seconds: float) -> Now:
    local = NOON + timedelta(seconds=seconds)
    return Now(seconds, round(local.timestamp() * 1e6), local)


def settings(
    *rules: dict[str, object], maintenance: tuple[Maintenance, ...] = (), **asleep: object
) -> Alerts:
    targets = (AlertTarget(name="chief", url=SECRET), AlertTarget(name="desk", url=SECRET))
    made = tuple(
        AlertRule.model_validate({"name": f"r{at}", "targets": ("chief",), **rule})
        for at, rule in enumerate(rules)
    )
    if asleep:
        targets = (targets[0].model_copy(update={"schedule": (Schedule.model_validate(asleep),)}), targets[1])
    return Alerts(enabled=True, targets=targets, rules=made, maintenance=maintenance)


def told(sayings: list[Saying]) -> list[tuple[str, str, State, tuple[str, ...]]]:
    return [
        (saying.incident.rule, saying.incident.source, saying.state, saying.targets) for saying in sayings
    ]


def page(tone_id: str = "engine-7", channel_id: str = "fire", priority: float = 5.0) -> Happening:
    return Happening("page", tone_id, priority, 1, tone_id, channel_id, f"{tone_id} is paged")


def seen(book: RuleBook, how: Vitals, begins_s: int, ends_s: int) -> list[Saying]:
    sayings = []
    for second in range(begins_s, ends_s):
        sayings += [*book.look(how, now(second)), *book.tick(now(second))]
    return sayings


def test_a_rule_chooses_its_sources_and_each_has_an_incident_of_its_own() -> None:
    book = RuleBook(
        settings({"on": "device_gone", "for_s": 0, "sources": ("a", "b")}, {"on": "card_gone", "for_s": 0})
    )
    how = vitals(
        channels=(a_channel("fire", playback_present=False), a_channel("none", has_card=False)),
        devices=tuple(a_device(name, connected=False) for name in "abc"),
    )
    assert told(seen(book, how, 0, 5)) == [
        ("r0", "a", State.RAISED, ("chief",)),
        ("r0", "b", State.RAISED, ("chief",)),
        ("r1", "fire", State.RAISED, ("chief",)),
    ]
    assert [incident.number for incident in book.open()] == [1, 2, 3]


@pytest.mark.parametrize("on", [name for name, limits in LIMITS.items() if not limits.event])
def test_all_is_well_where_all_is_well_and_each_condition_is_seen(on: str) -> None:
    links = tuple(LinkVitals(name, True, 10.0) for name in ("server", "mqtt", "s3"))
    good = vitals(channels=(a_channel("fire"),), devices=(a_device("porch"),), links=links)
    bad = vitals(
        channels=(a_channel("fire", **BAD_CHANNEL),),
        devices=(a_device("porch", connected=False),),
        links=tuple(replace(link, up=False, waiting=3, oldest_s=9e4) for link in links),
        temperature_c=90.0,
        under_voltage=True,
        clock_synchronised=False,
        disk_full_s=3600.0,
    )
    book = RuleBook(settings({"on": on}))
    assert not seen(book, good, 0, 100)
    assert {saying.state for saying in seen(book, bad, 100, 300)} == {State.RAISED}
    last = seen(book, good, 300, 700)
    assert {saying.state for saying in last} == {State.RECOVERED}
    assert not book.open()


BAD_CHANNEL: dict[str, object] = {
    "stuck": True,
    "playback_present": False,
    "clipped": 0.3,
    "quiet_s": 4000.0,
    "drift_ppm": -900.0,
}


def test_what_is_not_there_has_no_value() -> None:
    how = vitals(devices=(a_device("a", connected=False, quiet_s=9e9), a_device("b", known=False)))
    assert [sight.value for sight in sights("silence", how)] == [None]
    assert [sight.source for sight in sights("device_gone", how)] == ["a"]
    strange = vitals(devices=(a_device("a", ppm=None), a_device("b", ppm=-3.0)))
    assert [sight.value for sight in sights("drift", strange)] == [None, 3.0]
    assert sights("broker_gone", how) == []
    assert sights("page", how) == []
    assert [sight.value for sight in sights("disk", vitals(disk_bytes=0))] == [-1.0]
    assert [sight.value for sight in sights("disk", vitals(disk_free_bytes=1))] == [0.0]
    assert [sight.value for sight in sights("clock", vitals(clock_synchronised=None))] == [None]


def test_a_source_that_is_taken_out_of_the_configuration_is_over() -> None:
    book = RuleBook(settings({"on": "device_gone", "for_s": 0}))
    gone = vitals(devices=(a_device("a", connected=False), a_device("b")))
    without = vitals(devices=(a_device("b"),))
    seen(book, gone, 0, 2)
    assert told(book.look(without, now(3))) == [("r0", "a", State.RECOVERED, ("chief",))]
    assert not book.open()


def test_one_page_on_two_channels_is_one_message_and_the_next_one_is_another() -> None:
    book = RuleBook(settings({"on": "page", "sources": ("engine-7",)}))
    assert len(book.happened(page(), now(0))) == 1
    assert not book.happened(page(channel_id="ems"), now(3))
    assert not book.happened(page("medic-1"), now(4))
    assert len(book.happened(page(), now(30))) == 1
    assert not book.open()


def test_a_page_below_the_priority_is_nobodys() -> None:
    book = RuleBook(settings({"on": "page", "threshold": 5}))
    assert not book.happened(page(priority=4), now(0))
    assert book.happened(page("other", priority=5), now(0))


def test_a_page_that_nobody_acknowledges_goes_on_to_others() -> None:
    steps = (Escalation(after_min=5, targets=("desk",)),)
    book = RuleBook(settings({"on": "page", "escalate": steps}))
    book.happened(page(), now(0))
    book.happened(page("medic-1"), now(1))
    assert told(book.acknowledge(1, "anna", now(60))) == [("r0", "engine-7", State.ACKNOWLEDGED, ("chief",))]
    assert not book.acknowledge(1, "anna", now(61))
    assert not book.acknowledge(99, "anna", now(61))
    assert told(book.tick(now(302))) == [("r0", "medic-1", State.ESCALATED, ("desk",))]
    assert not book.open()


def test_when_nobody_can_be_reached_others_are_told_at_once() -> None:
    steps = (Escalation(after_min=5, targets=("desk",)),)
    book = RuleBook(
        settings({"on": "page", "escalate": steps}, {"on": "card_gone", "for_s": 0, "escalate": steps})
    )
    bad = vitals(channels=(a_channel("fire", capture_present=False),))
    book.happened(page(), now(0))
    book.look(bad, now(0))
    assert not book.tick(now(1), frozenset({"desk"}))
    assert not book.look(bad, now(1))
    chief = frozenset({"chief"})
    assert told(book.tick(now(2), chief)) == [("r0", "engine-7", State.ESCALATED, ("desk",))]
    assert told(book.look(bad, now(3))) == [("r1", "fire", State.ESCALATED, ("desk",))]
    assert not [*book.tick(now(4), chief), *book.look(bad, now(4))]
    seen_to = RuleBook(settings({"on": "card_gone", "for_s": 0, "escalate": steps}))
    seen_to.look(bad, now(0))
    seen_to.acknowledge(1, "anna", now(1))
    assert not [*seen_to.tick(now(2), chief), *seen_to.look(bad, now(3))]


def test_pages_wait_for_nobody_who_sleeps_and_faults_do() -> None:
    book = RuleBook(
        settings(
            {"on": "page"},
            {"on": "worker_failed"},
            {"on": "card_gone", "for_s": 0},
            begins="13:00",
            ends="14:00",
        )
    )
    bad = vitals(channels=(a_channel("fire", capture_present=False),))
    assert told(book.happened(page(), now(0)))[0][3] == ()
    book.happened(Happening("worker_failed", "w", 1.0, 1), now(0))
    assert [entry[3] for entry in told(seen(book, bad, 0, 100))] == [()]
    morning = [*book.tick(now(3600)), *book.look(bad, now(3600))]
    assert told(morning) == [
        ("r1", "w", State.RAISED, ("chief",)),
        ("r2", "fire", State.REPEATED, ("chief",)),
    ]


def test_an_end_is_told_when_it_is_the_time_of_who_knew_of_the_beginning() -> None:
    book = RuleBook(settings({"on": "card_gone", "for_s": 0}, begins="12:00", ends="12:01"))
    bad = vitals(channels=(a_channel("fire", capture_present=False),))
    good = vitals(channels=(a_channel("fire"),))
    assert told(seen(book, bad, 0, 60))[0][3] == ("chief",)
    assert [entry[2:] for entry in told(seen(book, good, 60, 90))] == [(State.RECOVERED, ())]
    assert told(book.tick(now(86_400))) == [("r0", "fire", State.RECOVERED, ("chief",))]


def test_maintenance_holds_everything_but_pages_that_it_does_not_name() -> None:
    window = Maintenance(begins="2026-11-21T12:00", ends="2026-11-21T12:05")
    how = vitals(devices=(a_device("a", connected=False), a_device("b", connected=False)))
    rules: tuple[dict[str, object], ...] = ({"on": "device_gone", "for_s": 0}, {"on": "page"})
    book = RuleBook(settings(*rules, maintenance=(window,)))
    assert [entry[3] for entry in told(seen(book, how, 0, 10))] == [(), ()]
    assert told(book.happened(page(), now(1)))[0][3] == ("chief",)
    assert [entry[3] for entry in told(seen(book, how, 301, 302))] == [("chief",), ("chief",)]
    named = window.model_copy(update={"sources": ("a", "fire")})
    book = RuleBook(settings(*rules, maintenance=(named,)))
    assert [entry[3] for entry in told(seen(book, how, 0, 1))] == [(), ("chief",)]
    assert told(book.happened(page(), now(1)))[0][3] == ()
    assert told(book.happened(page("medic", "ems"), now(1)))[0][3] == ("chief",)


def test_what_is_open_outlives_a_restart_and_a_clock_that_steps(tmp_path: Path) -> None:
    wanted = settings(
        {"on": "server_gone", "for_s": 0, "escalate": (Escalation(after_min=5, targets=("desk",)),)}
    )
    down = vitals(links=(LinkVitals("server", False, 0.0),))
    book = RuleBook(wanted)
    seen(book, down, 1000, 1060)
    memory.save(tmp_path / "m.json", book.open(), book.next_number, 1060.0)
    again = RuleBook(wanted)
    again.restore(*memory.load(tmp_path / "m.json", 5.0))
    a_year_ago = NOON - timedelta(days=366)
    said = []
    for second in range(5, 400):
        local = a_year_ago + timedelta(seconds=second)
        said += again.look(down, Now(second, round(local.timestamp() * 1e6), local))
    assert told(said) == [("r0", "", State.ESCALATED, ("desk",))]
    assert again.next_number == 2
    other = RuleBook(settings({"on": "broker_gone"}))
    other.restore(*memory.load(tmp_path / "m.json", 5.0))
    assert not other.open()
    assert other.next_number == 2


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"open": [{}], "next": 1}', '{"open": 3, "next": 1}', "\x00"]
)
def test_a_damaged_memory_is_moved_aside(tmp_path: Path, text: str) -> None:
    path = tmp_path / "alerts.json"
    path.write_text(text)
    assert memory.load(path, 0.0) == ([], 1)
    assert not path.exists()
    assert (tmp_path / "alerts.json.broken").read_text() == text


def test_happenings_that_wait_are_bounded() -> None:
    book = RuleBook(settings({"on": "page", "for_s": 0, "repeat_min": 60}))
    for number in range(MOST_HAPPENINGS + 50):
        book.happened(page(f"t{number}"), now(number / 100))
    assert len(book.open()) == MOST_HAPPENINGS
    assert not [saying for saying in book.tick(now(90_000)) if saying.state is State.RAISED]
    book.tick(now(90_001))
    assert not book.open()


def test_what_a_notice_is_to_a_rule() -> None:
    data: dict[str, Json] = {"tone_id": "engine-7", "name": "Engine 7", "priority": 3}
    what = happening(Notice("page", 7, "text", "fire", "x", data=data))
    assert what == Happening("page", "engine-7", 3.0, 7, "Engine 7", "fire", "text")
    worker = happening(Notice("worker", 7, "died", subject="rec"))
    assert worker is not None
    assert (worker.on, worker.source) == ("worker_failed", "rec")
    assert happening(Notice("talker", 7, "talks")) is None
    assert happening(Notice("alert", 7, "an alert is no reason for another")) is None


def test_a_thousand_microphones_and_ten_rules_cost_little() -> None:
    """Beside a plain walk over as many values, least of five."""
    kinds = ("device_gone", "silence", "clipping", "drift", "card_gone")
    rules: list[dict[str, object]] = [{"on": on} for on in kinds * 2]
    book = RuleBook(settings(*rules))
    how = vitals(devices=tuple(a_device(f"d{number}") for number in range(1000)))
    book.look(how, now(0))

    def look() -> float:
        began_s = time.perf_counter()
        book.look(how, now(1))
        return time.perf_counter() - began_s

    def walk() -> float:
        began_s = time.perf_counter()
        for _ in kinds * 2:
            for device in how.devices:
                replace(device, quiet_s=device.quiet_s)
        return time.perf_counter() - began_s

    took_s, reference_s = min(look() for _ in range(5)), min(walk() for _ in range(5))
    assert took_s < reference_s
