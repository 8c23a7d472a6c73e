"""Brokers that refuse, hang up, keep silent or have narrow limits: each costs what it must and no more."""

from __future__ import annotations

import gc
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_house import event, house, state, telemetry
from scripted_broker import HANG_UP, SILENT, Published, ScriptedBroker, disconnect_packet, publish_packet

from echostream.mqtt import connection, outbox, session


@pytest.fixture
def broker() -> Iterator[ScriptedBroker]:
    one = ScriptedBroker()
    yield one
    one.close()


@pytest.mark.parametrize("code", [0x87, 0x90, 0x99])
def test_publication_that_is_refused_for_good_does_not_hold_back_the_next(
    tmp_path: Path, broker: ScriptedBroker, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    broker.script.judge = lambda one: code if one.topic == "bad" else 0
    with house(tmp_path, broker.port) as running:
        running.tell(event("1"), event("x", subject="bad"), event("y", subject="bad"), event("2"))
        broker.wait_for(lambda: broker.payloads("events/fire") == [b"1", b"2"])
        running.wait(lambda: running.publisher.link().dropped == 2)  # type: ignore[union-attr]
    assert caplog.text.count("it is left out") == 1, "said once"
    assert broker.connections == 1


def test_quota_that_is_used_up_is_tried_again_later_and_the_rest_goes_on(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LATER_S", (0.2,))
    answers = [0x97, 0x97, 0]
    broker.script.judge = lambda one: answers.pop(0) if one.payload == b"alarm" else 0
    with house(tmp_path, broker.port) as running:
        running.tell(event("alarm"), event("2"))
        broker.wait_for(lambda: len(broker.payloads("events/fire")) == 4)
        running.wait_empty()
    assert broker.payloads("events/fire") == [b"alarm", b"2", b"alarm", b"alarm"]


def test_state_that_found_no_quota_is_said_again_without_a_new_connection(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LATER_S", (0.2,))
    answers = [0x97, 0]
    broker.script.judge = lambda one: answers.pop(0) if one.topic == "s/fire" else 0
    with house(tmp_path, broker.port) as running:
        running.tell(state("s/fire", "1"))
        broker.wait_for(lambda: broker.payloads("s/fire") == [b"1", b"1"])
    assert broker.connections == 1


def test_broker_that_finds_it_too_much_gets_it_slowly(tmp_path: Path, broker: ScriptedBroker) -> None:
    at_s: list[float] = []

    def judge(one: Published) -> int:
        at_s.append(time.monotonic())
        return 0x97 if len(at_s) == 70 else 0

    broker.script.judge = judge
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        running.tell(*(event(f"{at}") for at in range(200)))
        broker.wait_for(lambda: len(at_s) >= 195)
    between_s = at_s[194] - at_s[144]
    assert 0.7 < between_s < 3.0, "fifty publications take about a second"
    assert broker.connections == 1


@pytest.mark.parametrize("topic", ["events/fire", "s/bad"])
def test_broker_that_hangs_up_at_one_publication_gets_everything_else(
    tmp_path: Path, broker: ScriptedBroker, topic: str
) -> None:
    """AWS IoT answers in this way what its policy does not allow."""

    def judge(one: Published) -> int:
        return HANG_UP if (one.topic, one.payload) == (topic, b"bad") else 0

    broker.script.judge = judge
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        bad = event("bad") if topic == "events/fire" else state("s/bad", "bad")
        running.tell(event("0"), bad, *(event(f"{at}") for at in range(1, 30)), state("s/good", "good"))
        expected = {str(at).encode() for at in range(30)}
        broker.wait_for(lambda: expected <= set(broker.payloads("events/fire")), 20)
        broker.wait_for(lambda: b"good" in broker.payloads("s/good"), 20)
        before = broker.connections
        running.tell(event("after"))
        broker.wait_for(lambda: b"after" in broker.payloads("events/fire"))
        time.sleep(0.3)
        assert broker.connections == before, "it still hangs up"


def test_after_the_one_was_found_all_goes_on_as_usual(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "CAREFUL_S", 0.3)
    broker.script.judge = lambda one: HANG_UP if one.payload == b"bad" else 0
    with house(tmp_path, broker.port) as running:
        running.tell(event("bad"), event("good"))
        broker.wait_for(lambda: b"good" in broker.payloads("events/fire"), 20)
        before = broker.connections
        deadline_s = time.monotonic() + 10
        while not broker.payloads("levels"):
            running.tell(telemetry("levels", "-20"))
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        assert broker.connections == before


def test_what_a_sick_broker_hung_up_at_is_published_when_it_is_well(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LATER_S", (0.5, 1.0))
    broker.script.judge = lambda one: HANG_UP
    with house(tmp_path, broker.port) as running:
        running.tell(event("alarm"), event("2"))
        broker.wait_for(lambda: broker.connections >= 12, 20)
        broker.script.judge = lambda one: 0
        before = broker.connections
        running.wait_empty()
        assert broker.connections <= before + 2
    well = [one.payload for one in broker.published if one.connection > before]
    assert {b"alarm", b"2"} <= set(well) | set(broker.payloads("events/fire")[-2:])


def test_broker_that_hangs_up_at_a_subscription_gets_all_publications(
    tmp_path: Path, broker: ScriptedBroker
) -> None:
    broker.script.subscription = HANG_UP
    settings = {"commands": {"reload": True}, "home_assistant": False}
    with house(tmp_path, broker.port, settings=settings) as running:
        running.tell(*(event(f"{at}") for at in range(10)))
        broker.wait_for(lambda: len(set(broker.payloads("events/fire"))) == 10, 20)
        running.wait_empty()


def test_silent_broker_is_left_and_nothing_counts_as_said(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ANSWER_S", 0.3)
    broker.script.judge = lambda one: SILENT if broker.connections == 1 else 0
    with house(tmp_path, broker.port) as running:
        running.tell(event("1"), event("2"))
        running.wait_down("has not answered")
        running.wait_up()
        broker.wait_for(lambda: len(broker.payloads("events/fire")) >= 4)
        running.wait_empty()


def test_broker_that_is_gone_without_a_word_is_noticed_by_the_keep_alive(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker.script.pings = False
    with house(tmp_path, broker.port, start=False) as running:
        link = running.publisher._link
        monkeypatch.setattr(link, "_mqtt", link._mqtt.model_copy(update={"keep_alive_s": 1}))
        running.start()
        running.wait_up()
        running.wait_down("silent for too long")


def test_connections_that_fail_leave_nothing_behind(tmp_path: Path, broker: ScriptedBroker) -> None:
    """Neither descriptors, which the frame around each test counts, nor objects in circles."""
    broker.script.connack = HANG_UP
    with house(tmp_path, broker.port):
        broker.wait_for(lambda: broker.connections >= 10, 20)
        gc.collect()
        gc.disable()
        try:
            before = broker.connections
            broker.wait_for(lambda: broker.connections >= before + 10, 20)
            alive = [one for one in gc.get_objects() if isinstance(one, connection.Connection)]
        finally:
            gc.enable()
    assert len(alive) <= 2


def test_never_more_on_the_way_than_the_broker_takes(
    tmp_path: Path, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Receive Maximum 3 (MQTT 5, 3.2.2.3.3)."""
    monkeypatch.setattr(session, "LAST_WORDS_S", 0.1)
    broker.script.properties = b"\x21\x00\x03"
    broker.script.judge = lambda one: SILENT
    with house(tmp_path, broker.port) as running:
        running.tell(*(event(f"{at}") for at in range(20)))
        broker.wait_for(lambda: len(broker.published) == 3)
        time.sleep(0.3)
        assert len(broker.published) == 3


def test_no_publication_is_larger_than_the_broker_takes(tmp_path: Path, broker: ScriptedBroker) -> None:
    """Maximum Packet Size 1,000 (MQTT 5, 3.2.2.3.6)."""
    broker.script.properties = b"\x27\x00\x00\x03\xe8"
    with house(tmp_path, broker.port) as running:
        running.tell(event("x" * 2000), event("small"))
        broker.wait_for(lambda: broker.payloads("events/fire") == [b"small"])
        running.wait(lambda: running.publisher.link().dropped == 1)  # type: ignore[union-attr]


def test_broker_without_retained_messages_gets_them_unretained(
    tmp_path: Path, broker: ScriptedBroker
) -> None:
    """Retain Available 0, Maximum QoS 0 (MQTT 5, 3.2.2.3.5 and 3.2.2.3.4)."""
    broker.script.properties = b"\x25\x00\x24\x00"
    with house(tmp_path, broker.port) as running:
        running.tell(event("1"))
        broker.wait_for(lambda: b"1" in broker.payloads("events/fire"))
        broker.wait_for(lambda: b"online" in broker.payloads("status"))
        running.wait_empty()
    assert not any(one.retain or one.qos for one in broker.published)
    assert broker.connections == 1


@pytest.mark.parametrize(
    ("connack", "said"),
    [
        (0x84, "mqtt.protocol"),
        (0x85, "mqtt.client_id"),
        (0x86, "mqtt.password"),
        (0x88, "not available"),
        (HANG_UP, "closed the connection"),
    ],
)
def test_connection_that_is_refused_is_said_with_the_place(
    tmp_path: Path, broker: ScriptedBroker, connack: int, said: str
) -> None:
    broker.script.connack = connack
    with house(tmp_path, broker.port) as running:
        running.wait_down(said)
        broker.script.connack = 0
        running.wait_up()
        assert [up for up, _ in running.links] == [False, True]


def test_end_is_bounded_while_a_broker_never_answers_the_connect(
    tmp_path: Path, broker: ScriptedBroker
) -> None:
    broker.script.connack = SILENT
    with house(tmp_path, broker.port):
        broker.wait_for(lambda: broker.connections > 0)
        time.sleep(0.1)


@pytest.mark.parametrize(
    "before",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\xff\xff\xff",
        b"\x20\xff\xff\xff\x7f" + b"x" * 1000,
        b"\x20\x03\x00\x63\x00",
        b"\x20\x00",
        b"\x30\x02\xff\xff",
        b"\xf0\x00" * 300,
        bytes(range(256)) * 4,
    ],
    ids=["http", "length", "huge", "unknown code", "empty connack", "cut publish", "auth", "all bytes"],
)
def test_who_speaks_no_mqtt_is_left_and_the_next_one_is_tried(
    tmp_path: Path, broker: ScriptedBroker, before: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CONNACK_S", 0.5)
    broker.script.before = before
    with house(tmp_path, broker.port) as running:
        running.tell(event("kept"))
        broker.wait_for(lambda: broker.connections >= 2)
        assert not running.publisher.restarts
        assert not running.publisher._link.restarts
        broker.script.before = b""
        broker.wait_for(lambda: b"kept" in broker.payloads("events/fire"))


@pytest.mark.parametrize("data", [b"\x40\x02\x00\x63", b"\xff" * 40, publish_packet("a", b"x" * 300_000)])
def test_nonsense_within_a_connection_ends_it_or_is_left_out(
    tmp_path: Path, broker: ScriptedBroker, data: bytes
) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        broker.send_to_all(data)
        running.tell(event("1"))
        broker.wait_for(lambda: b"1" in broker.payloads("events/fire"))
        running.wait_empty()
        assert not running.publisher._link.restarts


def test_flood_from_the_broker_does_not_keep_us_from_sending(tmp_path: Path, broker: ScriptedBroker) -> None:
    with house(tmp_path, broker.port, plain=False, settings={"commands": {"reload": True}}) as running:
        running.wait_up()
        flood = publish_packet("echostream/gw/command/reload", b"{}") * 5000
        broker.send_to_all(flood)
        running.tell(event("1"))
        broker.wait_for(lambda: any(b'"1"' in one.payload for one in broker.published))
        assert len(running.commands) <= 16
        assert not running.publisher._link.restarts


def test_two_gateways_of_one_name_are_told_so_and_do_not_throw_each_other_out_for_ever(
    tmp_path: Path, broker: ScriptedBroker
) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        broker.send_to_all(disconnect_packet(0x8E))
        running.wait_down("mqtt.client_id")
        running.wait_up()


def test_end_is_bounded_while_a_broker_is_silent_within_tls(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with house(tmp_path, listener.getsockname()[1], settings={"tls": {}}):
            connection, _ = listener.accept()
            time.sleep(0.1)
        connection.close()


def test_name_that_does_not_resolve_is_said(tmp_path: Path) -> None:
    with house(tmp_path, 1883, settings={"host": "no.such.host.invalid"}) as running:
        running.wait_down("no.such.host.invalid")


def test_a_thousand_open_files_do_not_matter(tmp_path: Path, broker: ScriptedBroker) -> None:
    """select(), which paho's own loop uses, ends at descriptor 1,023."""
    import os
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1400:
        pytest.skip(f"this system allows only {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    open_files = [os.open("/dev/null", os.O_RDONLY) for _ in range(1100)]
    try:
        with house(tmp_path, broker.port) as running:
            running.tell(event("1"))
            broker.wait_for(lambda: b"1" in broker.payloads("events/fire"))
    finally:
        for one in open_files:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
