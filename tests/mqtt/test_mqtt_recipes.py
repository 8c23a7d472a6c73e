"""docs/mqtt.md tells the truth: its examples load, its recipes let a gateway work, and others do no more."""

from __future__ import annotations

import dataclasses
import json
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from config_documents import small
from mosquitto import Mosquitto, Settings, binary
from mqtt_scenes import page_notice, vitals
from subscriber import Subscriber

from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.events import CommandAsked, Event
from echostream.mqtt.message import Message
from echostream.mqtt.messages import Messages
from echostream.mqtt.mqtt_publisher import MqttPublisher
from echostream.notices.notice import Kind, Notice
from echostream.vitals.model import Vitals

PAGE = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text()
ALL = {"page_out": True, "volume": True, "mute": True, "record": True, "reload": True}
NAME = "station-7"
HAS_BROKER = pytest.mark.skipif(
    binary() is None, reason="mosquitto is not installed: scripts/setup.sh dev does"
)


def examples(language: str, holding: str) -> list[str]:
    """The examples of a language that hold something."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return [one for one in found if holding in one]


def configuration(**mqtt: Any) -> Config:
    document = small(
        gateway={"id": NAME, "affiliation_id": NAME},
        mqtt={"enabled": True, "host": "localhost", "tls": None, "commands": ALL} | mqtt,
        esp32={"enabled": True, "devices": [{"name": "porch"}]},
        tones={"a": {"alert_tones": [{"tone_id": "engine-7", "tone_a_hz": 349.0, "tone_b_hz": 433.7}]}},
    )
    return parse_config(document, "test").config


def notices() -> Iterator[Notice]:
    """One of each kind, of a channel and of none."""
    for kind in get_args(Kind):
        for channel_id, subject in (("a", ""), ("", ""), ("", "porch")):
            yield Notice(kind, 1, "text", channel_id=channel_id, subject=subject)


def look() -> Vitals:
    """As `vitals`, with the channels of `small`."""
    seen = vitals(1.0)
    a, other = seen.channels
    return dataclasses.replace(seen, channels=(a, dataclasses.replace(other, channel_id="b")))


def everything(config: Config) -> list[Message]:
    """A message of every topic that there is."""
    own = Messages(config)
    found = [own.will(), *own.of_vitals(look()), *own.of_notice(page_notice())]
    found += [message for notice in notices() for message in own.of_notice(notice)]
    found.append(own.answer(CommandAsked("record", "a", {}, "mqtt"), True, "done"))
    return found + own.birth()


# ---- the page


@pytest.mark.parametrize("text", examples("json", '"mqtt": {'))
def test_examples_of_the_configuration_load(text: str) -> None:
    parse_config(small() | json.loads(text), "docs/mqtt.md")


def test_every_topic_is_on_the_page() -> None:
    for message in everything(configuration()):
        topic = message.topic.replace(f"echostream/{NAME}/", "…/")
        if topic.startswith("homeassistant/"):
            continue
        topic = re.sub(r"…/channel/[^/]+/", "…/channel/CHANNEL/", topic)
        topic = re.sub(r"…/device/[^/]+/", "…/device/NAME/", topic)
        place, event, kind = topic.rpartition("/event/")
        if event and not place.endswith("NAME"):
            assert f"`{kind}`" in PAGE, kind
            topic = f"{place}/event/KIND"
        assert topic.removesuffix("/answer") in PAGE, topic


def test_every_key_of_what_is_so_now_is_on_the_page() -> None:
    found = {one.topic: one for one in everything(configuration()) if one.kind != "event"}
    for topic, message in found.items():
        if message.content_type != "application/json" or topic.startswith("homeassistant/"):
            continue
        values = json.loads(message.payload)
        keys = set(values) | set(values.get("links", {}).get("mqtt", {}))
        known = {"timestamp", "device_id"} | set(page_notice().data if "/last_" in topic else ())
        assert not [key for key in keys - known if f"`{key}`" not in PAGE], topic


def test_every_command_is_on_the_page_as_it_is_taken() -> None:
    own = Messages(configuration())
    rows = re.findall(r"^\| `…/(\S*command/\w+)` \| `(\{.*?\})` \|", PAGE, re.MULTILINE)
    assert len(rows) == len(ALL)
    for topic, payload in rows:
        topic = f"echostream/{NAME}/" + topic.replace("CHANNEL", "a")
        assert isinstance(own.command(topic, payload.encode()), CommandAsked), topic


# ---- the LAN with Mosquitto


@contextmanager
def running(
    config: Config, password: str | None, folder: Path, asked: list[Event]
) -> Iterator[MqttPublisher]:
    publisher = MqttPublisher(config, password, folder / "mqtt.sqlite3", asked.append)
    for worker in publisher.workers:
        worker.start()
    try:
        yield publisher
    finally:
        for worker in publisher.workers:
            worker.request_stop()
        for worker in publisher.workers:
            assert worker.join(5)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    (acl,) = examples("", "pattern write from/device")
    users = {NAME: "secret-7", "dispatch": "secret-d", "homeassistant": "secret-h", "station-8": "secret-8"}
    one = Mosquitto(tmp_path / "broker", Settings(users=users, acl=acl))
    one.start()
    yield one
    one.stop()


@contextmanager
def subscribed(broker: Mosquitto, user: str, topic: str = "#") -> Iterator[Subscriber]:
    secret = {"dispatch": "secret-d", "homeassistant": "secret-h", "station-8": "secret-8"}[user]
    one = Subscriber(broker.port, topic, username=user, password=secret, client_id=user)
    one.wait_subscribed()
    try:
        yield one
    finally:
        one.close()


@HAS_BROKER
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_with_the_rules_of_the_recipe_everything_arrives(
    broker: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    config = configuration(port=broker.port, username=NAME, protocol=protocol)
    asked: list[Event] = []
    wanted = {
        one.topic for one in everything(config) if one.kind != "telemetry" and "/answer" not in one.topic
    }
    with (
        subscribed(broker, "dispatch") as dispatch,
        subscribed(broker, "homeassistant") as home,
        running(config, "secret-7", tmp_path, asked) as publisher,
    ):
        publisher.look(look())
        publisher.take(page_notice())
        for notice in notices():
            publisher.take(notice)
        discovery = {topic for topic in wanted if topic.startswith("homeassistant/")}
        dispatch.wait_for(lambda heard: wanted - discovery <= {one.topic for one in heard})
        home.wait_for(lambda heard: discovery <= {one.topic for one in heard})
        dispatch.publish(f"echostream/{NAME}/channel/a/command/record", b'{"seconds": 5, "who": "d"}')
        home.publish(f"echostream/{NAME}/command/reload", b"{}")
        dispatch.publish(f"echostream/{NAME}/channel/a/command/volume", b'{"gain_db": 99}')
        answer = f"echostream/{NAME}/channel/a/command/volume/answer"
        dispatch.wait_for(lambda heard: answer in {one.topic for one in heard})
        commands = [one for one in asked if isinstance(one, CommandAsked)]
        assert {(one.name, one.who) for one in commands} == {("record", "mqtt:d"), ("reload", "mqtt")}
    assert "Denied" not in broker.log()


@HAS_BROKER
def test_another_gateway_can_neither_command_nor_pretend(broker: Mosquitto, tmp_path: Path) -> None:
    config = configuration(port=broker.port, username=NAME)
    asked: list[Event] = []
    with (
        subscribed(broker, "dispatch") as dispatch,
        running(config, "secret-7", tmp_path, asked) as publisher,
    ):
        publisher.take(page_notice())
        tones = f"from/device/{NAME}/tone_detection"
        dispatch.wait_for(lambda heard: tones in {one.topic for one in heard})
        with subscribed(broker, "station-8") as other:
            other.publish(f"echostream/{NAME}/channel/a/command/record", b'{"seconds": 5}')
            other.publish(tones, b"{}")
            other.publish(f"echostream/{NAME}/status", b"offline")
            other.publish("echostream/station-8/status", b"online")
            last = "echostream/station-8/status"
            dispatch.wait_for(lambda heard: last in {one.topic for one in heard})
            assert not [one for one in other.heard if NAME in one.topic]
    assert not [one for one in asked if isinstance(one, CommandAsked)]
    assert [one.payload for one in dispatch.of(tones) if one.payload == b"{}"] == []


@HAS_BROKER
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_a_new_configuration_leaves_nothing_of_the_old_one_at_the_broker(
    broker: Mosquitto, tmp_path: Path, protocol: str
) -> None:
    """Real retained messages, come back over the gateway's own subscriptions."""
    before = configuration(port=broker.port, username=NAME, protocol=protocol)
    after = configuration(port=broker.port, username=NAME, protocol=protocol, commands={})
    after = after.model_copy(update={"channels": after.channels[:1]})
    with running(before, "secret-7", tmp_path, []) as publisher:
        publisher.look(look())
        with subscribed(broker, "dispatch", "echostream/#") as dispatch:
            old_state = f"echostream/{NAME}/channel/b/state"
            dispatch.wait_for(lambda heard: old_state in {one.topic for one in heard})
    gone = {one.topic for one in Messages(before).birth()} - {one.topic for one in Messages(after).birth()}
    with subscribed(broker, "homeassistant") as home:
        home.wait_for(lambda heard: gone <= {one.topic for one in heard})
        with running(after, "secret-7", tmp_path, []):
            gone.add(old_state)
            home.wait_for(lambda heard: gone <= {one.topic for one in heard if not one.payload})
    with subscribed(broker, "homeassistant") as late:
        status = f"echostream/{NAME}/status"
        late.wait_for(lambda heard: status in {one.topic for one in heard})
        assert not gone & {one.topic for one in late.heard}


@HAS_BROKER
def test_the_broker_of_the_recipe_takes_the_gateway_of_the_recipe(tmp_path: Path) -> None:
    """Its certificates are believed, also as strictly as Python 3.13 looks at them."""
    (shell,) = examples("sh", "openssl req -x509")
    lines = shell.replace("\\\n", " ").replace("mqtt.lan", "localhost").splitlines()
    script = "\n".join(line for line in lines if line.startswith(("openssl", "printf")))
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    (settings,) = examples("", "listener 8883")
    (acl,) = examples("", "pattern write from/device")
    (tmp_path / "acl").write_text(acl)
    passwords = ["mosquitto_passwd", "-b", "-c", str(tmp_path / "passwords"), NAME, "secret-7"]
    subprocess.run(passwords, check=True, capture_output=True, timeout=10)
    broker = Mosquitto(tmp_path / "broker")
    settings = settings.replace("/etc/mosquitto/certs/", f"{tmp_path}/").replace(
        "/etc/mosquitto/", f"{tmp_path}/"
    )
    settings = settings.replace("listener 8883", f"listener {broker.port} 127.0.0.1")
    here = f"user root\npersistence_location {tmp_path}/\n"
    (tmp_path / "broker" / "mosquitto.conf").write_text(here + settings)
    broker.start()
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "broker-ca.pem"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        address = ("localhost", broker.port)
        with (
            socket.create_connection(address, 5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            assert secure.version() is not None
        tls = {"ca_file": str(tmp_path / "broker-ca.pem")}
        config = configuration(port=broker.port, tls=tls, username=NAME)
        with running(config, "secret-7", tmp_path, []) as publisher:
            deadline_s = time.monotonic() + 10
            while not (link := publisher.link()) or not link.up:
                assert time.monotonic() < deadline_s, link
                time.sleep(0.02)
    finally:
        broker.stop()


# ---- AWS IoT


def allowed(policy: dict[str, Any], action: str, resource: str, wildcards: str) -> bool:
    """As AWS IoT judges: * and ? of a resource stand for any characters; of MQTT's own wildcards it knows
    nothing."""
    for statement in policy["Statement"]:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
        for one in resources if action in actions else ():
            name = one.replace("${iot:Connection.Thing.ThingName}", NAME).partition(f":{wildcards}/")[2]
            pattern = re.escape(name).replace(r"\*", ".*").replace(r"\?", ".")
            if re.fullmatch(pattern, resource):
                return True
    return False


def test_the_policy_for_aws_allows_what_a_gateway_does() -> None:
    (text,) = examples("json", "iot:Connect")
    policy = json.loads(text)
    config = configuration(home_assistant=False)
    assert allowed(policy, "iot:Connect", NAME, "client")
    for message in everything(config):
        assert allowed(policy, "iot:Publish", message.topic, "topic"), message.topic
        assert not message.retain or allowed(policy, "iot:RetainPublish", message.topic, "topic")
        assert message.topic.count("/") <= 7
        assert len(message.payload) <= 128 * 1024
    own = Messages(config).subscriptions()
    assert len(own) == 6 <= 8  # what AWS takes in one go
    for topic, _ in own:
        assert allowed(policy, "iot:Subscribe", topic, "topicfilter"), topic
        assert allowed(policy, "iot:Receive", topic.replace("+", "a"), "topic"), topic


def test_the_policy_for_aws_allows_nothing_of_another_gateway() -> None:
    (text,) = examples("json", "iot:Connect")
    policy = json.loads(text)
    for message in everything(configuration(home_assistant=False)):
        other = message.topic.replace(NAME, "station-8")
        assert not allowed(policy, "iot:Publish", other, "topic"), other
    assert not allowed(policy, "iot:Connect", "station-8", "client")
    assert not allowed(policy, "iot:Subscribe", "echostream/#", "topicfilter")
    assert not allowed(policy, "iot:Publish", "homeassistant/sensor/x/y/config", "topic")
