"""Home Assistant takes what we publish: its own schemas, and itself at a broker."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import home_assistant
import mosquitto
import pytest
from config_documents import small
from mqtt_scenes import page_notice, vitals

from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.events import CommandAsked, Event
from echostream.mqtt.home_assistant import slug
from echostream.mqtt.messages import Messages
from echostream.mqtt.mqtt_publisher import MqttPublisher

EVERYTHING = {"page_out": True, "volume": True, "mute": True, "record": True, "reload": True}
AGAIN_ID = "0b2f6f9e-6b0f-4f0c-9d8e-0a4f6f3f7c11"
CONTROLS = ("number.", "switch.", "button.")
MAKES_IT_FIRST = pytest.mark.timeout(600)


def configuration(port: int = 1883, commands: dict[str, bool] = EVERYTHING) -> Config:
    mqtt = {"enabled": True, "host": "localhost", "port": port, "tls": None, "commands": commands}
    engine = {"tone_id": "engine 7", "tone_a_hz": 349.0, "tone_b_hz": 433.7, "alert": "Engine 7"}
    document = small(
        gateway={"id": "Station 7/West", "affiliation_id": "s7"},
        mqtt=mqtt,
        s3={"enabled": True, "bucket": "county"},
        tones={"a": {"alert_tones": [engine]}},
        esp32={"enabled": True, "devices": [{"name": "porch", "label": "Porch", "channel": "a"}]},
    )
    document["channels"][1] |= {"id": "fire/tac é", "name": "Fire tac", "card": "none"}
    return parse_config(document, "test").config


@pytest.fixture(scope="module")
def installed() -> None:
    try:
        home_assistant.python()
    except home_assistant.CannotBeMade as why:
        if "ECHOSTREAM_HOME_ASSISTANT" in os.environ:  # make test-home-assistant: whoever asks gets no skip
            raise
        pytest.skip(str(why))


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mosquitto.Mosquitto]:
    if mosquitto.binary() is None:
        pytest.skip("no mosquitto here: scripts/setup.sh dev says why")
    one = mosquitto.Mosquitto(tmp_path_factory.mktemp("broker"))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def home(
    installed: None, broker: mosquitto.Mosquitto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[home_assistant.HomeAssistant]:
    """Its start takes longer than all that it is asked."""
    one = home_assistant.HomeAssistant(broker.port, tmp_path_factory.mktemp("home"))
    yield one
    one.close()


def discovery(config: Config) -> list[tuple[str, str]]:
    prefix = config.mqtt.home_assistant_prefix + "/"
    return [
        (one.topic, one.payload.decode()) for one in Messages(config).birth() if one.topic.startswith(prefix)
    ]


@MAKES_IT_FIRST
def test_every_discovery_message_is_valid(installed: None) -> None:
    messages = discovery(configuration())
    assert {topic.split("/")[1] for topic, _ in messages} == {
        *("binary_sensor", "sensor", "event", "number", "switch", "button")
    }
    assert home_assistant.refusals(messages) == {}


@MAKES_IT_FIRST
def test_the_judge_refuses_what_is_wrong(installed: None) -> None:
    (topic, payload), *_ = discovery(configuration())
    values = json.loads(payload)
    wrong = {
        f"{topic}": values | {"state_topc": "a/b"},
        topic.replace("gateway_", "gateway 1_"): values,
        topic.replace("gateway_", "gateway2_"): values | {"device_class": "loudness"},
        topic.replace("gateway_", "gateway3_"): values | {"device": {"name": "nobody"}},
    }
    refused = home_assistant.refusals([(topic, json.dumps(value)) for topic, value in wrong.items()])
    assert set(refused) == set(wrong)


def test_no_two_entities_are_the_same() -> None:
    messages = discovery(configuration())
    assert len({topic for topic, _ in messages}) == len(messages)
    assert len({json.loads(payload)["unique_id"] for _, payload in messages}) == len(messages)


def test_names_that_look_alike_have_slugs_of_their_own() -> None:
    names = ["fire tac", "fire_tac", "fire/tac", "fire-tac", "fire.tac"]
    assert len({slug(name) for name in names}) == len(names)


@MAKES_IT_FIRST
def test_it_shows_a_gateway_by_itself(
    home: home_assistant.HomeAssistant, broker: mosquitto.Mosquitto, tmp_path: Path
) -> None:
    """The publisher, the broker and Home Assistant, all of them real."""
    config = configuration(broker.port)
    asked: SimpleQueue[CommandAsked] = SimpleQueue()

    def post(event: Event) -> None:
        if isinstance(event, CommandAsked):
            asked.put(event)

    with running(MqttPublisher(config, None, tmp_path / "mqtt.sqlite3", post)) as publisher:
        home.wait(lambda states: "event.a_page" in states and "number.fire_tac_volume" in states)
        publisher.take(page_notice())
        seconds = count(1)

        def levels_are_shown(states: dict[str, dict[str, Any]]) -> bool:
            """Levels are not kept for those who subscribe later: they come again and again."""
            look = vitals(float(next(seconds)), transmitting_s=1.0, level_dbfs=-23.4, disk_free=0.25)
            publisher.look(look)
            return _is(states, "sensor.porch_level", "-41.0") and _is(states, "sensor.a_level", "-23.4")

        home.wait(levels_are_shown)
        publisher.take(page_notice(id=AGAIN_ID))
        home.wait(lambda states: states["event.a_page"]["attributes"].get("message_id") == AGAIN_ID)
        _shows_everything(home)
        _understands_its_buttons(home, asked)


@MAKES_IT_FIRST
def test_it_shows_no_more_than_there_is(
    home: home_assistant.HomeAssistant, broker: mosquitto.Mosquitto, tmp_path: Path
) -> None:
    """A gateway that goes is unavailable; what a new configuration has not is gone."""
    spool, online = tmp_path / "mqtt.sqlite3", "binary_sensor.echostream_station_7_west_online"
    with running(MqttPublisher(configuration(broker.port), None, spool, lambda event: None)):
        home.wait(lambda states: _is(states, online, "on") and "number.a_volume" in states)
    home.wait(lambda states: _is(states, online, "off") and _is(states, "binary_sensor.a_ptt", "unavailable"))
    with running(MqttPublisher(configuration(broker.port, {}), None, spool, lambda event: None)):
        home.wait(lambda states: _is(states, online, "on"))
        home.wait(lambda states: not [one for one in states if one.startswith(CONTROLS)])
        assert "sensor.a_last_page" in home.states()


@contextmanager
def running(publisher: MqttPublisher) -> Iterator[MqttPublisher]:
    for worker in publisher.workers:
        worker.start()
    try:
        yield publisher
    finally:
        for worker in publisher.workers:
            worker.request_stop()
        for worker in publisher.workers:
            assert worker.join(5)


def _shows_everything(home: home_assistant.HomeAssistant) -> None:
    expected = {
        "binary_sensor.echostream_station_7_west_online": "on",
        "binary_sensor.echostream_station_7_west_control_server": "on",
        "sensor.echostream_station_7_west_disk_free": "25.0",
        "sensor.echostream_station_7_west_temperature": "51.5",
        "sensor.echostream_station_7_west_disk_full_in": "unknown",
        "binary_sensor.a_online": "on",
        "binary_sensor.a_ptt": "on",
        "binary_sensor.fire_tac_ptt": "off",
        "sensor.a_level": "-23.4",
        "sensor.a_talking": "Ann, Bob",
        "sensor.fire_tac_talking": "nobody",
        "sensor.a_last_tone": "Engine 7",
        "sensor.a_last_page_at": "2026-11-21T19:00:00+00:00",
        "number.a_volume": "-6.0",
        "switch.a_microphone_muted": "off",
        "switch.a_loudspeaker_muted": "on",
        "binary_sensor.porch_connected": "on",
        "sensor.porch_level": "-41.0",
    }
    states = home.states()
    assert {entity: states[entity]["state"] for entity in expected} == expected
    assert states["sensor.a_last_page"]["attributes"]["message_id"] == AGAIN_ID
    assert states["event.a_page"]["attributes"]["event_type"] == "page"
    assert states["event.a_page"]["attributes"]["tone_id"] == "engine 7"
    said = [line for line in home.log().splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert not [line for line in said if not re.search(r"'camera'|component image", line)]  # not installed


def _understands_its_buttons(home: home_assistant.HomeAssistant, asked: SimpleQueue[CommandAsked]) -> None:
    home.call("number", "set_value", "number.fire_tac_volume", value=-12.5)
    home.call("switch", "turn_on", "switch.a_microphone_muted")
    home.call("switch", "turn_off", "switch.a_loudspeaker_muted")
    home.call("button", "press", "button.a_record_a_minute")
    home.call("button", "press", "button.a_page_engine_7")
    home.call("button", "press", "button.echostream_station_7_west_read_the_configuration_again")
    heard = [asked.get(timeout=10) for _ in range(6)]
    assert {(one.name, one.channel_id, json.dumps(dict(one.values))) for one in heard} == {
        ("volume", "fire/tac é", '{"gain_db": -12.5}'),
        ("mute", "a", '{"what": "microphone", "muted": true}'),
        ("mute", "a", '{"what": "loudspeaker", "muted": false}'),
        ("record", "a", '{"seconds": 60.0}'),
        ("page_out", "a", '{"tone_id": "engine 7"}'),
        ("reload", "", "{}"),
    }


def _is(states: dict[str, dict[str, Any]], entity: str, state: str) -> bool:
    return entity in states and states[entity]["state"] == state
