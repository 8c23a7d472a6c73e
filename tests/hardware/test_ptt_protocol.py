"""Messages between gateway and guard: nothing but what `pack` makes is taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import WireError
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_protocol import Message, pack, unpack

KINDS = [
    protocol.ADD,
    protocol.REMOVE,
    protocol.KEY,
    protocol.UNKEY,
    protocol.PING,
    protocol.ATTACH,
    protocol.COMPLETE,
    protocol.REFUSED,
    protocol.HELLO,
    protocol.STATE,
    protocol.PONG,
]
messages = st.builds(
    Message,
    kind=st.sampled_from(KINDS),
    line=st.integers(0, protocol.MAX_LINES - 1),
    flag=st.integers(0, len(protocol.STATE_NAMES) - 1),
    number=st.integers(0, 65535),
    value=st.integers(0, 2**32 - 1),
    text=st.text(max_size=60),
)


@given(messages)
def test_message_survives(message: Message) -> None:
    assert unpack(pack(message)) == message


@given(messages, st.integers(0, protocol.MAX_MESSAGE))
def test_truncated_message_is_refused(message: Message, length: int) -> None:
    data = pack(message)
    if length < len(data):
        with pytest.raises(WireError):
            unpack(data[:length])


@given(messages, st.binary(min_size=1, max_size=20))
def test_trailing_bytes_are_refused(message: Message, more: bytes) -> None:
    with pytest.raises(WireError):
        unpack(pack(message) + more)


@given(st.binary(max_size=protocol.MAX_MESSAGE + 1))
def test_rubbish_is_refused_or_is_a_message(data: bytes) -> None:
    try:
        message = unpack(data)
    except WireError:
        return
    assert pack(message) == data


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"XX" + pack(Message(protocol.KEY))[2:], "b'XX' version 2"),
        (b"EG\x01" + pack(Message(protocol.KEY))[3:], "version 1, expected b'EG' 2"),
        (b"EG\x02\x63" + pack(Message(protocol.KEY))[4:], "unknown kind 99"),
        (b"EG\x02\x03\x40" + pack(Message(protocol.KEY))[5:], "line 64"),
        (pack(Message(protocol.STATE))[:5] + b"\x09" + pack(Message(protocol.STATE))[6:], "flag 9"),
        (pack(Message(protocol.ADD, text="x"))[:-1] + b"\xff", "not UTF-8"),
    ],
)
def test_refusal_says_what_is_wrong(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        unpack(data)


def test_other_release_is_told_from_rubbish() -> None:
    with pytest.raises(protocol.OtherVersion):
        unpack(b"EG\xff" + pack(Message(protocol.KEY))[3:])
    with pytest.raises(WireError) as refused:
        unpack(b"XX\xff" + pack(Message(protocol.KEY))[3:])
    assert not isinstance(refused.value, protocol.OtherVersion)


def test_field_out_of_range_is_our_own_bug() -> None:
    with pytest.raises(ValueError, match="out of range"):
        pack(Message(protocol.KEY, line=64))
    with pytest.raises(ValueError, match="out of range"):
        pack(Message(protocol.ADD, text="x" * 241))
