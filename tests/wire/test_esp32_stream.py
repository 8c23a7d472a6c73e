"""Bytes of microphones: any chunks give the same samples; a hello is read whole, in pieces, or not at all."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.audio.sample_forms import SAMPLE_BYTES, SampleFormat
from echostream.wire.esp32_hello import MAX_HELLO_BYTES, START, Hello, Opening, parse_hello
from echostream.wire.esp32_stream import (
    HEADER_BYTES,
    Datagram,
    SampleAssembler,
    pack_datagram,
    parse_datagram,
)
from echostream.wire.strict_text import Malformed

FORMATS = st.sampled_from(get_args(SampleFormat))
LINE = (
    b'{"hello": "echostream", "device": "porch", "token": "s3cret", "rate": 16000, '
    b'"format": "s16le", "channels": 1}\n'
)
PORCH = Hello("porch", "s3cret", 16_000, "s16le", 1)


def hello(**changes: object) -> bytes:
    fields = {"hello": "echostream", "device": "porch", **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode() + b"\n"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def opened(chunks: list[bytes]) -> tuple[Hello | None, bytes]:
    opening = Opening()
    audio = b"".join(opening.feed(chunk) for chunk in chunks)
    return opening.hello, audio + opening.give_up()


# Samples


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=20), FORMATS, st.sampled_from([1, 2]))
def test_any_chunks_give_the_same_samples(
    data: bytes, cuts: list[int], form: SampleFormat, channels: int
) -> None:
    whole, cut = SampleAssembler(form, channels), SampleAssembler(form, channels)
    expected = whole.feed(data)
    got = [cut.feed(memoryview(piece)) for piece in pieces(data, cuts)]
    assert np.array_equal(np.concatenate([np.zeros(0, np.int16), *got]), expected)
    unit = SAMPLE_BYTES[form] * channels
    assert expected.dtype == np.int16
    assert expected.size == len(data) // unit
    assert whole.pending_bytes == cut.pending_bytes == len(data) % unit


def test_sixteen_bits_pass_to_the_bit_in_memory_of_their_own() -> None:
    sent = np.arange(-32768, 32768, dtype=np.int16)
    buffer = bytearray(sent.tobytes())
    samples = SampleAssembler("s16le").feed(memoryview(buffer))
    buffer[:] = bytes(len(buffer))
    assert np.array_equal(samples, sent)


@pytest.mark.parametrize(
    ("form", "data", "expected"),
    [
        ("u8", b"\x00\x80\xff", [-32768, 0, 32512]),
        (
            "f32le",
            np.array([0, 1, -1, 0.5, 9e30, -np.inf, np.nan], "<f4").tobytes(),
            [0, 32767, -32768, 16384, 32767, -32768, 0],
        ),
    ],
)
def test_other_forms_become_sixteen_bits(form: SampleFormat, data: bytes, expected: list[int]) -> None:
    assert SampleAssembler(form).feed(data).tolist() == expected


def test_stereo_is_averaged_without_overflow() -> None:
    pairs = np.array([32767, 32767, -32768, -32768, 100, 200, -1, 0], "<i2")
    assert SampleAssembler("s16le", 2).feed(pairs.tobytes()).tolist() == [32767, -32768, 150, -1]


def test_more_than_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="channels 3"):
        SampleAssembler("s16le", 3)


# The hello line


@given(st.lists(st.integers(0, 200), max_size=30), st.binary(max_size=60))
def test_a_hello_in_any_pieces_is_the_same_and_what_follows_is_audio(cuts: list[int], audio: bytes) -> None:
    if audio.startswith(START[:1]):
        audio = b"\0" + audio
    assert opened(pieces(LINE + audio, cuts)) == (PORCH, audio)


def test_byte_by_byte() -> None:
    data = LINE + b"\x01\x02\x03"
    assert opened([data[at : at + 1] for at in range(len(data))]) == (PORCH, b"\x01\x02\x03")


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=10))
def test_what_is_no_hello_is_audio_to_the_byte(audio: bytes, cuts: list[int]) -> None:
    if audio.startswith(START):
        audio = audio[1:]
    assert opened(pieces(audio, cuts)) == (None, audio)


@given(st.integers(1, len(START) - 1), st.binary(min_size=1, max_size=20))
def test_audio_that_begins_as_a_hello_does_loses_no_byte(count: int, rest: bytes) -> None:
    data = START[:count] + rest
    if data.startswith(START):
        return
    assert opened([data[:count], rest]) == (None, data)


def test_silence_after_the_first_letters_makes_them_audio() -> None:
    opening = Opening()
    assert opening.feed(START[:5]) == b""
    assert not opening.decided
    assert not opening.waits_for_line
    assert opening.give_up() == START[:5]
    assert opening.feed(b"more") == b"more"


def test_the_same_hello_twice_is_one_and_a_different_one_is_refused() -> None:
    assert opened([LINE, LINE, b"xyz"]) == (PORCH, b"xyz")
    with pytest.raises(Malformed) as caught:
        opened([LINE, hello(device="other")])
    assert caught.value.reason == "hello_again"


def test_a_line_without_end_is_refused_at_its_limit_not_before() -> None:
    opening = Opening()
    assert opening.feed(START + b"x" * (MAX_HELLO_BYTES - len(START) - 1)) == b""
    assert opening.waits_for_line
    with pytest.raises(Malformed) as caught:
        opening.feed(b"x")
    assert caught.value.reason == "too_long"


def test_the_longest_line_is_read() -> None:
    line = hello(remark="")
    line = hello(remark="x" * (MAX_HELLO_BYTES - len(line)))
    assert len(line) == MAX_HELLO_BYTES
    assert opened([line]) == (Hello("porch"), b"")


def test_little_must_be_said_and_unknown_keys_are_passed_over() -> None:
    assert parse_hello(b'{"hello":"echostream","device":"a","firmware":"1.2"}\r\n') == Hello("a")
    assert parse_hello(hello(channels=2, rate=8000)) == Hello("porch", None, 8000, None, 2)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (hello(hello="other"), "not_ours"),
        (hello(device=...), "bad_device"),
        (hello(device=""), "bad_device"),
        (hello(device="../etc"), "bad_device"),
        (hello(device="-x"), "bad_device"),
        (hello(device="a" * 65), "bad_device"),
        (hello(device="a\nb"), "bad_device"),
        (hello(device="a\n"), "bad_device"),
        (hello(device=7), "bad_device"),
        (hello(token=7), "bad_token"),
        (hello(token="x" * 257), "bad_token"),
        (hello(rate=7999), "bad_rate"),
        (hello(rate=48_001), "bad_rate"),
        (hello(rate="16000"), "bad_rate"),
        (hello(rate=16000.0), "bad_rate"),
        (hello(rate=True), "bad_rate"),
        (hello(format="mp3"), "bad_format"),
        (hello(format=["s16le"]), "bad_format"),
        (hello(channels=3), "bad_channels"),
        (hello(channels=0), "bad_channels"),
        (hello(channels=True), "bad_channels"),
        (b'{"hello": "echostream", "device": "a", "device": "b"}\n', "duplicate_key"),
        (b'{"hello": "echostream", "device": \n', "not_json"),
        (b'{"hello\xff": 1}\n', "not_utf8"),
    ],
)
def test_what_does_not_hold_is_refused_with_its_reason(line: bytes, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_hello(line)
    assert caught.value.reason == reason


@given(st.binary(max_size=600))
def test_any_line_gives_a_hello_or_malformed_and_never_the_token(rest: bytes) -> None:
    secret = "a-token-nobody-may-see"
    line = b'{"hello": "echostream", "token": "' + secret.encode() + b'", "device": ' + rest
    try:
        said = repr(parse_hello(line))
    except Malformed as error:
        said = str(error)
    assert secret not in said


# Datagrams


def test_a_datagram_to_the_byte() -> None:
    data = pack_datagram(0x01020304, 0x05060708, b"\x10\x00\x20\x00\x30\x00")
    assert data == bytes.fromhex("04030201 08070605 0300 0000 100020003000")
    assert parse_datagram(data) == Datagram(0x01020304, 0x05060708, 3, 0, b"\x10\x00\x20\x00\x30\x00")


@given(st.integers(0, 2**40), st.binary(min_size=1, max_size=300), FORMATS)
def test_datagrams_round_trip_and_rubbish_behind_is_refused(
    sequence: int, audio: bytes, form: SampleFormat
) -> None:
    audio = audio * SAMPLE_BYTES[form]
    data = pack_datagram(sequence, sequence, audio, form)
    found = parse_datagram(data, form)
    assert (found.sequence, found.audio) == (sequence % 2**32, audio)
    for wrong in (data + b"\0", data[:-1]):
        with pytest.raises(Malformed):
            parse_datagram(wrong, form)


@given(st.binary(max_size=HEADER_BYTES))
def test_a_header_alone_is_no_datagram(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_datagram(data)
