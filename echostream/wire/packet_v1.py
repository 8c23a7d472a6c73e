"""Datagrams of protocol version 1: one JSON object each, audio in base64."""

from __future__ import annotations

import binascii
import json
from dataclasses import dataclass
from typing import Final

from echostream.errors import StateError
from echostream.wire.crypto import OVERHEAD_BYTES
from echostream.wire.strict_text import MAX_TEXT, Malformed, channel_id_of, decode_base64, load_object

MAX_DATAGRAM: Final = 8192
"""Bytes. Longer ones are dropped by every peer."""
KEEP_ALIVE: Final = b'{"type":"KEEP_ALIVE"}'
"""Opens the server's port for us and keeps it open."""
_TAIL: Final = b'"}'


@dataclass(frozen=True, slots=True)
class AudioDatagram:
    """`sealed`: IV (12) || ciphertext (at least 1) || tag (16), not authenticated yet."""

    channel_id: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The peer is there."""


@dataclass(frozen=True, slots=True)
class OtherDatagram:
    """A well-formed datagram of a type unknown here. Never count by `type`: a stranger fills it."""

    type: str


Datagram = AudioDatagram | KeepAlive | OtherDatagram


class AudioEncoder:
    """Writes the audio datagrams of one channel; what stays the same is encoded once."""

    __slots__ = ("_head",)

    def __init__(self, channel_id: str) -> None:
        """Raises StateError for a channel id that the format cannot carry (empty, over 256, not Unicode)."""
        if not 0 < len(channel_id) <= MAX_TEXT:
            raise StateError(f"channel_id of {len(channel_id)} characters, expected 1 to {MAX_TEXT}")
        try:
            channel_id.encode("utf-8")
        except UnicodeError:
            raise StateError("channel_id with half a surrogate pair") from None
        self._head: Final = f'{{"channel_id":{json.dumps(channel_id)},"type":"audio","data":"'.encode("ascii")

    def encode(self, sealed: bytes) -> bytes:
        """The datagram. Raises StateError when no peer would take it, too long or too short."""
        if len(sealed) <= OVERHEAD_BYTES:
            raise StateError(f"{len(sealed)} bytes sealed: no Opus packet in it")
        datagram = self._head + binascii.b2a_base64(sealed, newline=False) + _TAIL
        if len(datagram) > MAX_DATAGRAM:
            raise StateError(f"datagram of {len(datagram)} bytes, at most {MAX_DATAGRAM} are taken")
        return datagram


def encode_audio(channel_id: str, sealed: bytes) -> bytes:
    """One audio datagram; AudioEncoder is the fast way for many."""
    return AudioEncoder(channel_id).encode(sealed)


def parse_datagram(data: bytes) -> Datagram:
    """What a datagram says. Raises Malformed (a WireError) with `reason`, never anything else.

    Accepts any order of keys, unknown keys, white space in the base64, missing padding, integer channel ids.
    Reasons: too_long, not_utf8, not_json, not_object, duplicate_key, bad_number, too_deep, lone_surrogate,
    no_type, bad_type, no_channel, bad_channel, no_data, bad_base64, too_short.
    """
    message = load_object(data, MAX_DATAGRAM)
    kind = message.get("type")
    if kind == "audio":
        return _audio(message)
    if kind == "KEEP_ALIVE":
        return KeepAlive()
    if kind is None:
        raise Malformed("no_type", "type is missing")
    if not isinstance(kind, str) or len(kind) > MAX_TEXT:
        raise Malformed("bad_type", f"type: expected a string of at most {MAX_TEXT} characters")
    return OtherDatagram(kind)


def _audio(message: dict[str, object]) -> AudioDatagram:
    channel_id = channel_id_of(message.get("channel_id"))
    text = message.get("data")
    if not isinstance(text, str):
        raise Malformed("no_data", "data: expected a string of base64")
    sealed = decode_base64(text)
    if len(sealed) <= OVERHEAD_BYTES:
        raise Malformed("too_short", f"data: {len(sealed)} bytes, more than {OVERHEAD_BYTES} are needed")
    return AudioDatagram(channel_id, sealed)
