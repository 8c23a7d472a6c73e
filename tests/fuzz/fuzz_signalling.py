"""Fuzz of signalling, as a client and as a server reads it."""

from __future__ import annotations

import base64
import json
from random import Random

from fuzz_json import TOKENS, object_of, quoted, reasons_known, shapeless
from fuzz_mutate import blend, mutator, pick, rubbish

from echostream.events import Member, PeersChanged, RemoteTransmit, SessionOffered
from echostream.wire import signalling_v1 as signalling

_KEY_TEXT = base64.b64encode(bytes(range(32))).decode()


# Server messages


def _run_server(data: bytes) -> bool:
    events = signalling.parse_server_message(data)
    assert events
    for event in events:
        if isinstance(event, SessionOffered):
            assert 0 < event.udp_port < 65536
            assert event.key is None or len(event.key) == 32
            event.udp_host.encode("idna")
        elif isinstance(event, PeersChanged):
            assert len(event.members) <= signalling.MAX_MEMBERS
            for member in event.members:
                _check_member(member)
        elif isinstance(event, RemoteTransmit):
            assert 0 < len(event.channel_id) <= 256
            _check_member(event.member)
    return not isinstance(events[0], signalling.Ignored)


def _check_member(member: Member) -> None:
    for text in (member.affiliation_id, member.user_name, member.agency_name):
        assert len(text) <= 256
        assert text.isprintable() or not set(text) & set("\x1b\n\r\x07\x9b\u202e")
        text.encode("utf-8")
    assert 0 <= member.since_s < 1e12


_FIVE = (
    '{"affiliation_id":"a1","user_name":"Süd","agency_name":"A","channel_id":"42","time":99}',
    '{"affiliation_id":7,"user_name":"\\u001b[2J","channel_id":42,"time":"99.5","file_id":"f"}',
)
_OFFER_FIELDS = {
    "udp_port": ("51234", '"51234"', "1"),
    "udp_host": quoted("203.0.113.9", "relay.example.org", "2001:db8::1", "fe80::1%eth0"),
    "websocket_id": ("51234", '"ws"'),
    "aes_key": (*quoted("N/A"), f'"{_KEY_TEXT}"'),
}
_OTHER_FIELDS = {
    "channel_id": ('"42"', "42"),
    "users_connected": (
        f"[{_FIVE[0]}]",
        f"[{_FIVE[0]},{_FIVE[1]},null]",
        f'{{"total":1,"connected":[{_FIVE[1]}]}}',
    ),
    "transmit_started": _FIVE,
    "transmit_ended": _FIVE,
    "error": ("true", "false", '"full"'),
    "message": quoted("no such channel"),
    "code": ('"CHANNEL_NOT_FOUND"', "404"),
    "terminated": ("true", "false"),
    "terminating": ("true", "false"),
    "transmit_ack": ("{}",),
}
_SERVER_KEYS = (*_OFFER_FIELDS, *_OTHER_FIELDS, "connected", "total", "user_name", "time")


def _structured_server(rng: Random) -> bytes:
    fields: dict[str, tuple[str, ...]] = dict(_OFFER_FIELDS) if rng.random() < 0.4 else {}
    for key in _OTHER_FIELDS:
        if rng.random() < 0.2:
            fields[key] = _OTHER_FIELDS[key]
    return object_of(rng, fields, 0.1).encode("utf-8", "surrogatepass")


_SERVER_SEEDS = [
    b'{"udp_port": 51234, "udp_host": "203.0.113.9", "websocket_id": 51234, "aes_key": "N/A"}',
    f'{{"udp_port":1,"udp_host":"h","websocket_id":1,"aes_key":"{_KEY_TEXT}"}}'.encode(),
    f'{{"channel_id":"42","users_connected":[{_FIVE[0]},{_FIVE[1]}]}}'.encode(),
    f'{{"users_connected":{{"total":2,"connected":[{_FIVE[0]}]}}}}'.encode(),
    f'{{"transmit_started":{_FIVE[1]}}}'.encode(),
    b'{"error": true, "message": "unknown", "code": "CHANNEL_NOT_FOUND"}',
    b'{"terminated": false, "terminating": true}',
    b"",
    b"Connected to the audio server",
]


run_server = reasons_known(
    _run_server,
    {"bad_key", "bad_port", "bad_host", "bad_members", "bad_transmit", "no_channel", "bad_channel"},
)
generate_server = blend(
    (4, mutator(_SERVER_SEEDS, TOKENS)),
    (5, _structured_server),
    (1, shapeless(_SERVER_KEYS)),
    (0.3, rubbish(2000)),
)


# Client messages


def _run_client(data: bytes) -> bool:
    message = signalling.parse_client_message(data)
    if message.kind is not signalling.ClientKind.OTHER:
        assert 0 < len(message.channel_id) <= 256
        _check_member(message.member)
    # What is relayed must be text, and mean the same to the next reader.
    relayed = json.dumps(message.raw, ensure_ascii=False, allow_nan=False).encode("utf-8")
    if len(relayed) <= signalling.MAX_CLIENT_MESSAGE:
        assert signalling.parse_client_message(relayed) == message
    return message.kind is not signalling.ClientKind.OTHER


_CLIENT_BODY = {
    "affiliation_id": ('"a1"', "7"),
    "user_name": quoted("Süd", "x" * 300),
    "agency_name": quoted("A"),
    "channel_id": ('"42"', "42"),
    "time": ("99", '"99"', "99.5"),
    "file_id": ('"f"',),
}
_CLIENT_KEYS = tuple(str(kind) for kind in signalling.ClientKind)


def _structured_client(rng: Random) -> bytes:
    body = (object_of(rng, _CLIENT_BODY, 0.1),)
    return object_of(rng, {pick(rng, _CLIENT_KEYS): body}, 0.1).encode("utf-8", "surrogatepass")


_ME = signalling.Identity("a1", "Süd", "A")
_CLIENT_SEEDS = [
    signalling.connect(_ME, "42", 99).encode(),
    signalling.disconnect(_ME, "42", 99).encode(),
    signalling.transmit_started(_ME, "42", 99, {"file_id": "f"}).encode(),
    signalling.transmit_ended(_ME, "42", 99, {"start_time": 9}).encode(),
    signalling.file_uploaded("42", "f", "hello", 99).encode(),
]


run_client = reasons_known(_run_client, {"bad_body", "no_channel", "bad_channel"})
generate_client = blend(
    (4, mutator(_CLIENT_SEEDS, TOKENS)),
    (5, _structured_client),
    (1, shapeless((*_CLIENT_KEYS, *_CLIENT_BODY))),
    (0.3, rubbish(2000)),
)
