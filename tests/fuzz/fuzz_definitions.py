"""Definition files of other programs, and a WAV from a pipe: refused with a reason, or they hold."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from random import Random

import numpy as np
from fuzz_json import TOKENS
from fuzz_mutate import Generator, below, blend, mutate, mutator, pick, rubbish

from echostream.tone_tools.definitions import from_bytes
from echostream.tone_tools.wav_stream import WavStream

_ENTRY = {"tone_id": "a", "tone_a": "349.0", "tone_b_hz": 433.7, "tone_a_length": 0.8, "tolerance": 0.02}
_SET = {
    "label": "a",
    "aTone": {"frequency": 349.0, "minDuration": 1},
    "longTone": {"frequency": 600.9},
    "tolerance": 8,
}
_SEEDS = (
    *(json.dumps(document).encode() for document in (
        [_ENTRY],
        {"alert_tones": [_ENTRY, _ENTRY]},
        {"tones": {"fire": {"alert_tones": [_ENTRY]}}},
        {"a": {"a_tone": 349.0, "b_tone": "433.7", "tone_tolerance": 2}},
        {"detection": {"detectors": [{"name": "a", "tones": [349.0, 433.7], "tolerancePercent": 0.02}]}},
        {"systems": [{"talkgroups": [{"toneSets": [_SET]}]}]},
        {"software_configuration": [{"channel_one": {"channel_id": "a", "tone_detect_configuration": {}}}]},
    )),
    b"[a]\ndescription = a\natone = 349.0\nbtone = 433.7\nlongtone = 0\ntone_tolerance = 0.02\n"
    b"[b]\nlongtone = 600.9\n",
    b"tone_id,tone_a,tone_b,tolerance\na,349.0,433.7,5\nb,349,0,0\n",
    "\ufeffName;Tone A (Hz);Tone B (Hz)\na;349,0;433,7\n".encode("utf-16"),
)  # fmt: skip
_WORDS = (
    *TOKENS,
    b"[",
    b"]\n",
    b"=",
    b"%",
    b",",
    b";",
    b"\t",
    b'"',
    b"atone",
    b"toneSets",
    b"nan",
    b"1e999",
    b"-0",
)

generate_definitions: Generator = blend((6, mutator(_SEEDS, _WORDS)), (1, rubbish(200)))


def run_definitions(data: bytes) -> bool:
    """ConfigError, or plans whose pages hold; each id once in a channel."""
    found = from_bytes(data, Path("fuzz"))
    for plan in found.plans.values():
        ids = [tone.tone_id for tone in plan.alert_tones]
        assert len(set(ids)) == len(ids)
    return bool(found.tones)


def generate_wav(rng: Random) -> bytes:
    """A stream with a header of any form, spoiled half of the time."""
    bits, tag = pick(rng, ((8, 1), (16, 1), (24, 1), (32, 1), (32, 3), (64, 3), (12, 1)))
    channels = pick(rng, (1, 2, 3, 64, 65))
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, 8000, 8000 * block, block, bits)
    head = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<I", len(form)) + form + b"data\xff\xff\xff\xff"
    data = head + rng.randbytes(below(rng, 200))
    return (
        data
        if rng.random() < 0.5
        else mutate(rng, data, (b"data", b"fmt ", b"\xff\xff\xff\xff", b"\0\0\0\0"))
    )


def run_wav(data: bytes) -> bool:
    """AudioError, or whole frames of numbers."""
    stream = WavStream(io.BytesIO(data))
    block = stream.read(50)
    assert block.shape[1] == stream.channels
    assert len(block) <= 50
    assert block.dtype == np.float32
    return True
