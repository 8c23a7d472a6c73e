"""Datagrams: what other clients write, what a relay does to them, and what strangers try."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import StateError, WireError
from echostream.wire.crypto import Opener, Sealer
from echostream.wire.packet_v1 import (
    KEEP_ALIVE,
    MAX_DATAGRAM,
    AudioDatagram,
    AudioEncoder,
    KeepAlive,
    OtherDatagram,
    encode_audio,
    parse_datagram,
)
from echostream.wire.strict_text import Malformed

SEALED = bytes(range(80))
B64 = base64.b64encode(SEALED).decode()
CHANNELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=256)


def reason_of(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        parse_datagram(data)
    assert isinstance(caught.value, Malformed)
    assert str(caught.value)
    return caught.value.reason


def test_encoded_form_to_the_byte() -> None:
    expected = b'{"channel_id":"42","type":"audio","data":"' + B64.encode() + b'"}'
    assert encode_audio("42", SEALED) == expected
    assert AudioEncoder("42").encode(SEALED) == expected
    assert KEEP_ALIVE == b'{"type":"KEEP_ALIVE"}'


@given(CHANNELS, st.binary(min_size=29, max_size=2000))
def test_round_trip(channel_id: str, sealed: bytes) -> None:
    assert parse_datagram(encode_audio(channel_id, sealed)) == AudioDatagram(channel_id, sealed)


@given(CHANNELS, st.binary(min_size=29, max_size=600), st.booleans(), st.integers(0, 3))
def test_survives_a_relay_that_parses_and_writes_again(
    channel_id: str, sealed: bytes, ascii_only: bool, indent: int
) -> None:
    message = json.loads(encode_audio(channel_id, sealed))
    message = {"relay": {"hop": [1, 2.5, None]}, **dict(reversed(message.items()))}
    again = json.dumps(message, ensure_ascii=ascii_only, indent=indent).encode()
    assert parse_datagram(again) == AudioDatagram(channel_id, sealed)


def test_a_datagram_as_another_client_writes_it() -> None:
    """Integer channel, base64 in lines of 76 escaped as a JSON writer does, no padding, keys of its own."""
    sealed = Sealer(bytes(32), b"phone1").seal(0x123456789ABC, b"\xf8\xff\xfe" * 30)
    body = base64.encodebytes(sealed).decode().rstrip("\n=")
    assert "\n" in body
    data = (
        '{ "data" : "' + body.replace("\n", "\\n") + '",\r\n  "seq": 17, "codec": {"name": "opus"},\n'
        '  "type" : "audio" , "channel_id" : 555 }\n'
    ).encode()
    datagram = parse_datagram(data)
    assert datagram == AudioDatagram("555", sealed)
    assert Opener(bytes(32)).open(datagram.sealed) == (
        b"phone1\x12\x34\x56\x78\x9a\xbc",
        b"\xf8\xff\xfe" * 30,
    )


@pytest.mark.parametrize("space", ["\n", "\r\n", " ", "\t", "\\n", "\\r\\n", "\\t", "\\u000a"])
def test_line_breaks_in_base64_raw_or_escaped(space: str) -> None:
    text = space.join(B64[n : n + 7] for n in range(0, len(B64), 7))
    data = f'{{"channel_id":"c","type":"audio","data":"{space}{text}{space}"}}'.encode()
    assert parse_datagram(data) == AudioDatagram("c", SEALED)


@pytest.mark.parametrize("size", [29, 30, 31, 32])
def test_missing_padding(size: int) -> None:
    text = base64.b64encode(SEALED[:size]).decode()
    for padding in range(text.count("=") + 1):
        cut = text[: len(text) - padding]
        data = f'{{"channel_id":"c","type":"audio","data":"{cut}"}}'.encode()
        assert parse_datagram(data) == AudioDatagram("c", SEALED[:size])


@pytest.mark.parametrize(
    ("text", "channel_id"),
    [
        ('"42"', "42"),
        ("42", "42"),
        ("-1", "-1"),
        ("0", "0"),
        ('"Zentrale Süd"', "Zentrale Süd"),
        ('"\\u00fc"', "ü"),
    ],
)
def test_channel_as_string_or_integer(text: str, channel_id: str) -> None:
    data = f'{{"channel_id":{text},"type":"audio","data":"{B64}"}}'.encode()
    assert parse_datagram(data) == AudioDatagram(channel_id, SEALED)


def test_keep_alive_with_other_keys_and_spacing() -> None:
    assert parse_datagram(KEEP_ALIVE) == KeepAlive()
    assert parse_datagram(b' { "type" : "KEEP_ALIVE" , "from": "x" }\n') == KeepAlive()


def test_a_type_of_later_times_is_told_not_refused() -> None:
    assert parse_datagram(b'{"type":"video","data":[1]}') == OtherDatagram("video")
    assert parse_datagram(b'{"type":"keep_alive"}') == OtherDatagram("keep_alive")


def test_every_truncation_is_refused() -> None:
    data = encode_audio("a channel", SEALED)
    assert {reason_of(data[:size]) for size in range(len(data))} == {"not_json"}


def test_every_truncation_of_a_key_and_value_is_refused_or_still_means_what_it_says() -> None:
    """Cut inside the base64 and closed again, as a careless relay would."""
    head, tail = encode_audio("c", SEALED).split(B64.encode())
    for size in range(len(B64)):
        data = head + B64[:size].encode() + tail
        try:
            datagram = parse_datagram(data)
        except WireError:
            continue
        assert isinstance(datagram, AudioDatagram)
        assert SEALED.startswith(datagram.sealed[:-1])


@pytest.mark.parametrize("rubbish", [b"x", b"\0", b"{}", b'{"type":"KEEP_ALIVE"}', b"\xff", b","])
def test_rubbish_appended_is_refused(rubbish: bytes) -> None:
    assert reason_of(encode_audio("c", SEALED) + rubbish) in ("not_json", "not_utf8")
    assert reason_of(KEEP_ALIVE + rubbish) in ("not_json", "not_utf8")


def audio(**changes: object) -> bytes:
    message: dict[str, object] = {"channel_id": "c", "type": "audio", "data": B64, **changes}
    return json.dumps({key: value for key, value in message.items() if value != "GONE"}).encode()


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        ("not_json", b""),
        ("not_json", b"hello"),
        ("not_json", b"{"),
        ("not_json", b"\xef\xbb\xbf" + KEEP_ALIVE),
        ("not_json", b"{'type':'audio'}"),
        ("not_json", b'{"type":"audio",}'),
        ("not_utf8", b"\xff\xfe{"),
        ("not_utf8", KEEP_ALIVE.decode().encode("utf-16")),
        ("not_utf8", b'{"type":"\xed\xa0\x80"}'),
        ("not_object", b"[]"),
        ("not_object", b'"audio"'),
        ("not_object", b"17"),
        ("not_object", b"null"),
        ("duplicate_key", b'{"type":"audio","type":"KEEP_ALIVE"}'),
        ("duplicate_key", b'{"type":"KEEP_ALIVE","x":{"a":1,"\\u0061":2}}'),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":NaN}'),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":Infinity}'),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":[-Infinity]}'),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":1e999}'),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":' + b"9" * 21 + b"}"),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":' + b"9" * 8000 + b"}"),
        ("bad_number", b'{"type":"KEEP_ALIVE","x":0.' + b"9" * 8000 + b"}"),
        ("bad_number", audio(channel_id=10**30)),
        ("too_deep", b'{"x":' + b"[" * 4000 + b"]" * 4000 + b"}"),
        ("too_deep", b'{"a":' * 1300 + b"1" + b"}" * 1300),
        ("too_deep", b'{"type":"KEEP_ALIVE","x":' + b"[" * 40 + b"]" * 40 + b"}"),
        ("lone_surrogate", b'{"type":"\\ud800"}'),
        ("lone_surrogate", b'{"type":"KEEP_ALIVE","x":["\\uDFFF"]}'),
        ("lone_surrogate", b'{"type":"KEEP_ALIVE","\\ud800":1}'),
        ("lone_surrogate", b'{"channel_id":"\\ud800","type":"audio","data":"' + B64.encode() + b'"}'),
        ("no_type", b"{}"),
        ("no_type", audio(type=None)),
        ("bad_type", audio(type=1)),
        ("bad_type", audio(type=["audio"])),
        ("bad_type", audio(type="t" * 257)),
        ("no_channel", audio(channel_id="GONE")),
        ("no_channel", audio(channel_id=None)),
        ("bad_channel", audio(channel_id="")),
        ("bad_channel", audio(channel_id=True)),
        ("bad_channel", audio(channel_id=1.5)),
        ("bad_channel", audio(channel_id=["c"])),
        ("bad_channel", audio(channel_id="c" * 257)),
        ("no_data", audio(data="GONE")),
        ("no_data", audio(data=17)),
        ("no_data", audio(data=[B64])),
        ("bad_base64", audio(data=B64[:-4] + "-_-_")),
        ("bad_base64", audio(data="=" + B64)),
        ("bad_base64", audio(data=B64 + "====")),
        ("bad_base64", audio(data=B64[:20] + "==" + B64[20:])),
        ("bad_base64", audio(data=B64 + "A=A=")),
        ("bad_base64", audio(data=B64.rstrip("=") + "é")),
        ("bad_base64", audio(data=B64 + "\0")),
        ("bad_base64", audio(data="A" * 41)),
        ("too_short", audio(data="")),
        ("too_short", audio(data="\n \t")),
        ("too_short", audio(data=base64.b64encode(bytes(28)).decode())),
        ("too_long", b" " * MAX_DATAGRAM + KEEP_ALIVE),
        ("too_long", bytes(65_507)),
    ],
)
def test_hazards_each_with_its_reason(reason: str, data: bytes) -> None:
    assert reason_of(data) == reason


def test_a_whole_surrogate_pair_is_text() -> None:
    data = b'{"type":"audio","channel_id":"\\ud83d\\ude92","data":"' + B64.encode() + b'"}'
    assert parse_datagram(data) == AudioDatagram("🚒", SEALED)
    assert parse_datagram(b'{"type":"\\\\ud800"}') == OtherDatagram("\\ud800")


def test_longest_datagram_is_read() -> None:
    data = KEEP_ALIVE + b" " * (MAX_DATAGRAM - len(KEEP_ALIVE))
    assert len(data) == MAX_DATAGRAM
    assert parse_datagram(data) == KeepAlive()


@given(st.binary(max_size=300))
def test_rubbish_raises_nothing_but_a_wire_error(data: bytes) -> None:
    with contextlib.suppress(WireError):
        parse_datagram(data)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_under_any_key_raises_nothing_but_a_wire_error(value: object) -> None:
    for key in ("channel_id", "type", "data", "other"):
        with contextlib.suppress(WireError):
            parse_datagram(audio(**{key: value}))


@pytest.mark.parametrize("channel_id", ["", "c" * 257, "\ud800"])
def test_encoder_refuses_a_channel_the_format_cannot_carry(channel_id: str) -> None:
    with pytest.raises(StateError, match="channel_id"):
        AudioEncoder(channel_id)


@pytest.mark.parametrize("size", [0, 28, 6200, 10_000])
def test_encoder_refuses_what_no_peer_would_take(size: int) -> None:
    with pytest.raises(StateError, match=r"sealed|datagram"):
        AudioEncoder("c").encode(bytes(size))


def test_quotes_and_controls_in_a_channel_id_cannot_break_out() -> None:
    channel_id = 'x","type":"KEEP_ALIVE","y":"\n\\'
    assert parse_datagram(encode_audio(channel_id, SEALED)) == AudioDatagram(channel_id, SEALED)
