"""The audio path: Opus packets, byte streams, and whatever a holder of the key puts into a packet."""

from __future__ import annotations

import struct
from functools import lru_cache
from random import Random

import numpy as np
from fuzz_mutate import Generator, blend, mutator, rubbish

from echostream.audio.format import RATE_HZ, TICK_SAMPLES
from echostream.audio.framer import Framer
from echostream.audio.opus_codec import EncoderSettings, OpusDecoder, OpusEncoder, has_fec, packet_samples
from echostream.channels.receive_path import ReceivePath
from echostream.errors import CodecError

_LONGEST_SAMPLES = 5760
_FORMATS = ("s16le", "u8", "f32le")


def _packets() -> list[bytes]:
    encoder = OpusEncoder(EncoderSettings(bitrate_bps=24_000, expected_loss_percent=20))
    t = np.arange(10 * TICK_SAMPLES) / RATE_HZ
    voice = (6000 * np.sin(2 * np.pi * 180 * t) * (1 + np.sin(2 * np.pi * 4 * t))).astype(np.int16)
    packets = [encoder.encode(frame) for frame in voice.reshape(-1, TICK_SAMPLES)]
    encoder.close()
    return packets


_SEEDS = [*_packets(), b"\xfb\x05\x01\x02\x03\x04\x05", b"\xf8", b"\x08\x00", b"\xff\x41\x02\x01\x00\x00"]
_TOKENS = [b"\x00", b"\xff", b"\xfb\x30", b"\x03\xff\xff", b"\xff\x81"]

generate_opus: Generator = blend((3, mutator(_SEEDS, _TOKENS)), (1, rubbish(200)))


@lru_cache(maxsize=1)
def _decoder() -> OpusDecoder:
    return OpusDecoder()


def run_opus(data: bytes) -> bool:
    """Any bytes give samples of the length that the header says, or CodecError."""
    samples = packet_samples(data)
    assert 0 < samples <= _LONGEST_SAMPLES
    assert has_fec(data) in (True, False)
    try:
        decoded = _decoder().decode(data)
    except CodecError:
        return False  # a header may be right over a body that is not
    assert decoded.shape == (samples,)
    assert decoded.dtype == np.int16
    return True


def generate_stream(rng: Random) -> bytes:
    """One byte chooses the format, two the length of each chunk; the rest is audio."""
    return rng.randbytes(3 + int(rng.random() * 400))


def run_framer(data: bytes) -> bool:
    """In chunks of any size: the same frames as in one piece, and never more than was put in."""
    if len(data) < 3:
        return False
    sample_format = _FORMATS[data[0] % 3]
    chunk = 1 + struct.unpack_from("<H", data, 1)[0] % 97
    body = data[3:]
    whole, pieces = Framer(16, sample_format), Framer(16, sample_format)  # type: ignore[arg-type]
    expected = whole.push(body) + whole.flush()
    got = [frame for at in range(0, len(body), chunk) for frame in pieces.push(body[at : at + chunk])]
    got += pieces.flush()
    assert len(got) == len(expected)
    for one, other in zip(got, expected, strict=True):
        assert np.array_equal(one, other)
    return True


_STEP = struct.Struct("<BBHB")  # sender, packet, tick step, time step in ms


def generate_talk(rng: Random) -> bytes:
    """A conversation of up to 40 packets: senders, packets, jumps of the tick, pauses."""
    return rng.randbytes(_STEP.size * (1 + int(rng.random() * 40)))


def run_talk(data: bytes) -> bool:
    """Whatever holders of the key send: every pull is one finite frame of exact length."""
    path = ReceivePath(20, 20, 320)
    now = 1000.0
    ticks = dict.fromkeys(range(4), 1 << 40)
    for at in range(0, len(data) - _STEP.size + 1, _STEP.size):
        sender, choice, jump, pause_ms = _STEP.unpack_from(data, at)
        who = sender % 4
        ticks[who] = (ticks[who] + (jump if jump > 60_000 else jump % 4)) % (1 << 48)
        packet = _SEEDS[choice % len(_SEEDS)] if choice < 240 else data[at : at + choice % 5]
        path.accept(bytes([who] * 6), ticks[who], packet, now)
        now += (pause_ms % 32) / 1000
        if sender & 0x80:
            frame, _ = path.pull(now)
            assert frame.shape == (TICK_SAMPLES,)
            assert bool(np.isfinite(frame).all())
    assert path.stats.packets_received == len(data) // _STEP.size
    return True
