"""To a real Mosquitto: everything arrives, in order, with and without TLS, over restarts of either side."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from authority import Authority
from mosquitto import Mosquitto, Settings, binary
from mqtt_house import event, house, state, telemetry, trusting
from subscriber import Heard, Subscriber

from echostream.notices.notice import Notice, Weight
from echostream.spool.spool import Item, Spool

pytestmark = pytest.mark.skipif(
    binary() is None, reason="mosquitto is not installed: scripts/setup.sh dev does"
)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    one = Mosquitto(tmp_path / "broker")
    one.start()
    yield one
    one.stop()


@pytest.fixture
def subscriber(broker: Mosquitto) -> Iterator[Subscriber]:
    one = Subscriber(broker.port)
    one.wait_subscribed()
    yield one
    one.close()


def texts(heard: list[Heard], topic: str) -> list[str]:
    """Without repeats, as a subscriber does it."""
    seen: dict[str, str] = {}
    for one in heard:
        if one.topic == topic:
            seen.setdefault(one.message_id, one.payload.decode())
    return list(seen.values())


def wait_online(subscriber: Subscriber) -> None:
    """What is said after the gateway has subscribed."""
    subscriber.wait_for(lambda heard: any(one.topic == "echostream/gw/status" for one in heard))


def test_events_arrive_in_the_order_of_their_channel(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with house(tmp_path, broker.port) as running:
        for at in range(200):
            running.tell(event(f"{at}", "fire" if at % 3 else "ems"))
        subscriber.wait_for(lambda heard: len([one for one in heard if one.topic != "status"]) >= 200)
        running.wait_empty()
    assert texts(subscriber.heard, "events/fire") == [str(at) for at in range(200) if at % 3]
    assert texts(subscriber.heard, "events/ems") == [str(at) for at in range(200) if not at % 3]
    assert all(one.qos == 1 and one.message_id for one in subscriber.of("events/fire"))


def test_what_was_said_while_nobody_answered_arrives_later_and_states_are_of_now(
    tmp_path: Path, broker: Mosquitto
) -> None:
    broker.stop()
    with house(tmp_path, broker.port) as running:
        running.wait_down("refused")
        running.tell(event("one"), state("s/fire", "old"), state("s/fire", "new"), event("two"))
        running.tell(telemetry("levels", "too late"))
        running.wait(lambda: running.publisher.link().waiting == 2)  # type: ignore[union-attr]
        broker.start()
        subscriber = Subscriber(broker.port)
        running.wait_empty()
        subscriber.wait_for(lambda heard: any(one.topic == "s/fire" for one in heard))
        subscriber.close()
    assert [one.payload for one in subscriber.of("s/fire")] == [b"new"]
    assert not subscriber.of("levels")
    assert [up for up, _ in running.links] == [False, True]


def test_states_are_said_again_after_the_broker_forgot_them(tmp_path: Path, broker: Mosquitto) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        running.tell(state("s/fire", "1"), state("s/ems", "2"))
        running.wait(lambda: running.publisher.link().sent >= 3)  # type: ignore[union-attr]
        broker.kill()
        broker.start()
        late = Subscriber(broker.port)
        late.wait_for(lambda heard: {one.topic for one in heard} >= {"s/fire", "s/ems", "status"})
        late.close()
    assert [up for up, _ in running.links] == [True, False, True]


def test_telemetry_goes_out_once_while_somebody_is_there(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        running.tell(telemetry("levels", "-20"))
        subscriber.wait_for(lambda heard: any(one.topic == "levels" for one in heard))
    (one,) = subscriber.of("levels")
    assert (one.qos, one.retained) == (0, False)


def test_last_will_is_published_when_the_gateway_is_gone_and_said_when_it_goes(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with house(tmp_path, broker.port) as running:
        subscriber.wait_for(
            lambda heard: [one.payload for one in heard if one.topic == "status"] == [b"online"]
        )
        running.cut()
        subscriber.wait_for(
            lambda heard: (
                [one.payload for one in heard if one.topic == "status"][:3]
                == [b"online", b"offline", b"online"]
            )
        )
    subscriber.wait_for(
        lambda heard: [one for one in heard if one.topic == "status"][-1].payload == b"offline"
    )
    assert "status" in subscriber.of("status")[-1].topic
    late = Subscriber(broker.port)
    late.wait_for(bool)
    late.close()
    assert [(one.payload, one.retained) for one in late.of("status")] == [(b"offline", True)]


def test_last_words_reach_the_broker_before_the_end(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        running.tell(*(event(f"{at}") for at in range(50)))
    subscriber.wait_for(lambda heard: len(texts(heard, "events/fire")) == 50)
    subscriber.wait_for(lambda heard: heard[-1].topic == "status")
    with Spool(tmp_path / "mqtt.sqlite3", 1_000_000) as spool:
        assert spool.count == 0


def test_end_is_bounded_while_the_broker_hangs_and_nothing_is_lost(tmp_path: Path, broker: Mosquitto) -> None:
    with house(tmp_path, broker.port) as running:
        running.wait_up()
        broker.hang()
        running.tell(*(event(f"{at}") for at in range(100)))
        time.sleep(0.3)
    broker.resume()
    with Spool(tmp_path / "mqtt.sqlite3", 1_000_000) as spool:
        assert [one.body for one in spool.waiting()] == [str(at).encode() for at in range(100)]
    subscriber = Subscriber(broker.port)
    subscriber.wait_subscribed()
    with house(tmp_path, broker.port) as running:
        running.wait_empty()
        subscriber.wait_for(lambda heard: len(texts(heard, "events/fire")) == 100)
    subscriber.close()
    assert texts(subscriber.heard, "events/fire") == [str(at) for at in range(100)]


def test_notices_before_the_start_wait(tmp_path: Path, broker: Mosquitto, subscriber: Subscriber) -> None:
    with house(tmp_path, broker.port, start=False) as running:
        running.tell(event("early", weight=Weight.ALARM))
        running.start()
        subscriber.wait_for(lambda heard: texts(heard, "events/fire") == ["early"])


def test_long_backlog_goes_out_beside_the_states(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    with Spool(tmp_path / "mqtt.sqlite3", 64_000_000) as spool:
        key = "1-\n{}\napplication/json\nevents/fire"
        spool.put([Item(1, 1, "fire", key.format(at), str(at).encode()) for at in range(1500)])
    with house(tmp_path, broker.port) as running:
        subscriber.wait_for(lambda heard: any(one.topic == "status" for one in heard))
        assert len(texts(subscriber.heard, "events/fire")) < 1500
        subscriber.wait_for(lambda heard: len(heard) >= 1501, 30)
        running.wait_empty()
    assert texts(subscriber.heard, "events/fire") == [str(at) for at in range(1500)]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_both_versions_with_tls_and_password(tmp_path: Path, protocol: str) -> None:
    authority = Authority(tmp_path / "ca")
    users = {"gateway": "säcret", "reader": "other"}
    broker = Mosquitto(tmp_path / "broker", Settings(users, pair=authority.server("broker")))
    broker.start()
    subscriber = Subscriber(broker.port, username="reader", password="other", context=trusting(authority.ca))
    try:
        subscriber.wait_subscribed()
        settings = {"tls": {"ca_file": str(authority.ca)}, "username": "gateway", "protocol": protocol}
        with house(tmp_path, broker.port, password="säcret", settings=settings) as running:
            running.tell(event("through TLS"))
            subscriber.wait_for(lambda heard: any(one.payload == b"through TLS" for one in heard))
        (one,) = subscriber.of("events/fire")
        assert bool(one.message_id) == (protocol == "5")
    finally:
        subscriber.close()
        broker.stop()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_wrong_password_is_said_once_with_the_place(tmp_path: Path, protocol: str) -> None:
    broker = Mosquitto(tmp_path / "broker", Settings({"gateway": "right"}))
    broker.start()
    try:
        settings = {"username": "gateway", "protocol": protocol}
        with house(tmp_path, broker.port, password="wrong", settings=settings) as running:
            running.wait_down("mqtt.password")
            time.sleep(0.3)
            assert len(running.links) == 1
            broker.configure(Settings({"gateway": "wrong"}))
            broker.kill()
            broker.start()
            running.wait_up()
    finally:
        broker.stop()


def test_topic_that_is_not_allowed_costs_only_itself(tmp_path: Path) -> None:
    acl = "topic readwrite events/#\ntopic read denied/#\ntopic readwrite status\ntopic readwrite ok"
    broker = Mosquitto(tmp_path / "broker", Settings(acl=acl))
    broker.start()
    subscriber = Subscriber(broker.port)
    try:
        subscriber.wait_subscribed()
        with house(tmp_path, broker.port) as running:
            running.wait_up()
            running.tell(event("1"), event("no", subject="denied/a"), state("denied/b", "no"), event("2"))
            running.tell(state("ok", "yes"))
            subscriber.wait_for(lambda heard: {"ok", "events/fire"} <= {one.topic for one in heard})
            running.wait(lambda: running.publisher.link().dropped == 2)  # type: ignore[union-attr]
            assert [up for up, _ in running.links] == [True]
        assert texts(subscriber.heard, "events/fire") == ["1", "2"]
    finally:
        subscriber.close()
        broker.stop()


def test_gateways_own_messages_and_a_command_through_a_real_broker(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    settings = {"commands": {"volume": True}}
    with house(tmp_path, broker.port, plain=False, settings=settings) as running:
        wait_online(subscriber)
        running.tell(Notice("page", 1_700_000_000_000_000, "a page", "fire", data={"tone_a_hz": 1.0}))
        subscriber.wait_for(lambda heard: any(one.topic == "from/device/gw/tone_detection" for one in heard))
        subscriber.publish("echostream/gw/channel/fire/command/volume", b'{"gain_db": -6}')
        running.wait(lambda: running.commands)
        (asked,) = running.commands
        assert (asked.name, asked.channel_id, dict(asked.values)) == ("volume", "fire", {"gain_db": -6})
        asked.answer(True, "done so")
        topic = "echostream/gw/channel/fire/command/volume/answer"
        subscriber.wait_for(lambda heard: any(one.topic == topic for one in heard))
        answer = json.loads(subscriber.of(topic)[0].payload)
        assert answer["ok"] is True
        assert (
            json.loads(subscriber.of("from/device/gw/tone_detection")[0].payload)["timestamp"]
            == 1_700_000_000_000
        )


def test_answer_that_comes_with_the_end_still_goes_out(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    """A `reload` may replace the publisher through which it was asked."""
    with house(tmp_path, broker.port, plain=False, settings={"commands": {"reload": True}}) as running:
        wait_online(subscriber)
        subscriber.publish("echostream/gw/command/reload", b"{}")
        running.wait(lambda: running.commands)
        running.commands[0].answer(True, "in force")
    subscriber.wait_for(lambda heard: any(one.topic.endswith("/answer") for one in heard))


def test_flood_of_commands_is_held_back_and_the_answers_with_it(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber
) -> None:
    settings = {"commands": {"volume": True}}
    with house(tmp_path, broker.port, plain=False, settings=settings) as running:
        wait_online(subscriber)
        for _ in range(60):
            subscriber.publish("echostream/gw/channel/fire/command/volume", b'{"gain_db": -6}')
        topic = "echostream/gw/channel/fire/command/volume/answer"
        subscriber.wait_for(lambda heard: len([one for one in heard if one.topic == topic]) >= 25)
        assert len(running.commands) <= 16


def test_disk_that_refuses_does_not_keep_events_from_the_broker(
    tmp_path: Path, broker: Mosquitto, subscriber: Subscriber, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "nodir").touch()
    with house(tmp_path / "nodir", broker.port) as running:
        running.tell(event("by memory"))
        subscriber.wait_for(lambda heard: texts(heard, "events/fire") == ["by memory"])
        running.wait_empty()
    assert caplog.text.count("its folder must be writable") == 1


def test_client_certificate_as_aws_iot_wants_it(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    thing = authority.client("thing")
    broker = Mosquitto(tmp_path / "broker", Settings(pair=authority.server("broker"), client_ca=authority.ca))
    broker.start()
    files = {"ca_file": str(authority.ca), "cert_file": str(thing.cert), "key_file": str(thing.key)}
    try:
        with house(tmp_path, broker.port, settings={"tls": {"ca_file": str(authority.ca)}}) as running:
            running.wait_down("wants a certificate")
        with house(tmp_path, broker.port, settings={"tls": files}) as running:
            running.tell(event("one"))
            running.wait(lambda: running.publisher.link().sent >= 2)  # type: ignore[union-attr]
            running.wait_empty()
    finally:
        broker.stop()
    assert "as thing" in broker.log() or "u'thing'" in broker.log()
