"""What is published of a gateway, and what is understood of what comes back: no socket, no file, no clock.

    Notice ──of_notice──> events, and the states that change with them
    Vitals ──of_vitals──> states that changed, levels, health
    bytes  ──command────> CommandAsked, or why it is refused

docs/mqtt.md describes every topic.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Final

from echostream import __version__
from echostream.config.models import Config
from echostream.events import CommandAsked
from echostream.mqtt import seen
from echostream.mqtt.commands import Commands, MqttCommand, Refused
from echostream.mqtt.entities import levels_period_s
from echostream.mqtt.facts import Facts, Retained
from echostream.mqtt.home_assistant import HomeAssistant
from echostream.mqtt.message import Message
from echostream.mqtt.payloads import encoded, event_values, milliseconds, tone_detection_values
from echostream.mqtt.topics import Topics
from echostream.notices.notice import Notice, Weight
from echostream.vitals.model import ChannelVitals, DeviceVitals, Vitals

_LOOK_S: Final = 1.0
"""Looks come about so often; a period is kept to the nearest of them."""
MOST_LEFT: Final = 5000
"""Topics that are tidied up at once: whoever writes the gateway's info does not make it busy for long."""
_OF_A_CHANNEL: Final = ("state", "last_page", "last_tone")
_OF_A_DEVICE: Final = ("state",)


class Messages:
    """One for a configuration. Not thread-safe: the publisher's thread."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._gateway = config.gateway.id
        self._topics = Topics(config)
        self._commands = Commands(config, self._topics)
        self._home = HomeAssistant(config, self._topics) if config.mqtt.home_assistant else None
        self._discovery = self._home.messages() if self._home is not None else []
        self._retained = Retained()
        self._channels = {one.id: Facts() for one in config.channels if one.enabled}
        devices = config.esp32.devices if config.esp32.enabled else ()
        self._devices = {one.name: Facts() for one in devices if one.enabled}
        self._device_period_s = levels_period_s(config)
        self._links = Facts()
        self._sent_s: dict[str, float] = {}
        self._devices_sent_s: dict[str, float] = {}

    # ---- what happened

    def of_notice(self, notice: Notice) -> list[Message]:
        """Its event, and the states that it changes. Each call says an event once."""
        device = notice.subject if notice.kind == "device" else ""
        topic = self._topics.event(notice.kind, notice.channel_id, device)
        found = [self._event(topic, notice, event_values(self._gateway, notice))]
        if notice.kind == "page" or (notice.kind == "tone" and notice.data.get("tone_kind") == "new_tones"):
            values = tone_detection_values(self._gateway, notice)
            found.append(self._event(self._topics.tone_detection, notice, values))
        return found + self._states_of(notice)

    # ---- how it is

    def of_vitals(self, vitals: Vitals) -> list[Message]:
        """States that changed; levels and health when it is their time."""
        found: list[Message] = []
        for channel in vitals.channels:
            of_channel = self._channels.get(channel.channel_id)
            if of_channel is not None:  # in a reload a look may still be one at the old channels
                found += self._seen_channel(of_channel, channel, vitals)
        for place, device in enumerate(vitals.devices):
            facts = self._devices.get(device.name)
            if facts is not None:
                found += self._seen_device(facts, device, place / len(vitals.devices), vitals)
        self._links.see({link.name: seen.link_state(link) for link in vitals.links if link.name != "mqtt"})
        found += self._retained.changed(self._topics.links, self._links.values, vitals.at_us)
        if self._is_due("health", self._config.mqtt.health_s, vitals.now_s):
            found += self._retained.say(self._topics.health, seen.health(vitals), vitals.at_us)
        return found

    # ---- coming and going

    def birth(self) -> list[Message]:
        """What is said first on each connection: online, what there is, how it is."""
        return [self._status("online"), self._info(), *self._discovery, *self._retained.all()]

    def will(self) -> Message:
        """What the broker says of a gateway that is gone, and the gateway itself when it goes."""
        return self._status("offline")

    # ---- what is asked for

    def subscriptions(self) -> list[tuple[str, int]]:
        """(topic filter, QoS): commands that are switched on, and what an earlier configuration left behind.
        To be subscribed to before `birth` is published."""
        leftovers = [self._home.subscription()] if self._home is not None else []
        return [*self._commands.subscriptions(), (self._topics.info, 1), *leftovers]

    def command(self, topic: str, payload: bytes, retained: bool = False) -> MqttCommand | Refused:
        """What came on one of the subscriptions. retained: as the broker marked it."""
        if topic == self._topics.info:
            return Refused("", messages=self._left_states(payload))
        if self._home is not None and self._home.is_own(topic):
            return Refused("", messages=self._left_discovery(topic, payload))
        return self._commands.parse(topic, payload, retained)

    def answer(self, command: CommandAsked, ok: bool, text: str) -> Message:
        """What came of a command."""
        return self._commands.answer(command, ok, text)

    # ---- inside

    def _event(self, topic: str, notice: Notice, values: dict[str, object]) -> Message:
        return Message(
            topic,
            encoded(values),
            lane=notice.channel_id,
            weight=int(notice.weight),
            at_us=notice.at_us,
            message_id=notice.id,
        )

    def _states_of(self, notice: Notice) -> list[Message]:
        data, channel = notice.data, self._channels.get(notice.channel_id)
        match notice.kind:
            case "page" | "tone" if channel is not None:
                return self._last(notice)
            case "upload":
                return self._uploaded(notice)
            case "server":
                return self._link_told("server", bool(data.get("connected")), notice)
            case "link" if data.get("link") not in (None, "mqtt"):
                return self._link_told(str(data.get("link")), bool(data.get("up")), notice)
            case "transmission" if channel is not None:
                channel.tell(transmitting=bool(data.get("active")))
            case "channel" if channel is not None:
                channel.tell(online=bool(data.get("online")))
            case "card" if channel is not None and data.get("direction") in ("capture", "playback"):
                channel.tell(**{f"{data.get('direction')}_present": bool(data.get("present"))})
            case "talker" if channel is not None:
                name = str(data.get("user_name") or notice.subject)
                channel.tell(talkers=_talkers(channel, name, bool(data.get("active"))))
            case "device" if notice.subject in self._devices:
                facts = self._devices[notice.subject]
                facts.tell(connected=bool(data.get("present")))
                return self._told(self._topics.device(notice.subject, "state"), facts, notice)
            case _:
                return []
        if channel is None:
            return []
        return self._told(self._topics.channel(notice.channel_id, "state"), channel, notice)

    def _told(self, topic: str, facts: Facts, notice: Notice) -> list[Message]:
        """Nothing before the first look: half a state would be a wrong one."""
        return self._retained.changed(topic, facts.values, notice.at_us) if facts.seen else []

    def _link_told(self, name: str, up: bool, notice: Notice) -> list[Message]:
        self._links.tell(**{name: {"up": up, "detail": "" if up else str(notice.data.get("detail", ""))}})
        return self._told(self._topics.links, self._links, notice)

    def _last(self, notice: Notice) -> list[Message]:
        values: dict[str, object] = {
            **notice.data,
            "title": str(notice.data.get("name") or notice.subject or notice.data.get("tone_kind", ""))[:250],
            "text": notice.text,
            "message_id": notice.id,
            "happened": milliseconds(notice.at_us),
        }
        found = []
        for leaf in ("last_page", "last_tone") if notice.kind == "page" else ("last_tone",):
            topic = self._topics.channel(notice.channel_id, leaf)
            found += self._kept(topic, values, notice, notice.channel_id)
        return found

    def _uploaded(self, notice: Notice) -> list[Message]:
        """The last page gets the recording that it is in."""
        pages = notice.data.get("page_ids")
        found: list[Message] = []
        for channel_id in self._channels:
            for leaf in ("last_page", "last_tone"):
                topic = self._topics.channel(channel_id, leaf)
                last = self._retained.value(topic)
                if isinstance(pages, list) and last.get("message_id") in pages:
                    recording = {key: notice.data.get(key) for key in ("url", "bucket", "key")}
                    recording["id"] = notice.subject
                    found += self._kept(topic, {**last, "recording": recording}, notice, channel_id)
        return found

    def _kept(self, topic: str, values: dict[str, object], notice: Notice, channel_id: str) -> list[Message]:
        """A state that nothing would bring again after a power cut: it waits on the disk like an event, in
        the order of its channel."""
        return [
            replace(one, kind="event", lane=channel_id, weight=int(notice.weight), message_id=notice.id)
            for one in self._retained.changed(topic, values, notice.at_us)
        ]

    def _seen_channel(self, facts: Facts, channel: ChannelVitals, vitals: Vitals) -> list[Message]:
        facts.see(seen.channel_state(channel))
        topic = self._topics.channel(channel.channel_id, "state")
        found = self._retained.changed(topic, facts.values, vitals.at_us)
        if self._is_due(topic, self._config.mqtt.levels_s, vitals.now_s):
            levels = self._topics.channel(channel.channel_id, "levels")
            found.append(_telemetry(levels, seen.channel_levels(channel), vitals.at_us))
        return found

    def _seen_device(self, facts: Facts, device: DeviceVitals, turn: float, vitals: Vitals) -> list[Message]:
        """turn: 0 to 1, its place among all: levels do not come all at once."""
        found: list[Message] = []
        if not facts.is_old(seen.device_key(device)):
            facts.see(seen.device_state(device))
            topic = self._topics.device(device.name, "state")
            found = self._retained.changed(topic, facts.values, vitals.at_us)
        if device.name not in self._devices_sent_s:
            self._devices_sent_s[device.name] = vitals.now_s - turn * self._device_period_s
        waited_s = vitals.now_s - self._devices_sent_s[device.name]
        if device.connected and waited_s >= self._device_period_s - _LOOK_S / 2 and self._device_period_s > 0:
            self._devices_sent_s[device.name] = vitals.now_s
            levels = self._topics.device(device.name, "levels")
            found.append(_telemetry(levels, seen.device_levels(device), vitals.at_us))
        return found

    def _is_due(self, what: str, period_s: float, now_s: float) -> bool:
        """Once a period; 0: never."""
        if period_s <= 0 or now_s - self._sent_s.get(what, -math.inf) < period_s - _LOOK_S / 2:
            return False
        self._sent_s[what] = now_s
        return True

    def _status(self, word: str) -> Message:
        return Message(
            self._topics.status, word.encode(), kind="state", retain=True, content_type="text/plain"
        )

    def _info(self) -> Message:
        config = self._config
        values: dict[str, object] = {
            "device_id": self._gateway,
            "version": __version__,
            "user_name": config.gateway.user_name,
            "agency_name": config.gateway.agency_name,
            "channels": [
                {"id": one.id, "name": one.name or one.id} for one in config.channels if one.enabled
            ],
            "devices": list(self._devices),
            "commands": list(self._commands.switched_on),
        }
        return Message(self._topics.info, encoded(values), kind="state", retain=True)

    def _left_discovery(self, topic: str, payload: bytes) -> tuple[Message, ...]:
        ours = {message.topic for message in self._discovery}
        return () if not payload or topic in ours else (_gone(topic),)

    def _left_states(self, payload: bytes) -> tuple[Message, ...]:
        """The retained states of channels and devices that an earlier configuration had, by its own info."""
        channels, devices = _named(payload, "channels") - set(self._channels), _named(payload, "devices")
        gone = [self._topics.channel(one, leaf) for one in channels for leaf in _OF_A_CHANNEL]
        gone += [
            self._topics.device(one, leaf) for one in devices - set(self._devices) for leaf in _OF_A_DEVICE
        ]
        return tuple(_gone(topic) for topic in sorted(gone)[:MOST_LEFT])


def _telemetry(topic: str, values: dict[str, object], at_us: int) -> Message:
    stamped = encoded({**values, "timestamp": milliseconds(at_us)})
    return Message(topic, stamped, kind="telemetry", qos=0, weight=int(Weight.TELEMETRY), at_us=at_us)


def _gone(topic: str) -> Message:
    """An empty retained message: the broker forgets the topic."""
    return Message(topic, b"", kind="state", retain=True)


def _talkers(channel: Facts, name: str, active: bool) -> list[str]:
    known = channel.values.get("talkers")
    others = [one for one in known if one != name] if isinstance(known, list) else []
    return [*others, name] if active else others


def _named(payload: bytes, things: str) -> set[str]:
    """The names of an info message; of rubbish none."""
    try:
        values = json.loads(payload)
    except (ValueError, RecursionError):
        return set()
    listed = values.get(things) if isinstance(values, dict) else None
    entries = listed if isinstance(listed, list) else []
    names = [one.get("id") if isinstance(one, dict) else one for one in entries]
    return {name for name in names if isinstance(name, str) and name}
