"""Discovery messages: Home Assistant shows the gateway, each channel and each device by itself.

One retained message for each entity, on PREFIX/COMPONENT/NODE/OBJECT/config: every version of Home Assistant
takes that form; the one with all entities of a device in a message came in 2024.11, beside it. The keys are
those of https://www.home-assistant.io/integrations/mqtt/. Leftovers of a channel or device that is no more
are found by subscribing to the gateway's own node, and taken away.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from echostream import __version__
from echostream.config.models import Channel, Config, Esp32Device
from echostream.mqtt.entities import (
    Entity,
    channel_entities,
    device_entities,
    gateway_entities,
)
from echostream.mqtt.message import Message
from echostream.mqtt.payloads import encoded
from echostream.mqtt.topics import Topics

_NOT_IN_A_SLUG: Final = re.compile(r"[^A-Za-z0-9_-]")


def slug(name: str) -> str:
    """A name as Home Assistant takes it in a discovery topic. Two names have two slugs."""
    plain = _NOT_IN_A_SLUG.sub("_", name)
    if plain == name:
        return plain
    return f"{plain}_{hashlib.blake2s(name.encode('utf-8', 'replace'), digest_size=4).hexdigest()}"


class HomeAssistant:
    """What Home Assistant is told of one gateway."""

    def __init__(self, config: Config, topics: Topics) -> None:
        self._config = config
        self._topics = topics
        self._node = f"echostream_{slug(config.gateway.id)}"

    def messages(self) -> list[Message]:
        """All of them; they change only with the configuration."""
        config, topics = self._config, self._topics
        gateway = {
            "identifiers": [self._node],
            "name": f"EchoStream {config.gateway.id}",
            "manufacturer": "EchoStream",
            "model": "Gateway",
            "sw_version": __version__,
        }
        found = [self._message("gateway", one, gateway) for one in gateway_entities(config, topics)]
        for channel in config.channels:
            if channel.enabled:
                of_channel = self._part(f"channel_{slug(channel.id)}", *_channel_words(channel))
                entities = channel_entities(config, topics, channel)
                found += [self._message(f"channel_{slug(channel.id)}", one, of_channel) for one in entities]
        for device in config.esp32.devices if config.esp32.enabled else ():
            if device.enabled:
                of_device = self._part(f"device_{slug(device.name)}", *_device_words(device))
                entities = device_entities(config, topics, device)
                found += [self._message(f"device_{slug(device.name)}", one, of_device) for one in entities]
        return found

    def subscription(self) -> tuple[str, int]:
        """Where its own messages of earlier times are."""
        return f"{self._topics.discovery}/+/{self._node}/+/config", 1

    def is_own(self, topic: str) -> bool:
        """Whether a topic is one of the subscription above."""
        levels = topic.removeprefix(f"{self._topics.discovery}/").split("/")
        return (
            topic.startswith(f"{self._topics.discovery}/")
            and levels[1:2] == [self._node]
            and len(levels) == 4
        )

    # ---- inside

    def _part(self, identifier: str, name: str, model: str) -> dict[str, object]:
        return {
            "identifiers": [f"{self._node}_{identifier}"],
            "name": name,
            "manufacturer": "EchoStream",
            "model": model,
            "via_device": self._node,
        }

    def _message(self, thing: str, entity: Entity, device: Mapping[str, object]) -> Message:
        what = f"{thing}_{entity.key}"
        values: dict[str, object] = {
            "name": entity.name,
            "unique_id": f"{self._node}_{what}",
            **entity.values,
            "device": device,
            "origin": {"name": "EchoStream", "sw_version": __version__},
        }
        if entity.while_online:
            values["availability"] = [{"topic": self._topics.status}]
        topic = f"{self._topics.discovery}/{entity.component}/{self._node}/{what}/config"
        return Message(topic, encoded(values), kind="state", retain=True)


def _channel_words(channel: Channel) -> tuple[str, str]:
    return channel.name or channel.id, "Channel"


def _device_words(device: Esp32Device) -> tuple[str, str]:
    return device.label or device.name, "Network microphone"
