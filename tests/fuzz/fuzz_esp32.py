"""Microphones over the network: how a stream begins, its bytes in any pieces, and datagrams in any order."""

from __future__ import annotations

import struct
from random import Random

import numpy as np
from fuzz_json import TOKENS, object_of, quoted, reasons_known
from fuzz_mutate import below, blend, mutator, pick, rubbish

from echostream.audio.sample_forms import SAMPLE_BYTES
from echostream.wire.esp32_hello import MAX_HELLO_BYTES, RATES_HZ, START, Opening
from echostream.wire.esp32_order import MOST_HELD, WAIT_S, DatagramOrder
from echostream.wire.esp32_stream import HEADER_BYTES, SampleAssembler, pack_datagram, parse_datagram

_FORMS = tuple(SAMPLE_BYTES)
_LINES = [
    b'{"hello": "echostream", "device": "porch"}\n',
    b'{"hello":"echostream","device":"porch","token":"t","rate":16000,"format":"s16le","channels":1}\r\n',
    b'{"hello": "echostream", "device": "a", "rate": 48000, "format": "f32le", "channels": 2}\n' + bytes(64),
    b'{"hello": "echostream", "device": "a"}\n{"hello": "echostream", "device": "a"}\n' + bytes(range(64)),
]


def _run_opening(data: bytes) -> bool:
    """In any pieces the same hello and the same audio; what is no hello loses no byte."""
    whole = Opening()
    audio = whole.feed(data)
    pieces, got, at, step = Opening(), b"", 0, 1 + len(data) % 7
    while at < len(data):
        got += pieces.feed(data[at : at + step])
        at += step
    assert pieces.hello == whole.hello
    assert pieces.decided == whole.decided
    assert got == audio
    kept = whole.give_up()
    assert len(kept) < MAX_HELLO_BYTES
    if whole.hello is None:
        assert audio + kept == data
        return not data.startswith(START)
    assert data.endswith(audio + kept)
    hello = whole.hello
    assert hello.rate_hz is None or hello.rate_hz in RATES_HZ
    assert hello.channels in (1, 2)
    assert 0 < len(hello.device) <= 64
    return True


run_opening = reasons_known(
    _run_opening,
    {
        *("not_ours", "bad_device", "bad_token", "bad_rate", "bad_format", "bad_channels"),
        *("hello_again",),
    },
)
_FIELDS = {
    "hello": quoted("echostream", "echostream", "echostream", "other"),
    "device": quoted("porch", "a", "x" * 64, "x" * 65, "..", "-a", "ü"),
    "token": quoted("s3cret", "", "x" * 256),
    "rate": ("8000", "16000", "48000", "48001", "0", "1e4"),
    "format": quoted("s16le", "u8", "f32le", "mp3"),
    "channels": ("1", "2", "3", "true"),
}


def _structured_line(rng: Random) -> bytes:
    line = object_of(rng, _FIELDS, 0.1).encode("utf-8", "surrogatepass")
    if not line.startswith(START):
        line = line.replace(b"{", b'{"hello": "echostream", ', 1)
    return line + pick(rng, (b"\n", b"\r\n", b"")) + rng.randbytes(below(rng, 40))


generate_opening = blend(
    (4, mutator(_LINES, (*TOKENS, START, b"\n"))), (4, _structured_line), (1, rubbish(700))
)


def generate_pieces(rng: Random) -> bytes:
    """One byte chooses the form and the channels, one the length of each piece; the rest is audio."""
    return rng.randbytes(2 + below(rng, 400))


def run_pieces(data: bytes) -> bool:
    """In any pieces the same samples, all of them, and less than one sample kept."""
    if len(data) < 2:
        return False
    form, channels, step = _FORMS[data[0] % 3], 1 + (data[0] >> 7), 1 + data[1] % 61
    body, unit = data[2:], SAMPLE_BYTES[form] * channels
    expected = SampleAssembler(form, channels).feed(body)
    assert expected.size == len(body) // unit
    assembler = SampleAssembler(form, channels)
    got = [assembler.feed(memoryview(body)[at : at + step]) for at in range(0, len(body), step)]
    assert np.array_equal(np.concatenate([np.zeros(0, np.int16), *got]), expected)
    assert assembler.pending_bytes == len(body) % unit
    return True


def run_microphone_datagram(data: bytes) -> bool:
    """What is accepted is written again to the byte, its flags apart."""
    found = parse_datagram(data)
    again = pack_datagram(found.sequence, found.device_ms, found.audio)
    assert again[:10] + again[HEADER_BYTES:] == data[:10] + data[HEADER_BYTES:]
    assert len(found.audio) == 2 * found.samples
    return True


generate_microphone_datagram = blend(
    (4, mutator([pack_datagram(n << 20, n, bytes(2 * n)) for n in (1, 7, 160, 600)], (b"\0\0", b"\xff\xff"))),
    (1, rubbish(60)),
)

_ARRIVAL = struct.Struct("<IBB")  # sequence, samples, ms since the one before


def generate_arrivals(rng: Random) -> bytes:
    """A flow with losses, doubles, jumps and a device that boots."""
    sequence, out = below(rng, 1 << 32), b""
    for _ in range(below(rng, 80)):
        step = pick(rng, (1, 1, 1, 1, 1, 2, 3, 0, -1, -2, 20, 1000, -1000, 1 << 31))
        sequence = (sequence + step) % (1 << 32)
        out += _ARRIVAL.pack(sequence, below(rng, 256), below(rng, 256))
    return out


def run_arrivals(data: bytes) -> bool:
    """Nothing comes out twice but after a new start, nothing is held long, and no loss is negative."""
    order, now, came, went = DatagramOrder(16_000), 0.0, 0, 0
    for sequence, samples, ms in _ARRIVAL.iter_unpack(data[: len(data) - len(data) % _ARRIVAL.size]):
        now += ms / 1000
        packet = parse_datagram(pack_datagram(sequence, 0, bytes(2 * samples + 2)))
        ready = order.arrived(packet, now)
        came, went = came + 1, went + len(ready)
        assert came - order.late - MOST_HELD <= went <= came
        assert all(one.lost >= 0 for one in ready)
    went += len(order.waited(now + 1.01 * WAIT_S))
    assert went <= came
    assert order.flush() == []
    return True
