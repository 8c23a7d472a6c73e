"""A subscriber that remembers: paho's own client and thread, so that it judges by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


@dataclass(frozen=True, slots=True)
class Heard:
    """One message as it came."""

    topic: str
    payload: bytes
    retained: bool
    qos: int
    message_id: str
    content_type: str


class Subscriber:
    """Connects again by itself, as fast as paho can."""

    def __init__(self, port: int, topic: str = "#", **options: Any) -> None:
        """options: username, password, client_id; `context` for TLS; `session`: the broker keeps what comes
        meanwhile; `again_s`: how soon it connects again."""
        self.heard: list[Heard] = []
        self._changed = threading.Condition()
        self._topic = topic
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            protocol=MQTTProtocolVersion.MQTTv5,
            client_id=options.get("client_id", "subscriber"),
        )
        if "username" in options:
            self._client.username_pw_set(options["username"], options.get("password"))
        if "context" in options:
            self._client.tls_set_context(options["context"])
        self._client.reconnect_delay_set(options.get("again_s", 1), options.get("again_s", 1))
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_disconnect = lambda *_: self._subscribed.clear()
        self._client.on_message = self._take
        keep, properties = bool(options.get("session")), None
        if keep:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 3600
        self._client.connect_async("localhost", port, 60, "", 0, not keep, properties)
        self._client.loop_start()

    def _take(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        properties = message.properties
        user = dict(getattr(properties, "UserProperty", []))
        kind = getattr(properties, "ContentType", "")
        one = Heard(
            message.topic,
            bytes(message.payload),
            message.retain,
            message.qos,
            user.get("message_id", ""),
            kind,
        )
        with self._changed:
            self.heard.append(one)
            self._changed.notify_all()

    def forget_subscribed(self) -> None:
        """The broker is about to go: wait_subscribed() means the next one."""
        self._subscribed.clear()

    def wait_subscribed(self, timeout_s: float = 10.0) -> None:
        assert self._subscribed.wait(timeout_s), "not subscribed"

    def wait_for(self, found: Callable[[list[Heard]], bool], timeout_s: float = 10.0) -> None:
        """Until what was heard is what is expected."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while not found(self.heard):
                remaining_s = deadline_s - time.monotonic()
                assert remaining_s > 0, f"heard only {[(h.topic, h.payload[:60]) for h in self.heard][-20:]}"
                self._changed.wait(remaining_s)

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def of(self, topic: str) -> list[Heard]:
        return [one for one in self.heard if one.topic == topic]

    def close(self) -> None:
        client = self._client
        client.disconnect()
        client.loop_stop()
        client.on_connect = client.on_subscribe = client.on_disconnect = client.on_message = None
        del self._client  # whose end closes the pair of sockets that woke its thread
