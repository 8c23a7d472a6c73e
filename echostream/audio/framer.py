"""Bytes in chunks of any size in, int16 frames of exact length out."""

from __future__ import annotations

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import Samples
from echostream.audio.sample_forms import DECODERS, SAMPLE_BYTES, SampleFormat

__all__ = ["Framer", "SampleFormat"]


class Framer:
    """Cuts a byte stream into frames; a sample that is split between two chunks is put together again.

    Between two calls it holds less than one frame, whatever came in.
    """

    def __init__(self, frame_samples: int, sample_format: SampleFormat = "s16le") -> None:
        """frame_samples: length of each frame. sample_format: "s16le", "u8" (128 is silence) or
        "f32le" (full scale ±1.0; beyond that clips, NaN is silence). ValueError for any other."""
        if frame_samples < 1:
            raise ValueError(f"frame_samples {frame_samples}: expected 1 or more")
        if sample_format not in DECODERS:
            raise ValueError(f"sample_format {sample_format!r}: expected one of {get_args(SampleFormat)}")
        self._frame_samples = frame_samples
        self._frame_bytes = frame_samples * SAMPLE_BYTES[sample_format]
        self._decode = DECODERS[sample_format]
        self._rest = b""

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait for the rest of their frame; less than a frame."""
        return len(self._rest)

    def push(self, data: bytes | bytearray | memoryview) -> list[Samples]:
        """Take a chunk of any length; the frames it completes, oldest first, each (frame_samples,) int16."""
        joined = self._rest + bytes(data) if self._rest else bytes(data)
        whole = len(joined) // self._frame_bytes
        if not whole:
            self._rest = joined
            return []
        end = whole * self._frame_bytes
        self._rest = joined[end:]
        return self._frames(joined[:end])

    def flush(self) -> list[Samples]:
        """The end of the stream: what is left, filled up with silence to one frame; [] if nothing is left.

        A last sample that is not whole is dropped.
        """
        sample_bytes = self._frame_bytes // self._frame_samples
        rest, self._rest = self._rest, b""
        tail = self._decode(rest[: len(rest) // sample_bytes * sample_bytes])
        if not tail.size:
            return []
        return [np.pad(tail, (0, self._frame_samples - tail.size))]

    def reset(self) -> None:
        """Forget what is pending: the stream was interrupted, its bytes are no longer aligned."""
        self._rest = b""

    def _frames(self, data: bytes) -> list[Samples]:
        rows: NDArray[np.int16] = self._decode(data).reshape(-1, self._frame_samples)
        if len(rows) == 1:
            return [rows[0]]
        # Copies: a frame that is kept for long must not keep a whole chunk alive.
        return [row.copy() for row in rows]
