"""A subscriber for people: what arrives at a broker, as it arrives."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from echostream.config.mqtt_models import Mqtt
from echostream.errors import EchoStreamError
from echostream.mqtt.verify import build_context, words

KEEP_ALIVE_S: Final = 30
CONNECT_S: Final = 10.0
RECONNECT_S: Final = (1, 10)


class NotSubscribed(EchoStreamError):
    """The broker cannot be reached, or does not let us in."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """retained: it was there before we asked."""

    topic: str
    payload: bytes
    qos: int
    retained: bool


class Listening:
    """From `start` to `stop`: one connection, made again whenever it is lost."""

    def __init__(
        self,
        mqtt: Mqtt,
        password: str | None,
        topics: Sequence[str],
        on_message: Callable[[Arrived], None],
        on_state: Callable[[str], None] = lambda text: None,
    ) -> None:
        """on_message, on_state (a line for people): called on the connection's thread."""
        self._mqtt = mqtt
        self._topics = topics
        self._on_message = on_message
        self._on_state = on_state
        self._answer = threading.Event()
        self._refused = ""
        version = paho.MQTTv5 if mqtt.protocol == "5" else paho.MQTTv311
        # A name of its own: with the gateway's it would take the gateway's place at the broker.
        name = f"echostream-subscribe-{uuid.uuid4().hex[:8]}"
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=version)
        client.reconnect_delay_set(*RECONNECT_S)
        client.connect_timeout = CONNECT_S
        if mqtt.username is not None:
            client.username_pw_set(mqtt.username, password)
        if mqtt.tls is not None:
            client.tls_set_context(build_context(mqtt.tls))
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = self._came
        client.on_disconnect = self._lost

    def start(self) -> None:
        """Subscribed when this returns. Raises NotSubscribed."""
        try:
            self._client.connect(self._mqtt.host, self._mqtt.port, KEEP_ALIVE_S)
        except (OSError, ValueError) as error:
            self.stop()
            raise NotSubscribed(f"{self._place}: {words(error, self._mqtt)}") from None
        self._client.loop_start()
        if not self._answer.wait(CONNECT_S) or self._refused:
            self.stop()
            raise NotSubscribed(f"{self._place}: {self._refused or 'the broker does not answer'}")

    def stop(self) -> None:
        client = self._client
        client.disconnect()
        client.loop_stop()
        # It closes its sockets when nobody holds it any more: not even its own callbacks.
        client.on_connect = client.on_subscribe = client.on_message = client.on_disconnect = None

    @property
    def _place(self) -> str:
        return f"{self._mqtt.host}:{self._mqtt.port}"

    # ---- on the connection's thread

    def _connected(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self._refused = f"the broker refuses the connection: {reason}"
            self._answer.set()
            return
        client.subscribe([(topic, 1) for topic in self._topics])

    def _subscribed(self, client: paho.Client, data: Any, mid: int, reasons: Any, properties: Any) -> None:
        pairs = zip(self._topics, reasons, strict=False)
        refused = [topic for topic, reason in pairs if reason.is_failure]
        if refused:
            self._refused = f"the broker does not let us subscribe to {', '.join(refused)}"
        elif self._answer.is_set():
            self._on_state("connected again")
        self._answer.set()

    def _came(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        self._on_message(Arrived(message.topic, bytes(message.payload), message.qos, message.retain))

    def _lost(self, client: paho.Client, data: Any, flags: Any, reason: Any, properties: Any) -> None:
        if not self._answer.is_set():
            self._refused = f"the broker hung up at once ({reason}): it may expect TLS on this port, or none"
            self._answer.set()
        elif reason.is_failure and not self._refused:
            self._on_state(f"connection lost: {reason}")
