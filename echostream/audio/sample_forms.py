"""The forms in which a sample comes over a wire, and how each becomes int16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np

from echostream.audio.format import FULL_SCALE, Samples

SampleFormat = Literal["s16le", "u8", "f32le"]
"""Signed 16 bit, unsigned 8 bit (128 is silence), 32-bit float (full scale ±1.0); little-endian."""
Bytes = bytes | bytearray | memoryview


def _from_s16le(data: Bytes) -> Samples:
    return np.frombuffer(data, "<i2").astype(np.int16)


def _from_u8(data: Bytes) -> Samples:
    # 128 is silence (WAV's unsigned 8 bit); widen before the subtraction, or 0 - 128 wraps.
    return (np.frombuffer(data, np.uint8).astype(np.int16) - 128) * 256


def _from_f32le(data: Bytes) -> Samples:
    # Clip before scaling: the largest float32 times 32768 is infinite.
    values = np.clip(np.frombuffer(data, "<f4").astype(np.float32), -1.0, 1.0)
    values[np.isnan(values)] = 0.0
    samples: Samples = np.minimum(np.rint(values * np.float32(FULL_SCALE)), 32767).astype(np.int16)
    return samples


SAMPLE_BYTES: Final[dict[SampleFormat, int]] = {"s16le": 2, "u8": 1, "f32le": 4}
DECODERS: Final[dict[SampleFormat, Callable[[Bytes], Samples]]] = {
    "s16le": _from_s16le,
    "u8": _from_u8,
    "f32le": _from_f32le,
}
"""Whole samples in, new int16 samples out; floats beyond full scale clip, NaN is silence."""
