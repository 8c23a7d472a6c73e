"""The waveform beside a recording: exact at any rate and in any portions, and read without trust."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.peaks import PeakCounter, Peaks, read_peaks, write_peaks
from echostream.errors import BrokenFile


@settings(max_examples=60)
@given(
    rate_hz=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000]),
    sizes=st.lists(st.integers(0, 20_000), max_size=8),
)
def test_each_tenth_has_its_lowest_and_highest_sample(rate_hz: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(len(sizes))
    blocks = [rng.integers(-32768, 32768, size).astype(np.int16) for size in sizes]
    counter = PeakCounter(rate_hz)
    for block in blocks:
        counter.add(block)
    whole = np.concatenate([np.zeros(0, np.int16), *blocks])
    begins = [at * rate_hz // 10 for at in range(-(-len(whole) * 10 // rate_hz) + 1)]
    tenths = [whole[begin:end] for begin, end in pairwise(begins)]
    expected = [(part.min(), part.max()) for part in tenths if len(part)]
    assert [tuple(pair) for pair in counter.peaks.pairs] == expected


def test_what_is_written_is_read(tmp_path: Path) -> None:
    pairs = np.array([[-32768, 32767], [-5, 7]], np.int16)
    write_peaks(tmp_path / "a.peaks", Peaks(16_000, pairs))
    found = read_peaks(tmp_path / "a.peaks")
    assert (found.rate_hz, found.pairs_per_s) == (16_000, 10)
    assert np.array_equal(found.pairs, pairs)
    assert [one.name for one in tmp_path.iterdir()] == ["a.peaks"]


def test_an_hour_is_72_kilobytes(tmp_path: Path) -> None:
    counter = PeakCounter(16_000)
    for _ in range(3600):
        counter.add(np.ones(16_000, np.int16))
    write_peaks(tmp_path / "a.peaks", counter.peaks)
    assert (tmp_path / "a.peaks").stat().st_size == 16 + 36_000 * 4


@given(data=st.binary(max_size=60))
def test_rubbish_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("peaks") / "a.peaks"
    path.write_bytes(data)
    with pytest.raises(BrokenFile, match=r"a\.peaks: no waveform"):
        read_peaks(path)


def test_one_that_was_cut_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.peaks"
    write_peaks(path, Peaks(16_000, np.arange(20, dtype=np.int16).reshape(10, 2)))
    path.write_bytes(path.read_bytes()[:-3])
    assert np.array_equal(read_peaks(path).pairs, np.arange(18).reshape(9, 2))
