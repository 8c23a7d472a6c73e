"""Fuzz of what comes from a broker: commands, and what stands retained on the gateway's own topics."""

from __future__ import annotations

import json
from functools import cache
from random import Random

from fuzz_json import TOKENS, object_of, quoted, shapeless
from fuzz_mutate import Generator, blend, mutator, pick, rubbish

from echostream.config.load import parse_config
from echostream.events import CommandAsked
from echostream.mqtt.messages import MOST_LEFT, Messages

_ROOT = "echostream/g"
_FIELDS: dict[str, dict[str, tuple[str, ...]]] = {
    "page_out": {"tone_id": quoted("engine-7", "engine-8"), "wait_s": ("0", "30")},
    "volume": {"gain_db": ("-6", "60", "-60.5", "0.5")},
    "mute": {"what": quoted("microphone", "loudspeaker"), "muted": ("true", "false")},
    "record": {"seconds": ("1", "60", "3600", "0")},
    "reload": {},
}
_MORE = {"request_id": quoted("r-1", "ü"), "who": quoted("dispatch")}
_TOPICS = (
    *(f"{_ROOT}/channel/a/command/{name}" for name in _FIELDS if name != "reload"),
    *(f"{_ROOT}/command/reload", f"{_ROOT}/info", f"{_ROOT}/channel/b%2Fc/command/volume"),
    *("homeassistant/sensor/echostream_g/x/config", f"{_ROOT}/channel/%FF%/command/mute", f"{_ROOT}/x"),
)
_KEYS = (*_MORE, "tone_id", "gain_db", "what", "muted", "seconds", "channels", "devices", "id")


@cache
def _messages() -> Messages:
    engine = {"tone_id": "engine-7", "tone_a_hz": 349.0, "tone_b_hz": 433.7}
    commands = dict.fromkeys(_FIELDS, True)
    document = {
        "gateway": {"id": "g", "affiliation_id": "g"},
        "control_server": {"url": "ws://127.0.0.1:8765"},
        "channels": [{"id": "a", "card": "usb:1-1.1"}, {"id": "b/c", "card": "usb:1-1.2"}],
        "tones": {"a": {"alert_tones": [engine]}},
        "mqtt": {"enabled": True, "host": "h", "commands": commands},
    }
    return Messages(parse_config(document, "fuzz").config)


def run_command(data: bytes) -> bool:
    """The topic up to the first line feed, then the payload."""
    head, _, payload = data.partition(b"\n")
    topic = head.decode("utf-8", "replace")
    if set(topic) & set("+#\0"):
        return False  # what no broker delivers: MQTT 5.0, 3.3.2.1 and 1.5.4
    found = _messages().command(topic, payload)
    if isinstance(found, CommandAsked):
        _check(found)
        return True
    assert len(found.messages) <= MOST_LEFT
    for message in found.messages:
        message.topic.encode("utf-8")
        assert not set(message.topic) & set("+#\0")
        assert message.topic.startswith((f"{_ROOT}/", "homeassistant/"))
        assert message.payload == b"" or json.loads(message.payload)["ok"] is False
    return False


def _check(asked: CommandAsked) -> None:
    values = dict(asked.values)
    assert set(values) - {"wait_s"} == set(_FIELDS[asked.name]) - {"wait_s"}
    assert 0 <= float(str(values.get("wait_s", 0))) <= 120
    assert asked.who.startswith("mqtt")
    assert asked.who.isprintable()
    assert values.get("tone_id", "engine-7") == "engine-7"
    assert -60 <= float(str(values.get("gain_db", 0))) <= 60
    assert 1 <= float(str(values.get("seconds", 1))) <= 3600
    assert asked.channel_id in ({""} if asked.name == "reload" else {"a", "b/c"})


def _structured(rng: Random) -> bytes:
    topic = pick(rng, _TOPICS)
    fields = _FIELDS.get(topic.rpartition("/")[2], {}) | {
        key: values for key, values in _MORE.items() if rng.random() < 0.2
    }
    return f"{topic}\n{object_of(rng, fields, 0.1)}".encode("utf-8", "surrogatepass")


def _on_a_topic(generate: Generator) -> Generator:
    return lambda rng: pick(rng, _TOPICS).encode() + b"\n" + generate(rng)


_SEEDS = [f"{topic}\n{{}}".encode() for topic in _TOPICS] + [
    f'{_ROOT}/info\n{{"channels":[{{"id":"old"}},{{"id":"a"}}],"devices":["porch","x/y"]}}'.encode(),
]

generate_command = blend(
    (5, _structured),
    (3, mutator(_SEEDS, TOKENS)),
    (1, _on_a_topic(shapeless(_KEYS))),
    (0.5, _on_a_topic(rubbish(300))),
)
