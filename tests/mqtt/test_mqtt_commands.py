"""Commands from a broker: bad input is refused with the remedy, and nothing of it is carried out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from config_documents import small
from hypothesis import given
from hypothesis import strategies as st

from echostream.config.load import parse_config
from echostream.mqtt.commands import MqttCommand, Refused
from echostream.mqtt.messages import Messages

ALL = {"page_out": True, "volume": True, "mute": True, "record": True, "reload": True}
A = "echostream/g/channel/a/command"


def messages(**commands: bool) -> Messages:
    engine = {"tone_id": "engine-7", "tone_a_hz": 349.0, "tone_b_hz": 433.7}
    document = small(
        mqtt={"enabled": True, "host": "h", "commands": commands}, tones={"a": {"alert_tones": [engine]}}
    )
    document["channels"][1]["enabled"] = False
    return Messages(parse_config(document, "test").config)


def refused(topic: str, payload: bytes, retained: bool = False, **commands: bool) -> Refused:
    found = messages(**commands or ALL).command(topic, payload, retained)
    assert isinstance(found, Refused)
    return found


@pytest.mark.parametrize(
    ("topic", "payload", "values"),
    [
        (f"{A}/page_out", {"tone_id": "engine-7"}, {"tone_id": "engine-7"}),
        (f"{A}/page_out", {"tone_id": "engine-7", "wait_s": 5}, {"tone_id": "engine-7", "wait_s": 5.0}),
        (f"{A}/volume", {"gain_db": -6}, {"gain_db": -6.0}),
        (f"{A}/mute", {"what": "loudspeaker", "muted": True}, {"what": "loudspeaker", "muted": True}),
        (f"{A}/record", {"seconds": 90}, {"seconds": 90.0}),
        ("echostream/g/command/reload", {}, {}),
    ],
)
def test_each_command_is_understood(topic: str, payload: dict[str, Any], values: dict[str, object]) -> None:
    more = {"request_id": "r-1", "who": "dispatch"}
    found = messages(**ALL).command(topic, json.dumps(payload | more).encode())
    assert isinstance(found, MqttCommand)
    assert (found.name, dict(found.values)) == (topic.rpartition("/")[2], values)
    assert (found.channel_id, found.who) == ("a" if "channel" in topic else "", "mqtt:dispatch")
    answer = messages(**ALL).answer(found, True, "done")
    assert answer.topic == f"{topic}/answer"
    assert json.loads(answer.payload) == {
        "device_id": "g",
        "channel_id": found.channel_id or None,
        "command": found.name,
        "request_id": "r-1",
        "ok": True,
        "text": "done",
    }
    assert (answer.kind, answer.retain) == ("event", False)


def test_a_command_that_there_is_not_does_nothing() -> None:
    assert messages(**ALL).command(f"{A}/shutdown", b"{}") == Refused("")


def test_an_empty_payload_asks_for_what_needs_nothing() -> None:
    found = messages(**ALL).command("echostream/g/command/reload", b" ")
    assert isinstance(found, MqttCommand)
    assert found.who == "mqtt"


@pytest.mark.parametrize("name", ALL)
def test_each_command_has_its_own_switch(name: str) -> None:
    topic = "echostream/g/command/reload" if name == "reload" else f"{A}/{name}"
    others = messages(**{one: one != name for one in ALL})
    assert topic not in str(others.subscriptions())
    found = others.command(topic, b"{}")
    assert isinstance(found, Refused)
    assert f"mqtt.commands.{name} is false" in found.reason


def test_none_is_taken_by_default() -> None:
    assert not [topic for topic, _ in messages().subscriptions() if "command" in topic]


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        (f"{A}/volume", b'{"gain_db": 61}', "from -60 to 60"),
        (f"{A}/volume", b'{"gain_db": NaN}', "from -60 to 60"),
        (f"{A}/volume", b'{"gain_db": Infinity}', "from -60 to 60"),
        (f"{A}/volume", b'{"gain_db": ' + b"9" * 400 + b"}", "from -60 to 60"),
        (f"{A}/volume", b'{"gain_db": true}', "from -60 to 60"),
        (f"{A}/volume", b'{"gain_db": "6"}', "from -60 to 60"),
        (f"{A}/volume", b"-6", "a JSON object"),
        (f"{A}/volume", b'{"gain_db": 1, "gain": 2}', "unknown key 'gain'"),
        (f"{A}/mute", b'{"what": "radio", "muted": true}', '"microphone" or "loudspeaker"'),
        (f"{A}/mute", b'{"what": ["microphone"], "muted": true}', '"microphone" or "loudspeaker"'),
        (f"{A}/mute", b'{"what": "microphone", "muted": 1}', "true or false"),
        (f"{A}/record", b'{"seconds": 0}', "from 1 to 3600"),
        (f"{A}/page_out", b'{"tone_id": "engine-8"}', "no page 'engine-8' in tones.a.alert_tones"),
        (f"{A}/page_out", b"{}", "tone_id"),
        (f"{A}/page_out", b'{"tone_id": "engine-7", "wait_s": -1}', "from 0 to 120"),
        (f"{A}/reload", b"{}", "belongs to no channel"),
        ("echostream/g/command/volume", b'{"gain_db": 1}', "belongs to a channel"),
        ("echostream/g/channel/b/command/volume", b'{"gain_db": 1}', "no channel 'b' here"),
        ("echostream/g/channel/z/command/volume", b'{"gain_db": 1}', "no channel 'z' here"),
        (f"{A}/volume", b'{"gain_db": 1, "who": "a\\nb"}', "who"),
        (f"{A}/volume", b'{"gain_db": 1, "request_id": 7}', "request_id"),
        (f"{A}/volume", b" " * 4097, "at most 4096 bytes"),
        (f"{A}/volume", b"[" * 4000, "a JSON object"),
        (f"{A}/volume", b"\xff\xfe\x00", "a JSON object"),
    ],
)
def test_what_is_wrong_is_refused_and_answered(topic: str, payload: bytes, says: str) -> None:
    found = refused(topic, payload)
    assert says in found.reason
    (answer,) = found.messages
    assert answer.topic == f"{topic}/answer"
    assert json.loads(answer.payload)["ok"] is False
    assert says in json.loads(answer.payload)["text"]


def test_the_answer_to_a_refusal_names_the_request() -> None:
    found = refused(f"{A}/volume", b'{"gain_db": 99, "request_id": "r-2"}')
    assert json.loads(found.messages[0].payload)["request_id"] == "r-2"


def test_a_request_that_comes_twice_is_carried_out_once() -> None:
    own, payload = messages(**ALL), b'{"seconds": 60, "request_id": "r-3"}'
    first, second = own.command(f"{A}/record", payload), own.command(f"{A}/record", payload)
    assert isinstance(first, MqttCommand)
    assert isinstance(second, Refused)
    assert "came before" in second.reason
    others = [b'{"seconds": 60, "request_id": "r-4"}', b'{"seconds": 60}', b'{"seconds": 60}']
    assert all(isinstance(own.command(f"{A}/record", one), MqttCommand) for one in others)


def test_what_is_remembered_of_requests_is_bounded() -> None:
    own = messages(**ALL)
    for number in range(10_000):
        own.command(f"{A}/record", b'{"seconds": 60, "request_id": "%d"}' % number)
    assert isinstance(own.command(f"{A}/record", b'{"seconds": 60, "request_id": "0"}'), MqttCommand)


def test_a_retained_command_is_never_carried_out() -> None:
    found = refused(f"{A}/record", b'{"seconds": 60}', retained=True)
    assert "retained" in found.reason


@given(st.binary(max_size=300), st.sampled_from(list(ALL)), st.booleans())
def test_rubbish_is_refused_without_an_exception(payload: bytes, name: str, retained: bool) -> None:
    found = messages(**ALL).command(f"{A}/{name}", payload, retained)
    assert isinstance(found, Refused)
    assert found.reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["gain_db", "tone_id", "what", "muted", "seconds", "request_id", "who"])


@given(st.dictionaries(KEYS, JSON, max_size=4), st.sampled_from(["page_out", "volume", "mute", "record"]))
def test_only_values_in_range_get_through(values: dict[str, Any], name: str) -> None:
    found = messages(**ALL).command(f"{A}/{name}", json.dumps(values).encode())
    if isinstance(found, MqttCommand):
        checked = dict(found.values)
        assert checked.pop("tone_id", "engine-7") == "engine-7"
        assert -60 <= float(str(checked.pop("gain_db", 0))) <= 60
        assert 1 <= float(str(checked.pop("seconds", 1))) <= 3600
        assert checked.pop("what", "microphone") in ("microphone", "loudspeaker")
        assert checked.pop("muted", True) in (True, False)
        assert checked == {}


@given(st.text(max_size=40), st.binary(max_size=40))
def test_foreign_topics_do_nothing(topic: str, payload: bytes) -> None:
    found = messages(**ALL).command(topic, payload)
    assert found == Refused("")
