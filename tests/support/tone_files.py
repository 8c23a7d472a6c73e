"""Sound files with a page in them, as people have them: every format, rate and way to be broken."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from echostream.tones import generator
from echostream.tones.generator import Part
from echostream.tones.plan import TwoTone

PAGE = TwoTone("engine-7", 349.0, 433.7)
PAGE_START_S = 0.5
CONFIG_TONES = {
    "alert_tones": [
        {"tone_id": "engine-7", "tone_a_hz": 349.0, "tone_b_hz": 433.7},
        {"tone_id": "ladder-2", "tone_a_hz": 600.9, "tone_b_hz": 788.5},
    ]
}


def page_sound(rate_hz: int, a_s: float = 1.0, b_s: float = 2.4, noise: float = 0.005) -> NDArray[np.float64]:
    """Half a second of silence, the page, half a second, in a little noise. Shape (n,)."""
    parts = (Part(PAGE_START_S), *generator.two_tone(PAGE, a_s, b_s), Part(0.5))
    sound = generator.render(parts, rate_hz, -12.0)
    return sound + np.random.default_rng(7).normal(scale=noise, size=sound.size)


def write_page(path: Path, rate_hz: int = 8000, subtype: str | None = None) -> Path:
    """A file of the format that its name says."""
    soundfile.write(str(path), page_sound(rate_hz), rate_hz, subtype=subtype)
    return path


def wav_bytes(data: bytes, rate_hz: int = 8000, bits: int = 16, channels: int = 1, tag: int = 1) -> bytes:
    """A WAV file as a program writes it to a pipe: its sizes are the largest numbers."""
    unknown = 0xFFFFFFFF
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", tag, channels, rate_hz, rate_hz * block & unknown, block & 0xFFFF, bits)
    head = struct.pack("<4sI4s4sI", b"RIFF", unknown, b"WAVE", b"fmt ", len(form)) + form
    return head + struct.pack("<4sI", b"data", unknown) + data
