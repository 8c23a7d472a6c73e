"""One connection to a broker: TCP, TLS, CONNECT, then packets both ways. Built anew for each attempt.

paho-mqtt packs and parses packets, and keeps the connection alive. Its own loop, threads and reconnecting are
left aside: its loop waits with select(), which fails beyond 1,024 descriptors (a gateway with 1,000
microphones has more), its name lookup cannot be given up, and its queue is neither bounded nor on the disk.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.enums import MQTTErrorCode as Rc
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from echostream.config.mqtt_models import Mqtt
from echostream.mqtt import reasons, verify
from echostream.mqtt.message import Message
from echostream.mqtt.wire import MAX_PACKET_BYTES, Wire
from echostream.network.resolver import Address
from echostream.network.stream import Stream, StreamInterrupted

log = logging.getLogger(__name__)

CONNECT_S: Final = 2.0
HANDSHAKE_S: Final = 5.0
CONNACK_S: Final = 10.0
SEND_S: Final = 5.0
READS_A_TURN: Final = 100
CLOSED: Final = "the broker closed the connection"
RECEIVED_A_TURN: Final = 100
MAX_RECEIVED: Final = 1024
HEADROOM_BYTES: Final = 256
"""What a packet has beside topic and payload, at most: properties, lengths."""


class Unanswered(Exception):
    """Nobody accepted the connection."""


class ConnectionEnded(Exception):
    """The connection, or the attempt, is over. code: the broker's reason code, 0 when it gave none."""

    def __init__(self, why: str, code: int = 0, by_broker: bool = False) -> None:
        super().__init__(why)
        self.code = code
        self.by_broker = by_broker


@dataclass(frozen=True, slots=True)
class Received:
    """A message from a subscription."""

    topic: str
    payload: bytes
    retained: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What the broker said to a publication or subscription. number: as publish() gave it."""

    number: int
    code: int


@dataclass(slots=True)
class Limits:
    """What the broker told of itself (CONNACK of MQTT 5)."""

    window: int = 65_535
    packet_bytes: int = 268_435_455
    retain: bool = True
    qos: int = 1


@dataclass(slots=True)
class _Mail:
    answers: list[Answer] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)


class _Client(paho.Client):
    """paho's client over a stream that is open already."""

    wire: Wire

    def _create_socket_connection(self) -> Any:
        return self.wire


class Connection:
    """An open connection. Everything on one thread; interrupt() of the stream ends it from another one."""

    def __init__(self, mqtt: Mqtt, client_id: str, password: str | None, will: Message) -> None:
        self.limits = Limits()
        self._mqtt = mqtt
        self._v5 = mqtt.protocol == "5"
        self._mail = _Mail()
        self._up = False
        self._flooded = False
        self._refusal: ReasonCode | None = None
        self._ended: ConnectionEnded | None = None
        self._client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._v5 else True,
            protocol=MQTTProtocolVersion.MQTTv5 if self._v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client = self._client
        client.max_inflight_messages_set(0)  # the window is the outbox's
        if mqtt.username is not None:
            client.username_pw_set(mqtt.username, password)
        client.will_set(will.topic, will.payload, will.qos, will.retain, self._properties(will, True))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message

    # ---- making it

    def open(self, addresses: Sequence[Address], on_stream: Callable[[Stream], None]) -> None:
        """Connect to the first address that accepts. `on_stream` sees each stream before it may block.

        Raises Unanswered when nobody accepted, ConnectionEnded when somebody did and then failed, ConfigError
        when a file of the configuration cannot be used.
        """
        stream = _first_that_accepts(addresses, on_stream)
        try:
            stream.deadline = time.monotonic() + HANDSHAKE_S
            if self._mqtt.tls is not None:
                context = verify.build_context(self._mqtt.tls)
                stream.start_tls(context, self._mqtt.tls.server_name or self._mqtt.host)
        except OSError as error:
            stream.release()
            why = verify.HUNG_UP if _hung_up(error) else _words(error, self._mqtt)
            raise ConnectionEnded(why) from error
        except BaseException:
            stream.release()
            raise
        self._wire = self._client.wire = Wire(stream)
        try:
            self._shake_hands()
        except ConnectionEnded as error:
            self.release()
            if str(error) == CLOSED and self._mqtt.tls is None:
                raise ConnectionEnded(f"{CLOSED} at once: wrong mqtt.port, or mqtt.tls is missing") from error
            raise
        except BaseException:
            self.release()
            raise

    def _shake_hands(self) -> None:
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
        self._client.connect_async(
            self._mqtt.host,
            self._mqtt.port,
            self._mqtt.keep_alive_s,
            clean_start=True if self._v5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )
        self._check(self._client.reconnect())
        deadline = time.monotonic() + CONNACK_S
        while not self._up:
            if time.monotonic() >= deadline:
                raise ConnectionEnded(f"the broker did not answer within {CONNACK_S:.0f} s")
            self.turn(deadline - time.monotonic())

    # ---- using it

    def publish(self, message: Message) -> int:
        """Hand it to the network; its number, which an Answer will carry. Raises ConnectionEnded."""
        info = self._client.publish(
            message.topic,
            message.payload,
            min(message.qos, self.limits.qos),
            message.retain and self.limits.retain,
            self._properties(message),
        )
        self._check(info.rc)
        return info.mid

    def fits(self, message: Message) -> bool:
        """The broker takes packets of this size."""
        size = len(message.topic.encode()) + len(message.payload) + HEADROOM_BYTES
        return size <= self.limits.packet_bytes

    def subscribe(self, topic: str, qos: int) -> int:
        """What we publish there ourselves does not come back (MQTT 5). As publish()."""
        if self._v5:
            rc, number = self._client.subscribe(topic, options=SubscribeOptions(qos, noLocal=True))
        else:
            rc, number = self._client.subscribe(topic, qos)
        self._check(rc)
        return number or 0

    def turn(self, timeout_s: float, wake: int | None = None) -> None:
        """Wait for the network, or until the descriptor `wake` can be read; take what came. Raises
        ConnectionEnded."""
        wire, poller = self._wire, select.poll()
        events = select.POLLIN | (select.POLLOUT if self._client.want_write() else 0)
        poller.register(wire.fileno(), events)
        interrupted = wire.interrupt_fileno()
        poller.register(interrupted, select.POLLIN)
        if wake is not None:
            poller.register(wake, select.POLLIN)
        patience_s = max(0.0, min(timeout_s, 1.0)) if wire.dry else 0.0
        if any(ready == interrupted for ready, _ in poller.poll(patience_s * 1000)):
            raise ConnectionEnded("left on request")
        wire.dry = False
        for _ in range(READS_A_TURN):  # a broker that floods us does not keep us from sending
            self._check(self._client.loop_read())
            if wire.dry or len(self._mail.received) >= RECEIVED_A_TURN:
                break
        if self._client.want_write():
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def answers(self) -> list[Answer]:
        """Those that came since the last call."""
        taken, self._mail.answers = self._mail.answers, []
        return taken

    def received(self) -> list[Received]:
        """Those that came since the last call."""
        taken, self._mail.received = self._mail.received, []
        return taken

    def goodbye(self) -> None:
        """So that the broker does not publish the last will."""
        if self._ended is None and self._client.socket() is not None:
            self._client.disconnect()

    def release(self) -> None:
        """Close. Idempotent."""
        client = self._client
        client.on_connect = client.on_disconnect = client.on_publish = None
        client.on_subscribe = client.on_message = None  # no circle is left for the garbage collector
        self._ended = self._wire.error = None
        self._wire.close()

    # ---- inside

    def _check(self, rc: Rc | int) -> None:
        """Raise what ended the connection, if anything did."""
        if self._refusal is not None:
            code = self._refusal.value
            raise ConnectionEnded(f"refused: {reasons.words_at_connect(code)}", code, by_broker=True)
        if self._ended is not None:
            raise self._ended
        if self._wire.error is not None:
            error = self._wire.error
            raise ConnectionEnded(_words(error, self._mqtt), by_broker=_hung_up(error)) from error
        if rc not in (Rc.MQTT_ERR_SUCCESS, Rc.MQTT_ERR_AGAIN):
            if rc == Rc.MQTT_ERR_KEEPALIVE:
                raise ConnectionEnded("the broker has been silent for too long")
            if rc in (Rc.MQTT_ERR_CONN_LOST, Rc.MQTT_ERR_NO_CONN):
                raise ConnectionEnded(CLOSED, by_broker=True)
            raise ConnectionEnded(f"protocol error: {paho.error_string(rc)}", by_broker=True)

    def _properties(self, message: Message, will: bool = False) -> Properties | None:
        if not self._v5:
            return None
        kind = PacketTypes.WILLMESSAGE if will else PacketTypes.PUBLISH
        properties = Properties(kind)  # type: ignore[no-untyped-call]
        if message.payload:
            properties.ContentType = message.content_type
            properties.PayloadFormatIndicator = 1  # UTF-8
        if message.message_id:
            properties.UserProperty = ("message_id", message.message_id)
        return properties

    def _on_connect(
        self, client: object, data: object, flags: object, code: ReasonCode, properties: Properties | None
    ) -> None:
        if code.value >= reasons.REFUSED:
            self._refusal = code
            return
        self._up = True
        limits = self.limits
        limits.window = getattr(properties, "ReceiveMaximum", limits.window)
        limits.packet_bytes = getattr(properties, "MaximumPacketSize", limits.packet_bytes)
        limits.retain = bool(getattr(properties, "RetainAvailable", limits.retain))
        limits.qos = getattr(properties, "MaximumQoS", limits.qos)

    def _on_disconnect(
        self, client: object, data: object, flags: paho.DisconnectFlags, code: ReasonCode, properties: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            why = f"the broker ended it: {reasons.words(code.value)}"
            self._ended = ConnectionEnded(why, code.value, by_broker=True)
        elif self._wire.error is None and self._ended is None:
            silent = code.getName() == "Keep alive timeout"
            why = "the broker has been silent for too long" if silent else CLOSED
            self._ended = ConnectionEnded(why, by_broker=not silent)

    def _on_publish(self, client: object, data: object, number: int, code: ReasonCode, more: object) -> None:
        self._mail.answers.append(Answer(number, code.value))

    def _on_subscribe(
        self, client: object, data: object, number: int, codes: list[ReasonCode], more: object
    ) -> None:
        self._mail.answers.append(Answer(number, max(code.value for code in codes) if codes else 0))

    def _on_message(self, client: object, data: object, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            log.warning("mqtt: a message on a topic that is not UTF-8 is left out")
            return
        if len(self._mail.received) >= MAX_RECEIVED:
            level = logging.DEBUG if self._flooded else logging.WARNING
            self._flooded = True
            log.log(level, "mqtt: more came at once than is taken; one on %r is left out", topic[:200])
            return
        self._mail.received.append(Received(topic, bytes(message.payload), message.retain))


def _first_that_accepts(addresses: Sequence[Address], on_stream: Callable[[Stream], None]) -> Stream:
    failure = "no address"
    for family, address in addresses:
        stream = Stream(SEND_S)
        try:
            on_stream(stream)
            stream.connect(family, address, time.monotonic() + CONNECT_S)
            return stream
        except OSError as error:
            failure = "left on request" if isinstance(error, StreamInterrupted) else _plain(error)
            stream.release()
    raise Unanswered(failure)


def _plain(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return error.strerror or str(error) or type(error).__name__


def _hung_up(error: OSError) -> bool:
    """By the other side: not by us, and not because the network is gone."""
    return isinstance(error, ConnectionResetError | BrokenPipeError)


def _words(error: OSError, mqtt: Mqtt) -> str:
    if isinstance(error, StreamInterrupted):
        return "left on request"
    return CLOSED if _hung_up(error) else verify.words(error, mqtt)
