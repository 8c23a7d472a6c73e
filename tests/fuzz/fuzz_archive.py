"""What a crash leaves of an archive's files: refused, or made whole by what is found of its end."""

from __future__ import annotations

import io
import json
import tempfile
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from fuzz_json import TOKENS
from fuzz_mutate import Generator, below, blend, mutate, mutator, pick, rubbish

from echostream.archive.audio_file import new_audio_file
from echostream.archive.file_end import find_end
from echostream.archive.file_names import FORMS
from echostream.archive.meta_files import parse_meta
from echostream.archive.recording import AudioForm

RATE_HZ = 16_000
_GAP = {"start_us": 1, "end_us": 2, "cause": "disk", "position": 5}
_META = {
    "id": "0" * 32,
    "path": "2026-11-21/2026-11-21_1200_07_porch.flac",
    "form": "flac",
    "gateway": "gw",
    "source": "porch",
    "kind": "device",
    "trigger": "continuous",
    "start_us": 1_795_262_407_000_000,
    "rate_hz": RATE_HZ,
    "samples": 16_000,
    "ppm": -12.5,
    "gap_before": _GAP,
    "gaps": [_GAP, _GAP],
    "tones": [{"tone_id": "a", "name": "b", "start_us": 1, "end_us": 2}],
}
_WORDS = (*TOKENS, b"../", b"null", b"1e999", b"-1", b"9999999999999999999", b'"network"', b"gaps")

generate_meta: Generator = blend((6, mutator((json.dumps(_META).encode(),), _WORDS)), (1, rubbish(200)))


def run_meta(data: bytes) -> bool:
    """ValueError, or something that the rest of the archive may believe."""
    recording = parse_meta(data)
    assert recording.rate_hz > 0
    assert recording.samples >= 0
    assert ".." not in recording.path.split("/")
    assert all(gap.start_us <= gap.end_us for gap in recording.gaps)
    return True


@cache
def _half_written() -> dict[AudioForm, bytes]:
    """One file of each form that was never closed; its first byte in the fuzz input says which form."""
    samples = np.random.default_rng(1).normal(0, 300, 3 * RATE_HZ).astype(np.int16)
    samples[RATE_HZ:] = 0
    left: dict[AudioForm, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            file = new_audio_file(form, Path(folder) / f"a.{form}", RATE_HZ, 16_000)
            file.write(samples)
            left[form] = file.path.read_bytes()
            file.close()
    return left


def generate_torn(rng: Random) -> bytes:
    """Cut, with anything behind it, and spoiled in places."""
    form = pick(rng, FORMS)
    data = _half_written()[form]
    data = data[: below(rng, len(data) + 1)]
    if rng.random() < 0.5:
        data = mutate(rng, data, (b"fLaC", b"OggS", b"RIFF", b"data", b"\xff\xf8", b"\xff" * 8))
    tail = pick(rng, (b"", bytes(below(rng, 300)), rng.randbytes(below(rng, 300))))
    return bytes([FORMS.index(form)]) + data + tail


def run_torn(data: bytes) -> bool:
    """What is found lies in the file, and nothing is left to do when it was done."""
    form = FORMS[data[0] % len(FORMS)] if data else "wav"
    body = bytearray(data[1:])
    found = find_end(io.BytesIO(bytes(body)), form, RATE_HZ)
    assert found.whole == (not found.changes and found.size == len(body))
    assert found.samples >= 0
    assert found.size <= max(len(body), 44)
    for offset, change in found.changes:
        body[offset : offset + len(change)] = change
    if found.whole or not found.rate_hz:
        return found.whole
    again = find_end(io.BytesIO(bytes(body[: found.size])), form, RATE_HZ)
    assert again.whole, (found, again)
    assert again.samples == found.samples
    return True
