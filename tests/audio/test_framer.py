"""Framer: whatever the chunks, the same frames; nothing grows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.format import Samples
from echostream.audio.framer import Framer, SampleFormat

FORMATS: list[SampleFormat] = ["s16le", "u8", "f32le"]


def feed(framer: Framer, data: bytes, cuts: list[int]) -> list[Samples]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [frame for a, b in pairwise(edges) for frame in framer.push(data[a:b])]


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=400),
    st.lists(st.integers(0, 400), max_size=12),
    st.integers(1, 20),
    st.sampled_from(FORMATS),
)
def test_chunking_changes_nothing(data: bytes, cuts: list[int], size: int, kind: SampleFormat) -> None:
    whole, cut = Framer(size, kind), Framer(size, kind)
    expected, got = whole.push(data), feed(cut, data, cuts)
    assert len(expected) == len(got) == len(data) // {"s16le": 2, "u8": 1, "f32le": 4}[kind] // size
    for a, b in zip(expected, got, strict=True):
        assert a.shape == (size,)
        assert a.dtype == np.int16
        np.testing.assert_array_equal(a, b)
    assert whole.pending_bytes == cut.pending_bytes
    assert [f.tolist() for f in whole.flush()] == [f.tolist() for f in cut.flush()]


def test_a_sample_split_between_chunks_is_put_together() -> None:
    framer = Framer(2)
    assert framer.push(b"\x01") == []
    assert framer.push(b"\x02\xff") == []
    (frame,) = framer.push(b"\x7f\x05")
    assert frame.tolist() == [0x0201, 0x7FFF]
    assert framer.pending_bytes == 1


def test_byte_by_byte() -> None:
    data = np.arange(-50, 50, dtype="<i2").tobytes()
    framer = Framer(10)
    frames = [frame for byte in data for frame in framer.push(bytes([byte]))]
    np.testing.assert_array_equal(np.concatenate(frames), np.arange(-50, 50))


def test_eight_bit_silence_is_128_and_the_range_is_full() -> None:
    (frame,) = Framer(3, "u8").push(bytes([0, 128, 255]))
    assert frame.tolist() == [-32768, 0, 32512]


def test_float_beyond_full_scale_clips_and_nan_is_silence() -> None:
    values = np.array([1.0, -1.0, 2.5, -np.inf, np.nan, 0.5, 3e38, np.inf], "<f4")
    (frame,) = Framer(8, "f32le").push(values.tobytes())
    assert frame.tolist() == [32767, -32768, 32767, -32768, 0, 16384, 32767, 32767]


def test_flush_fills_with_silence_and_drops_half_a_sample() -> None:
    framer = Framer(4)
    framer.push(b"\x01\x00\x02\x00\x03")
    (frame,) = framer.flush()
    assert frame.tolist() == [1, 2, 0, 0]
    assert framer.flush() == []
    framer.push(b"\x01")
    assert framer.flush() == []
    assert framer.pending_bytes == 0


def test_less_than_a_frame_is_held_whatever_came_in() -> None:
    framer = Framer(960)
    assert len(framer.push(bytes(1_000_001))) == 1_000_001 // 1920
    assert framer.pending_bytes < 1920


def test_a_kept_frame_does_not_keep_its_chunk_nor_share_memory() -> None:
    first, second = Framer(960).push(bytes(3840))
    first[:] = 1
    assert not second.any()
    assert first.base is None


def test_mutable_buffers_are_copied() -> None:
    buffer = bytearray(b"\x01\x00")
    framer = Framer(2)
    framer.push(buffer)
    buffer[0] = 9
    (frame,) = framer.push(memoryview(b"\x02\x00"))
    assert frame.tolist() == [1, 2]


def test_reset_forgets_what_is_pending() -> None:
    framer = Framer(2)
    framer.push(b"\x01\x02\x03")
    framer.reset()
    (frame,) = framer.push(b"\x05\x00\x06\x00")
    assert frame.tolist() == [5, 6]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^frame_samples 0: expected 1 or more$"):
        Framer(0)
    with pytest.raises(
        ValueError, match=r"^sample_format 's24le': expected one of \('s16le', 'u8', 'f32le'\)$"
    ):
        Framer(960, "s24le")  # type: ignore[arg-type]
