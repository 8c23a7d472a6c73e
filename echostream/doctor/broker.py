"""Group `mqtt`: connect to the broker as the gateway does, under another client id, and leave."""

from __future__ import annotations

import socket
import time
from typing import Final

from echostream.config.models import Mqtt
from echostream.config.secrets import read_secret
from echostream.doctor.lookup import NoAddress, addresses
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import ConfigError, SecretError
from echostream.mqtt import reasons
from echostream.mqtt.connection import Connection, ConnectionEnded, Unanswered
from echostream.mqtt.message import Message

OFF: Final = Kind("mqtt.off", Level.NOTE, "MQTT is switched off")
CONNECTED: Final = Kind(
    "mqtt.connected", Level.OK, "the broker {where} took the connection within {ms:.0f} ms ({what})"
)
FAILED: Final = Kind(
    "mqtt.failed",
    Level.FAILURE,
    "the broker {where}: {why}",
    "look at mqtt in the configuration and at the broker's log; what waits is kept on the disk meanwhile",
)
UNANSWERED: Final = Kind(
    "mqtt.unanswered",
    Level.FAILURE,
    "nobody answers at {where}: {why}",
    "is mqtt.port right, does the broker run, and does a firewall let this machine through?",
)
OTHER_ID: Final = Kind(
    "mqtt.other_id",
    Level.NOTE,
    "the broker refuses the doctor's client id {client_id} ({why}), and takes the gateway's: it is connected",
)
SECRET: Final = Kind("mqtt.secret", Level.NOTE, "not tried: {why}", "see the group configuration")
WAITS: Final = Kind(
    "mqtt.away",
    Level.WARNING,
    "the running gateway is not connected: {why}",
    "where the doctor gets through and the gateway does not, its log says more: journalctl -u echostream",
)


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("mqtt", "connect", _connect, within_s=25.0)]


def _connect(world: World) -> list[Finding]:
    config = world.config
    if config is None:
        return []
    if not config.mqtt.enabled:
        return [OFF.at("mqtt.enabled")]
    mqtt = config.mqtt
    where = f"{mqtt.host}:{mqtt.port}"
    try:
        password = read_secret(mqtt.password, "mqtt.password").strip() if mqtt.password is not None else None
    except SecretError as error:
        return [SECRET.at("mqtt.password", why=str(error).removeprefix("mqtt.password: "))]
    client_id = f"{mqtt.client_id or config.gateway.id}-doctor"
    topic = f"{mqtt.topic_prefix}/{config.gateway.id}/doctor"
    connection = Connection(mqtt, client_id, password, Message(topic, b"", "telemetry"))
    began_s = time.monotonic()
    try:
        connection.open(addresses(mqtt.host, mqtt.port, socket.SOCK_STREAM), lambda stream: None)
    except (NoAddress, Unanswered) as error:
        return [UNANSWERED.at("mqtt.host", where=where, why=error)]
    except ConfigError as error:
        return [FAILED.at("mqtt.tls", where=where, why=error)]
    except ConnectionEnded as error:
        return [_refused(error, where, client_id, world)]
    ms = 1000 * (time.monotonic() - began_s)
    try:
        connection.goodbye()
    finally:
        connection.release()
    return [CONNECTED.at("mqtt.host", where=where, ms=ms, what=_words(mqtt)), *_gateway(world)]


def _refused(error: ConnectionEnded, where: str, client_id: str, world: World) -> Finding:
    """A policy may know the gateway's own client id only, as AWS IoT's usually do."""
    ids = (reasons.CLIENT_ID, reasons.NOT_AUTHORISED)
    link = world.health.links.get("mqtt") if world.health is not None and world.health.current else None
    if (error.code in ids or error.by_broker) and link is not None and link.up:
        return OTHER_ID.at("mqtt.client_id", client_id=client_id, why=error)
    return FAILED.at("mqtt.host", where=where, why=error)


def _gateway(world: World) -> list[Finding]:
    link = world.health.links.get("mqtt") if world.health is not None and world.health.current else None
    return [WAITS.at("mqtt", why=link.detail)] if link is not None and not link.up else []


def _words(mqtt: Mqtt) -> str:
    return f"MQTT {mqtt.protocol}, {'TLS' if mqtt.tls is not None else 'without TLS'}"
