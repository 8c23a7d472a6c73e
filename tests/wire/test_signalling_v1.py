"""Signalling: builders to the byte, both forms of what servers send, and what strangers put into it."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import StateError, WireError
from echostream.events import (
    Event,
    Member,
    PeersChanged,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SessionOffered,
)
from echostream.wire import signalling_v1 as signalling
from echostream.wire.signalling_v1 import (
    MAX_CLIENT_MESSAGE,
    MAX_SERVER_MESSAGE,
    ClientKind,
    Identity,
    Ignored,
    parse_client_message,
    parse_server_message,
)
from echostream.wire.strict_text import Malformed

ME = Identity("aff-1", "Gate Süd", "Agency")
KEY = bytes(range(32))
FIVE = {
    "affiliation_id": "aff-1",
    "user_name": "Gate Süd",
    "agency_name": "Agency",
    "channel_id": "42",
    "time": 99,
}
MEMBER = Member("aff-1", "Gate Süd", "Agency", 99.0)
OFFER = {"udp_port": 51234, "udp_host": "203.0.113.9", "websocket_id": 51234, "aes_key": "N/A"}


def server(message: object) -> list[Event | Ignored]:
    return parse_server_message(json.dumps(message))


def reason_of(text: str | bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse_server_message(text)
    assert isinstance(caught.value, Malformed)
    return caught.value.reason


# What we send


@pytest.mark.parametrize("name", ["connect", "transmit_started", "transmit_ended"])
def test_the_five_keys(name: str) -> None:
    text = getattr(signalling, name)(ME, "42", 99.7)
    assert json.loads(text) == {name: FIVE}
    assert text.isascii()


def test_disconnect_has_its_own_keys() -> None:
    text = signalling.disconnect(ME, "42", 99.7)
    assert json.loads(text) == {"disconnect": {"affiliation_id": "aff-1", "channel_id": "42", "time": 99}}


def test_file_uploaded_has_its_own_keys() -> None:
    body = {"channel_id": "42", "file_id": "f", "transcription": "hello", "time": 99}
    assert json.loads(signalling.file_uploaded("42", "f", "hello", 99.7)) == {"file_uploaded": body}


def test_extra_keys_as_other_clients_send_them() -> None:
    started = signalling.transmit_started(ME, "42", 99, {"file_id": "f-1"})
    ended = signalling.transmit_ended(ME, "42", 99, {"start_time": 90})
    assert json.loads(started) == {"transmit_started": {**FIVE, "file_id": "f-1"}}
    assert json.loads(ended) == {"transmit_ended": {**FIVE, "start_time": 90}}


def test_extra_keys_never_overwrite_the_messages_own() -> None:
    with pytest.raises(StateError, match="channel_id"):
        signalling.connect(ME, "42", 99, {"channel_id": "43"})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=64))
def test_what_we_send_a_server_of_ours_reads(name: str) -> None:
    message = parse_client_message(signalling.connect(Identity("a", name, "b"), "c", 5))
    assert (message.kind, message.channel_id, message.member.affiliation_id) == ("connect", "c", "a")
    body = message.raw["connect"]
    assert isinstance(body, dict)
    assert body["user_name"] == name


# What servers send


def test_offer_without_key() -> None:
    assert server(OFFER) == [SessionOffered("203.0.113.9", 51234, 51234, None)]


def test_offer_with_key_which_is_never_shown() -> None:
    text = base64.b64encode(KEY).decode()
    (offer,) = server({**OFFER, "aes_key": text})
    assert offer == SessionOffered("203.0.113.9", 51234, 51234, KEY)
    assert text not in repr(offer)
    assert KEY.hex() not in repr(offer)


@pytest.mark.parametrize("key", [None, "N/A", "n/a", " N/A ", ""])
def test_every_way_of_offering_no_key(key: object) -> None:
    assert server({**OFFER, "aes_key": key}) == [SessionOffered("203.0.113.9", 51234, 51234, None)]


def test_offer_of_servers_that_write_numbers_as_strings_or_leave_keys_out() -> None:
    assert server({"udp_port": "51234", "udp_host": "relay.example.org", "websocket_id": "ws-7"}) == [
        SessionOffered("relay.example.org", 51234, "ws-7", None)
    ]
    assert server({"udp_port": 51234, "udp_host": "2001:db8::1"}) == [
        SessionOffered("2001:db8::1", 51234, 51234, None)
    ]


@pytest.mark.parametrize(
    "port", [0, -1, 65536, True, None, "", "x", "²", "5 1", 1.5, [1], "9" * 5000, 10**19]
)
def test_bad_port(port: object) -> None:
    assert reason_of(json.dumps({**OFFER, "udp_port": port})) == "bad_port"


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        " ",
        17,
        "a b",
        "a\nb",
        "ä.example",
        "x" * 64,
        "a..b",
        ".",
        "a/b",
        "x." * 200,
        ":" * 300,
        ["h"],
    ],
)
def test_bad_host_that_would_trip_a_resolver(host: object) -> None:
    assert reason_of(json.dumps({**OFFER, "udp_host": host})) == "bad_host"


def test_a_host_of_half_a_megabyte_takes_no_time() -> None:
    assert reason_of(json.dumps({**OFFER, "udp_host": ":" * 500_000})) == "bad_host"


@pytest.mark.parametrize("key", ["AAAA", 17, "?" * 44, base64.b64encode(bytes(16)).decode(), ["k"], "N/B"])
def test_bad_key_is_an_error_and_never_no_key(key: object) -> None:
    assert reason_of(json.dumps({**OFFER, "aes_key": key})) == "bad_key"


def test_members_in_both_forms() -> None:
    member = {key: value for key, value in FIVE.items() if key != "channel_id"}
    assert server({"channel_id": "42", "users_connected": [member]}) == [PeersChanged("42", (MEMBER,))]
    assert server({"channel_id": 42, "users_connected": []}) == [PeersChanged("42", ())]
    assert server({"users_connected": {"total": 1, "connected": [member]}}) == [PeersChanged("", (MEMBER,))]
    assert server({"channel_id": "42", "users_connected": {"total": 0, "connected": []}}) == [
        PeersChanged("42", ())
    ]


def test_members_of_odd_shapes_are_left_out_or_made_plain() -> None:
    users = ["x", None, 17, {}, {"affiliation_id": 7, "user_name": ["x"], "time": "12.5"}, {"time": "soon"}]
    assert server({"channel_id": "c", "users_connected": users}) == [
        PeersChanged("c", (Member("", "", ""), Member("7", "", "", 12.5), Member("", "", "")))
    ]


@pytest.mark.parametrize("time", [True, -5, 1e300, "nan", "inf", "9" * 1000, [], {}, "1_0" * 90])
def test_a_time_that_is_none_is_zero(time: object) -> None:
    (peers,) = server({"channel_id": "c", "users_connected": [{"time": time}]})
    assert peers == PeersChanged("c", (Member("", "", ""),))


def test_a_crowd_of_strangers_is_capped() -> None:
    users = [{"affiliation_id": f"{n}", "user_name": "x" * 500} for n in range(1500)]
    (peers,) = server({"channel_id": "c", "users_connected": users})
    assert isinstance(peers, PeersChanged)
    assert len(peers.members) == 1000
    assert {len(member.user_name) for member in peers.members} == {256}


def test_names_cannot_rewrite_a_terminal() -> None:
    user = {"user_name": "\x1b[2J\x1b]0;title\x07Bob\u202egnp\u2028x\x9b", "agency_name": "a\r\nb"}
    (peers,) = server({"channel_id": "c", "users_connected": [user]})
    assert peers == PeersChanged("c", (Member("", "[2J ]0;title Bob gnp x", "a b"),))


@pytest.mark.parametrize("users", [None, 17, "x", True, {}, {"connected": 5}, {"total": 1}])
def test_bad_members(users: object) -> None:
    assert reason_of(json.dumps({"channel_id": "c", "users_connected": users})) == "bad_members"


@pytest.mark.parametrize(("key", "started"), [("transmit_started", True), ("transmit_ended", False)])
def test_relayed_push_to_talk(key: str, started: bool) -> None:
    expected = [RemoteTransmit("42", MEMBER, started)]
    assert server({key: {**FIVE, "file_id": "f", "start_time": 1}}) == expected
    assert server({key: {**FIVE, "channel_id": 42}}) == expected
    body = {name: value for name, value in FIVE.items() if name != "channel_id"}
    assert server({key: body, "channel_id": "42"}) == expected


def test_relayed_push_to_talk_that_names_no_channel() -> None:
    assert reason_of('{"transmit_started":{}}') == "no_channel"
    assert reason_of('{"transmit_started":true}') == "bad_transmit"
    assert reason_of('{"transmit_ended":{"channel_id":[]}}') == "bad_channel"


def test_refusal() -> None:
    assert server({"error": True, "message": "no such channel", "code": "CHANNEL_NOT_FOUND"}) == [
        ServerRefused("CHANNEL_NOT_FOUND", "no such channel")
    ]
    assert server({"error": "full", "code": 503}) == [ServerRefused("503", "full")]
    assert server({"error": False, "code": "OK"}) == [Ignored("unknown")]


def test_draining() -> None:
    assert server({"terminated": False, "terminating": True}) == [ServerDraining(terminated=False)]
    assert server({"terminated": True, "terminating": False}) == [ServerDraining(terminated=True)]
    assert server({"terminated": "true"}) == [ServerDraining(terminated=True)]
    assert server({"terminated": False, "terminating": False}) == [Ignored("unknown")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (b"", "empty"),
        ("\n", "empty"),
        ("Connected!", "bare_text"),
        ("[1,2]", "bare_text"),
        ("null", "bare_text"),
        ('{"transmit_ack":{"ok":true}}', "transmit_ack"),
        ("{}", "unknown"),
        ('{"hello":1}', "unknown"),
    ],
)
def test_what_means_nothing_is_ignored_with_a_reason(text: str | bytes, reason: str) -> None:
    assert parse_server_message(text) == [Ignored(reason)]


def test_combined_keys_give_an_event_each() -> None:
    message = {
        **OFFER,
        "channel_id": "42",
        "users_connected": [],
        "terminating": True,
        "transmit_ended": FIVE,
    }
    assert server(message) == [
        SessionOffered("203.0.113.9", 51234, 51234, None),
        PeersChanged("42", ()),
        RemoteTransmit("42", MEMBER, started=False),
        ServerDraining(terminated=False),
    ]


def test_every_truncation_of_an_offer_is_refused() -> None:
    text = json.dumps(OFFER)
    assert {reason_of(text[:size]) for size in range(1, len(text))} == {"not_json"}


def test_rubbish_appended_is_refused() -> None:
    for rubbish in ("x", "{}", "\0", json.dumps(OFFER)):
        assert reason_of(json.dumps(OFFER) + rubbish) == "not_json"


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("not_utf8", b"\xff\xfe"),
        ("not_utf8", "\ud800"),
        ("not_utf8", '{"a":"\ud800"}'),
        ("lone_surrogate", '{"a":"\\udc00"}'),
        ("duplicate_key", '{"udp_port":1,"udp_port":2}'),
        ("bad_number", '{"udp_port":NaN}'),
        ("bad_number", '{"udp_port":1e400}'),
        ("bad_number", '{"udp_port":' + "1" * 5000 + "}"),
        ("too_deep", '{"a":' * 100_000 + "1" + "}" * 100_000),
        ("too_deep", '{"a":' + "[" * 900 + "]" * 900 + "}"),
        ("too_long", "x" * (MAX_SERVER_MESSAGE + 1)),
        ("too_long", "é" * (MAX_SERVER_MESSAGE // 2 + 1)),
    ],
)
def test_hazards_each_with_its_reason(reason: str, text: str | bytes) -> None:
    assert reason_of(text) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
KEYS = st.sampled_from(
    [*OFFER, *FIVE, "users_connected", "connected", "error", "message", "code", "terminated", "terminating"]
    + [str(kind) for kind in ClientKind]
)
MESSAGES = st.dictionaries(KEYS, JSON | st.dictionaries(KEYS, JSON, max_size=5), max_size=5)


@given(MESSAGES)
def test_any_json_under_known_keys_raises_nothing_but_a_wire_error(message: dict[str, object]) -> None:
    text = json.dumps(message)
    for parse in (parse_server_message, parse_client_message):
        with contextlib.suppress(WireError):
            parse(text)


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_rubbish_raises_nothing_but_a_wire_error(text: str | bytes) -> None:
    for parse in (parse_server_message, parse_client_message):
        with contextlib.suppress(WireError):
            parse(text)


# What clients send, as a server reads it


@pytest.mark.parametrize(
    "kind", ["connect", "disconnect", "transmit_started", "transmit_ended", "file_uploaded"]
)
def test_client_kinds_keep_every_key_for_the_relay(kind: str) -> None:
    raw = {kind: {**FIVE, "file_id": "f", "x": {"y": [1, 2.5, None, "ü"]}}, "outer": True}
    message = parse_client_message(json.dumps(raw))
    assert (message.kind, message.channel_id, message.member) == (kind, "42", MEMBER)
    assert message.raw == raw
    assert list(message.raw) == list(raw)


def test_client_of_another_make() -> None:
    message = parse_client_message(b'{"x":1,"disconnect":{"channel_id":42,"affiliation_id":7}}')
    assert (message.kind, message.channel_id, message.member) == ("disconnect", "42", Member("7", "", ""))


def test_unknown_objects_are_other() -> None:
    message = parse_client_message('{"hello":{"channel_id":"c"}}')
    assert (message.kind, message.channel_id, message.raw) == ("other", "", {"hello": {"channel_id": "c"}})
    assert parse_client_message('{"other":{"channel_id":"c"}}').kind is ClientKind.OTHER


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("not_json", ""),
        ("not_json", "hello"),
        ("not_object", "[]"),
        ("bad_body", '{"connect":"42"}'),
        ("bad_body", '{"connect":null}'),
        ("no_channel", '{"connect":{}}'),
        ("bad_channel", '{"connect":{"channel_id":{}}}'),
        ("too_long", " " * MAX_CLIENT_MESSAGE + "{}"),
    ],
)
def test_client_messages_that_are_none(reason: str, text: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_client_message(text)
    assert caught.value.reason == reason


def test_every_truncation_of_a_client_message_is_refused() -> None:
    text = signalling.connect(ME, "42", 99)
    for size in range(len(text)):
        with pytest.raises(Malformed):
            parse_client_message(text[:size])
