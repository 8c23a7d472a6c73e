"""What the topics are called. docs/mqtt.md has all of them.

Everything but tone detections is below PREFIX/GATEWAY/, in three kinds of place: what is so now (`state`,
`health`, `last_page`: retained), what happened (`event/KIND`), and what may be asked for (`command/NAME`).
"""

from __future__ import annotations

import re
from typing import Final

from echostream.config.models import Config

_NOT_IN_A_LEVEL: Final = re.compile("[%/+#\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
_NOT_IN_A_TOPIC: Final = re.compile("[%+#\x00-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff]")
"""MQTT 5.0, 1.5.4 and 4.7.1: wildcards, and characters for which a broker may close the connection."""
_ENCODED: Final = re.compile("((?:%[0-9A-F]{2})+)")


def level(name: str) -> str:
    """A name as one level of a topic: what cannot stand there is written as in a URL ("/" is "%2F")."""
    return _NOT_IN_A_LEVEL.sub(_percent, name)


def name_of(text: str) -> str:
    """The name behind a level."""
    return _ENCODED.sub(
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "replace"), text
    )


class Topics:
    """The topics of one gateway."""

    def __init__(self, config: Config) -> None:
        gateway = config.gateway.id
        self.root = f"{config.mqtt.topic_prefix.rstrip('/')}/{level(gateway)}"
        self.discovery = config.mqtt.home_assistant_prefix.rstrip("/")
        self.tone_detection = f"from/device/{_NOT_IN_A_TOPIC.sub(_percent, gateway)}/tone_detection"
        self.status = f"{self.root}/status"
        self.info = f"{self.root}/info"
        self.health = f"{self.root}/health"
        self.links = f"{self.root}/links"

    def channel(self, channel_id: str, leaf: str) -> str:
        return f"{self.root}/channel/{level(channel_id)}/{leaf}"

    def device(self, name: str, leaf: str) -> str:
        return f"{self.root}/device/{level(name)}/{leaf}"

    def event(self, kind: str, channel_id: str = "", device: str = "") -> str:
        """Where it is told that something happened: at its device, else its channel, else the gateway."""
        if device:
            return self.device(device, f"event/{kind}")
        if channel_id:
            return self.channel(channel_id, f"event/{kind}")
        return f"{self.root}/event/{kind}"

    def command(self, name: str, channel_id: str = "") -> str:
        return self.channel(channel_id, f"command/{name}") if channel_id else f"{self.root}/command/{name}"

    def answer(self, name: str, channel_id: str = "") -> str:
        return f"{self.command(name, channel_id)}/answer"

    def commands_of_channels(self, name: str) -> str:
        """What to subscribe to for a command of every channel."""
        return f"{self.root}/channel/+/command/{name}"

    def asked(self, topic: str) -> tuple[str, str] | None:
        """(command, channel id or "") of a topic; None: it is none of a command."""
        levels = topic.removeprefix(f"{self.root}/").split("/")
        match levels:
            case ["command", name] if topic.startswith(f"{self.root}/"):
                return name, ""
            case ["channel", channel, "command", name] if topic.startswith(f"{self.root}/"):
                return name, name_of(channel)
        return None


def _percent(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "replace"))
