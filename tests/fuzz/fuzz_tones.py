"""The ear: whatever a channel sounds like, and whatever it was told to listen for."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from random import Random

import numpy as np
from fuzz_mutate import below
from numpy.typing import NDArray

from echostream.tones.ctcss import CtcssEar
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection, Heard
from echostream.tones.mdc1200 import Mdc1200Ear
from echostream.tones.mdc1200_word import check_bits, crc
from echostream.tones.plan import AtOnce, Digits, FilterPlan, ListenPlan, NewTones, OneTone, TwoTone
from echostream.tones.stream import BLOCK_SAMPLES, Ear

Sound = NDArray[np.float64]
_RATES_HZ = (8000, 11_025, 16_000, 22_050, 44_100, 48_000)
_PIECE = struct.Struct("<BBHBB")
"""Of a scene: what, how loud, frequency, second frequency, length."""
_MOST_PIECES = 12
_HEAD = struct.Struct("<HBBH")
"""Of a scene: what to listen for, at which rate, in int16 or float, in blocks of which size."""
_EARS: tuple[Callable[[], Ear], ...] = (CtcssEar, lambda: Mdc1200Ear(explain=True))
_SYNC = [int(bit) for bit in f"{0x07092A446F:040b}"]


def generate_samples(rng: Random) -> bytes:
    """One byte chooses the ear; the rest are float32 of any bits: infinite ones, tiny ones, no numbers."""
    count = BLOCK_SAMPLES * (1 + below(rng, 4))
    if rng.random() < 0.5:
        return rng.randbytes(1 + 4 * count)
    samples = np.frombuffer(rng.randbytes(2 * count), "<i2").astype("<f4") / np.float32(32768)
    for _ in range(below(rng, 4)):
        samples[below(rng, count)] = (math.nan, math.inf, -math.inf, 3e38, 1e-42)[below(rng, 5)]
    return rng.randbytes(1) + samples.tobytes()


def run_ear(data: bytes) -> bool:
    """An ear stands any block of float32, and hears as before once a second of silence has passed."""
    if len(data) < 1 + 4 * BLOCK_SAMPLES:
        return False
    ear = _EARS[data[0] % len(_EARS)]()
    samples = np.frombuffer(data, "<f4", (len(data) - 1) // 4, 1).astype(np.float32)
    with np.errstate(all="ignore"):
        for at in range(0, samples.size - BLOCK_SAMPLES + 1, BLOCK_SAMPLES):
            ear.hear(samples[at : at + BLOCK_SAMPLES])
        for _ in range(17):
            ear.hear(np.zeros(BLOCK_SAMPLES, np.float32))
        ear.finish()
    ear.reset(0)
    sound = _tone(123.0, 0.03, 8000, 8000) if isinstance(ear, CtcssEar) else _burst()
    blocks = np.pad(sound, (0, -sound.size % BLOCK_SAMPLES + 2 * BLOCK_SAMPLES)).astype(np.float32)
    heard = [item for block in blocks.reshape(-1, BLOCK_SAMPLES) for item in ear.hear(block)]
    assert any(isinstance(item, Detection) for item in heard)
    return True


def generate_scene(rng: Random) -> bytes:
    """A plan, a rate, a size of blocks, and up to twelve sounds one after the other."""
    return rng.randbytes(_HEAD.size + _PIECE.size * below(rng, _MOST_PIECES + 1) + below(rng, 2))


def run_scene(data: bytes) -> bool:
    """In blocks of any size the same is heard as in one piece, in order, and all of it within the stream."""
    if len(data) < _HEAD.size:
        return False
    wanted, rate, depth, step = _HEAD.unpack_from(data)
    rate_hz = _RATES_HZ[rate % len(_RATES_HZ)]
    pieces = [np.zeros(rate_hz // 10)]
    for at in range(_HEAD.size, min(len(data), _HEAD.size + _MOST_PIECES * _PIECE.size) - _PIECE.size + 1, 6):
        pieces.append(_piece(_PIECE.unpack_from(data, at), rate_hz))
    scene = np.clip(np.concatenate(pieces), -1, 1)
    samples = (scene * 32767).astype(np.int16) if depth % 2 else scene.astype(np.float32)
    plan = _plan(wanted)
    whole = _listen(plan, rate_hz, samples, samples.size)
    assert whole == _listen(plan, rate_hz, samples, 1 + step % 4099)
    last = (samples.size / rate_hz + 1.0) * 8000
    for item in whole:
        assert 0 <= item.start <= item.end <= last, item
        if isinstance(item, Detection):
            assert item.decided <= last, item
            assert 0.0 <= item.confidence <= 1.0, item
            figures = (item.snr_db, item.level_dbfs, item.twist_db, *(tone.hz for tone in item.tones))
            assert all(map(math.isfinite, figures)), item
    return True


def _listen(
    plan: ListenPlan, rate_hz: int, samples: NDArray[np.int16] | NDArray[np.float32], step: int
) -> list[Heard]:
    detector = ToneDetector(plan, rate_hz)
    heard: list[Heard] = []
    for at in range(0, samples.size, step):
        heard += detector.feed(samples[at : at + step])
    return heard + detector.finish()


def _plan(wanted: int) -> ListenPlan:
    def has(bit: int) -> bool:
        return bool(wanted >> bit & 1)

    return ListenPlan(
        two_tone=(TwoTone("a", 688.3, 767.4, 0.2, 0.3), TwoTone("b", 767.4, 688.3, 0.2, 0.3))
        if has(0)
        else (),
        one_tone=(OneTone("long", 1000.0, 0.3),) if has(1) else (),
        at_once=(AtOnce("both", (700.0, 1200.0), (800.0, 1400.0), 0.2),) if has(2) else (),
        digits=(Digits("id", "dtmf", "1?"), Digits("call", "zvei1", "12345")) if has(3) else (),
        new_tones=NewTones(0.3, 10.0) if has(4) else None,
        dtmf=has(5),
        five_tone=("zvei1", "ccir") if has(6) else (),
        alerts=has(7),
        ctcss=has(8),
        mdc1200=has(9),
        filters=(FilterPlan("below", 300.0), FilterPlan("center", 1750.0, 30.0)) if has(10) else (),
        threshold=0.3 if has(11) else 0.7,
        level_dbfs=-20.0 if has(12) else -70.0,
        explain=has(13),
    )


def _piece(fields: tuple[int, ...], rate_hz: int) -> Sound:
    what, loud, hz, second, length = fields
    count = 1 + length * rate_hz // 500
    amplitude = 10 ** (-(loud % 80) / 20)
    match what % 6:
        case 0:
            return np.zeros(count)
        case 1:
            return amplitude * np.random.default_rng(hz).normal(size=count)
        case 2:
            return _tone(20.0 + hz % 3900, amplitude, count, rate_hz)
        case 3:
            low, high = (697, 770, 852, 941)[hz % 4], (1209, 1336, 1477, 1633)[second % 4]
            return _tone(low, amplitude / 2, count, rate_hz) + _tone(high, amplitude / 2, count, rate_hz)
        case 4:
            named = (688.3, 767.4, 1000.0, 123.0, 100.0, 1060.0, 1160.0, 1270.0, 1400.0, 1530.0)
            return _tone(named[hz % len(named)], amplitude, count, rate_hz)
        case _:
            bits = (np.arange(count) * 1200 // rate_hz + second) * (hz | 1) >> 3 & 1
            return amplitude * np.sin(2 * np.pi * np.cumsum(np.where(bits, 1800, 1200)) / rate_hz)


def _burst() -> Sound:
    """An MDC1200 emergency of unit 0001."""
    content = bytes((0, 0x80, 0, 1))
    data = np.unpackbits(
        np.frombuffer(content + crc(content).to_bytes(2, "little") + b"\0", np.uint8), bitorder="little"
    )
    word = np.concatenate((data, check_bits(data))).reshape(16, 7).T.ravel()
    bits = np.concatenate((_SYNC, word))
    turns = np.where(np.diff(bits, prepend=1 - bits[0]) != 0, 1.5, 1.0)
    at = np.arange(int(bits.size * 8000 / 1200)) * 1200 / 8000
    bit = at.astype(int)
    sound: Sound = 0.1 * np.sin(2 * np.pi * (np.cumsum(turns)[bit] + turns[bit] * (at - bit - 1)))
    return sound


def _tone(hz: float, amplitude: float, count: int, rate_hz: int) -> Sound:
    tone: Sound = amplitude * np.sin(2 * np.pi * hz / rate_hz * np.arange(count))
    return tone
