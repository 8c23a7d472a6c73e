"""Commands from the broker: what was asked, or why it is refused."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from echostream.config.models import Config
from echostream.events import CommandAsked
from echostream.mqtt.message import Message
from echostream.mqtt.payloads import encoded
from echostream.mqtt.topics import Topics

LONGEST_PAYLOAD: Final = 4096
LONGEST_TEXT: Final = 128
REMEMBERED: Final = 256
"""Requests of which a repeat is known. Whoever publishes with QoS 1 may do it twice; a page goes out once."""
OF_THE_GATEWAY: Final = frozenset({"reload"})
"""Commands that belong to no channel."""


class WrongValue(ValueError):
    """What a command carries is not what it needs; says what would be."""


@dataclass(frozen=True, slots=True)
class MqttCommand(CommandAsked):
    """request_id: by which whoever asked knows the answer; "" where it gave none. topic: of the answer."""

    request_id: str = ""
    topic: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not carried out. reason: for people and the log; "" where nobody has to be told. topic: where the
    answer goes. messages: what is to be published now."""

    reason: str
    topic: str = ""
    request_id: str = ""
    messages: tuple[Message, ...] = ()


class Commands:
    """Which commands are taken, and what they may carry."""

    def __init__(self, config: Config, topics: Topics) -> None:
        self._topics = topics
        self._gateway = config.gateway.id
        self._channels = {channel.id for channel in config.channels if channel.enabled}
        self._pages = {
            channel: {tone.tone_id for tone in plan.alert_tones} for channel, plan in config.tones.items()
        }
        self._requests: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self.switched_on = tuple(name for name in _VALUES if getattr(config.mqtt.commands, name))

    def subscriptions(self) -> list[tuple[str, int]]:
        """(topic filter, QoS)."""
        return [
            (
                self._topics.command(name)
                if name in OF_THE_GATEWAY
                else self._topics.commands_of_channels(name),
                1,
            )
            for name in self.switched_on
        ]

    def parse(self, topic: str, payload: bytes, retained: bool = False) -> MqttCommand | Refused:
        """What a message asks for. retained: the broker kept it; it came before this connection."""
        asked = self._topics.asked(topic)
        if asked is None or asked[0] not in _VALUES:
            return Refused("")  # nothing that was subscribed to
        name, channel_id = asked
        answer_topic = self._topics.answer(name, channel_id)
        if retained:
            return self._refused(
                name, channel_id, "", "a retained command would come again with each connection"
            )
        request_id = ""
        try:
            values = _object(payload)
            request_id = _text(values.pop("request_id", ""), "request_id")
            who = _text(values.pop("who", ""), "who")
            self._allowed(name, channel_id)
            checked = _VALUES[name](values)
            self._known_page(channel_id, checked)
            self._first_time(topic, request_id)
        except WrongValue as wrong:
            return self._refused(name, channel_id, request_id, str(wrong))
        return MqttCommand(
            name,
            channel_id,
            checked,
            f"mqtt:{who}" if who else "mqtt",
            request_id=request_id,
            topic=answer_topic,
        )

    def answer(self, command: CommandAsked, ok: bool, text: str) -> Message:
        """What came of a command."""
        request_id = command.request_id if isinstance(command, MqttCommand) else ""
        return self._answer(command.name, command.channel_id, request_id, ok, text)

    # ---- inside

    def _refused(self, name: str, channel_id: str, request_id: str, reason: str) -> Refused:
        message = self._answer(name, channel_id, request_id, False, reason)
        return Refused(f"{name}: {reason}", message.topic, request_id, (message,))

    def _answer(self, name: str, channel_id: str, request_id: str, ok: bool, text: str) -> Message:
        values: dict[str, object] = {
            "device_id": self._gateway,
            "channel_id": channel_id or None,
            "command": name,
            "request_id": request_id,
            "ok": ok,
            "text": text,
        }
        return Message(self._topics.answer(name, channel_id), encoded(values), lane=channel_id)

    def _allowed(self, name: str, channel_id: str) -> None:
        if name not in self.switched_on:
            raise WrongValue(f"switched off: mqtt.commands.{name} is false")
        if name in OF_THE_GATEWAY and channel_id:
            raise WrongValue(f"belongs to no channel: {self._topics.command(name)}")
        if name not in OF_THE_GATEWAY and not channel_id:
            raise WrongValue(f"belongs to a channel: {self._topics.command(name, 'CHANNEL')}")
        if channel_id and channel_id not in self._channels:
            raise WrongValue(f"no channel {channel_id[:LONGEST_TEXT]!r} here")

    def _known_page(self, channel_id: str, values: Mapping[str, object]) -> None:
        tone_id = values.get("tone_id")
        if tone_id is not None and tone_id not in self._pages.get(channel_id, ()):
            raise WrongValue(f"no page {tone_id!r} in tones.{channel_id}.alert_tones")

    def _first_time(self, topic: str, request_id: str) -> None:
        if not request_id:
            return
        if (topic, request_id) in self._requests:
            raise WrongValue(f"request_id {request_id!r} came before: carried out once")
        self._requests.append((topic, request_id))


def _object(payload: bytes) -> dict[str, object]:
    """The payload of a command; an empty one carries nothing."""
    if len(payload) > LONGEST_PAYLOAD:
        raise WrongValue(f"at most {LONGEST_PAYLOAD} bytes")
    if not payload.strip():
        return {}
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        raise WrongValue("a JSON object") from None
    if not isinstance(values, dict):
        raise WrongValue("a JSON object")
    return values


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not value.isprintable():
        raise WrongValue(f"{key}: at most {LONGEST_TEXT} printable characters")
    return value


def _only(values: Mapping[str, object], *keys: str) -> None:
    unknown = sorted(set(values) - set(keys))
    if unknown:
        allowed = ", ".join([*keys, "request_id", "who"])
        raise WrongValue(f"unknown key {unknown[0][:LONGEST_TEXT]!r}; there are {allowed}")


def _number(values: Mapping[str, object], key: str, least: float, most: float) -> float:
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise WrongValue(f"{key}: a number from {least:g} to {most:g}")
    return float(value)


def _page_out(values: Mapping[str, object]) -> dict[str, object]:
    _only(values, "tone_id", "wait_s")
    checked: dict[str, object] = {"tone_id": _text(values.get("tone_id"), "tone_id")}
    if "wait_s" in values:
        checked["wait_s"] = _number(values, "wait_s", 0, 120)
    return checked


def _volume(values: Mapping[str, object]) -> dict[str, object]:
    _only(values, "gain_db")
    return {"gain_db": _number(values, "gain_db", -60, 60)}


def _mute(values: Mapping[str, object]) -> dict[str, object]:
    _only(values, "what", "muted")
    if values.get("what") not in ("microphone", "loudspeaker"):
        raise WrongValue('what: "microphone" or "loudspeaker"')
    if not isinstance(values.get("muted"), bool):
        raise WrongValue("muted: true or false")
    return dict(values)


def _record(values: Mapping[str, object]) -> dict[str, object]:
    _only(values, "seconds")
    return {"seconds": _number(values, "seconds", 1, 3600)}


def _reload(values: Mapping[str, object]) -> dict[str, object]:
    _only(values)
    return {}


_VALUES: Final[dict[str, Callable[[Mapping[str, object]], dict[str, object]]]] = {
    "page_out": _page_out,
    "volume": _volume,
    "mute": _mute,
    "record": _record,
    "reload": _reload,
}
