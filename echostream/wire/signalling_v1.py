"""Signalling of protocol version 1: the client's messages written, the server's read into events."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from echostream.errors import StateError
from echostream.events import (
    Event,
    Member,
    PeersChanged,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SessionOffered,
)
from echostream.wire.crypto import parse_key
from echostream.wire.strict_text import (
    MAX_TEXT,
    Malformed,
    channel_id_of,
    decode_utf8,
    display_text,
    load_object,
)

SUBPROTOCOL: Final = "audio-protocol"
"""WebSocket subprotocol that both sides name."""
MAX_SERVER_MESSAGE: Final = 2**20
"""Bytes: a thousand members with long names fit."""
MAX_CLIENT_MESSAGE: Final = 2**16
"""Bytes: a long transcription fits."""
MAX_MEMBERS: Final = 1000
"""Members kept of one channel; the rest are cut off."""
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_IPV6: Final = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this gateway is to the server and to the channel's other members."""

    affiliation_id: str
    user_name: str
    agency_name: str


@dataclass(frozen=True, slots=True)
class Ignored:
    """A server message without meaning for us. `reason`: empty, bare_text, transmit_ack, unknown."""

    reason: str


class ClientKind(StrEnum):
    """What a client says; compares equal to the key of the message."""

    CONNECT = "connect"
    DISCONNECT = "disconnect"
    TRANSMIT_STARTED = "transmit_started"
    TRANSMIT_ENDED = "transmit_ended"
    FILE_UPLOADED = "file_uploaded"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class ClientMessage:
    """A client's message as a server sees it.

    raw: the whole object, for relaying unchanged, unknown keys and all.
    channel_id: "" for OTHER. member: what the message tells of its sender, empty strings where it is silent.
    """

    kind: ClientKind
    channel_id: str
    member: Member
    raw: dict[str, object]


def connect(
    identity: Identity, channel_id: str, time_s: float, extra: Mapping[str, object] | None = None
) -> str:
    """Join a channel, and every 10 s stay on it. `time_s`: Unix seconds, sent whole."""
    return _message("connect", _five(identity, channel_id, time_s), extra)


def disconnect(
    identity: Identity, channel_id: str, time_s: float, extra: Mapping[str, object] | None = None
) -> str:
    """Leave a channel."""
    body = {"affiliation_id": identity.affiliation_id, "channel_id": channel_id, "time": int(time_s)}
    return _message("disconnect", body, extra)


def transmit_started(
    identity: Identity, channel_id: str, time_s: float, extra: Mapping[str, object] | None = None
) -> str:
    """Goes out before the first audio packet of a transmission. `extra`: such as `file_id`."""
    return _message("transmit_started", _five(identity, channel_id, time_s), extra)


def transmit_ended(
    identity: Identity, channel_id: str, time_s: float, extra: Mapping[str, object] | None = None
) -> str:
    """Goes out after the last audio packet. `extra`: such as `start_time`."""
    return _message("transmit_ended", _five(identity, channel_id, time_s), extra)


def file_uploaded(
    channel_id: str,
    file_id: str,
    transcription: str,
    time_s: float,
    extra: Mapping[str, object] | None = None,
) -> str:
    """Tell the channel that a recording is ready."""
    body = {
        "channel_id": channel_id,
        "file_id": file_id,
        "transcription": transcription,
        "time": int(time_s),
    }
    return _message("file_uploaded", body, extra)


def parse_server_message(text: str | bytes) -> list[Event | Ignored]:
    """What one text frame says: usually one event, several when the server combined keys. Never empty.

    Raises Malformed (a WireError) with `reason`: those of strict_text.load_object, and bad_key, bad_port,
    bad_host, bad_members, bad_transmit, no_channel, bad_channel.
    """
    text = decode_utf8(text, MAX_SERVER_MESSAGE)
    if not text.strip():
        return [Ignored("empty")]
    if not text.lstrip().startswith("{"):
        return [Ignored("bare_text")]
    message = load_object(text, MAX_SERVER_MESSAGE)
    found: list[Event | Ignored] = []
    if "udp_port" in message or "udp_host" in message:
        found.append(_offer(message))
    if message.get("error"):
        found.append(_refusal(message))
    if "users_connected" in message:
        found.append(_peers(message))
    for key in ("transmit_started", "transmit_ended"):
        if key in message:
            found.append(_remote_transmit(message, key))
    if _is_true(message.get("terminated")) or _is_true(message.get("terminating")):
        found.append(ServerDraining(terminated=_is_true(message.get("terminated"))))
    if not found:
        found.append(Ignored("transmit_ack" if "transmit_ack" in message else "unknown"))
    return found


def parse_client_message(text: str | bytes) -> ClientMessage:
    """What a client says to a server. The first known key of the object decides.

    Raises Malformed (a WireError) with `reason`: those of strict_text.load_object, and bad_body, no_channel,
    bad_channel.
    """
    message = load_object(text, MAX_CLIENT_MESSAGE)
    for key, body in message.items():
        kind = _KINDS.get(key)
        if kind is None:
            continue
        if not isinstance(body, dict):
            raise Malformed("bad_body", f"{kind}: expected an object")
        return ClientMessage(kind, channel_id_of(body.get("channel_id")), _member(body), message)
    return ClientMessage(ClientKind.OTHER, "", Member("", "", ""), message)


_KINDS: Final = {str(kind): kind for kind in ClientKind if kind is not ClientKind.OTHER}


def _five(identity: Identity, channel_id: str, time_s: float) -> dict[str, object]:
    return {
        "affiliation_id": identity.affiliation_id,
        "user_name": identity.user_name,
        "agency_name": identity.agency_name,
        "channel_id": channel_id,
        "time": int(time_s),
    }


def _message(key: str, body: Mapping[str, object], extra: Mapping[str, object] | None) -> str:
    if extra:
        overwritten = body.keys() & extra.keys()
        if overwritten:
            raise StateError(f"{key}: extra keys {sorted(overwritten)} are the message's own")
        body = {**body, **extra}
    return json.dumps({key: body}, separators=(",", ":"), allow_nan=False)


def _offer(message: dict[str, object]) -> SessionOffered:
    port = _port(message.get("udp_port"))
    host = _host(message.get("udp_host"))
    named = message.get("websocket_id")
    websocket_id = named if isinstance(named, int) and not isinstance(named, bool) else display_text(named)
    offered = message.get("aes_key")
    if offered is None or (isinstance(offered, str) and offered.strip().upper() in ("", "N/A")):
        return SessionOffered(host, port, websocket_id or port)
    if not isinstance(offered, str):
        raise Malformed("bad_key", 'aes_key: expected a string, base64 of 32 bytes or "N/A"')
    return SessionOffered(host, port, websocket_id or port, parse_key(offered))


def _host(value: object) -> str:
    """Names the resolver can take: others make it raise errors that are no OSError."""
    host = value.strip() if isinstance(value, str) else ""
    # The length first: the patterns take quadratic time on what they refuse.
    if len(host) > 253 or not (_NAME.fullmatch(host) or _IPV6.fullmatch(host)):
        raise Malformed("bad_host", "udp_host: expected a host name or address")
    return host


def _port(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.strip().isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
        raise Malformed("bad_port", "udp_port: expected 1 to 65535")
    return value


def _refusal(message: dict[str, object]) -> ServerRefused:
    text = display_text(message.get("message")) or display_text(message["error"])
    return ServerRefused(display_text(message.get("code")), text)


def _peers(message: dict[str, object]) -> PeersChanged:
    users = message["users_connected"]
    named = message.get("channel_id")
    if isinstance(users, dict):
        named = users.get("channel_id", named)
        users = users.get("connected")
    if not isinstance(users, list):
        raise Malformed("bad_members", "users_connected: expected a list, or one under `connected`")
    members = tuple(_member(user) for user in users[:MAX_MEMBERS] if isinstance(user, dict))
    return PeersChanged("" if named in (None, "") else channel_id_of(named), members)


def _remote_transmit(message: dict[str, object], key: str) -> RemoteTransmit:
    body = message[key]
    if not isinstance(body, dict):
        raise Malformed("bad_transmit", f"{key}: expected an object")
    channel_id = channel_id_of(body.get("channel_id", message.get("channel_id")))
    return RemoteTransmit(channel_id, _member(body), started=key == "transmit_started")


def _member(body: Mapping[str, object]) -> Member:
    return Member(
        display_text(body.get("affiliation_id")),
        display_text(body.get("user_name")),
        display_text(body.get("agency_name")),
        _seconds(body.get("time")),
    )


def _seconds(value: object) -> float:
    """Unix seconds; 0 for what is none: a member without a time is still a member."""
    if isinstance(value, bool) or not isinstance(value, int | float | str) or len(str(value)) > MAX_TEXT:
        return 0.0
    try:
        seconds = float(value)
    except ValueError:
        return 0.0
    return seconds if 0 <= seconds < 1e12 else 0.0


def _is_true(value: object) -> bool:
    return value is True or value == 1 or (isinstance(value, str) and value.strip().lower() == "true")
