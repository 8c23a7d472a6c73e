"""Time stretch: pitch stays, joins are smooth, lengths add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ
from echostream.audio.time_stretch import MOST_FASTER, MOST_SLOWER, accelerate, cut, expand

Float32 = NDArray[np.float32]


def voiced(pitch_hz: float, seconds: float = 0.06) -> Float32:
    t = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    harmonics = [np.sin(2 * np.pi * k * pitch_hz * t + k) / k for k in range(1, 12)]
    return np.asarray(4000 * np.sum(harmonics, axis=0), np.float32)


def pitch_of(x: Float32, near_hz: float) -> float:
    """Frequency of the spectral peak within 30 % of near_hz, interpolated by zero padding."""
    spectrum = np.abs(np.fft.rfft(x * np.hanning(x.size), 1 << 17))
    hz = np.arange(spectrum.size) * RATE_HZ / (1 << 17)
    band = (hz > 0.7 * near_hz) & (hz < 1.3 * near_hz)
    return float(hz[band][spectrum[band].argmax()])


def stretched(x: Float32, faster: bool, block: int = 2880) -> tuple[Float32, int]:
    parts, total = [], 0
    for at in range(0, x.size, block):
        part, moved = (accelerate if faster else expand)(x[at : at + block], block)
        parts.append(part)
        total += moved
    return np.concatenate(parts), total


@pytest.mark.parametrize("pitch_hz", [85.0, 123.0, 210.0, 333.0])
@pytest.mark.parametrize("faster", [True, False])
def test_pitch_stays_while_the_length_changes(pitch_hz: float, faster: bool) -> None:
    x = voiced(pitch_hz, 0.96)
    y, moved = stretched(x, faster)
    assert y.size == x.size - moved if faster else y.size == x.size + moved
    assert moved >= 0.1 * x.size
    assert pitch_of(y, pitch_hz) == pytest.approx(pitch_hz, rel=0.01)


@pytest.mark.parametrize("pitch_hz", [85.0, 123.0, 210.0, 333.0, 1000.0, 2805.0])
@pytest.mark.parametrize("faster", [True, False])
def test_joins_make_no_clicks(pitch_hz: float, faster: bool) -> None:
    x = (
        voiced(pitch_hz, 0.96)
        if pitch_hz < 400
        else (8000 * np.sin(2 * np.pi * pitch_hz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)
    )
    y, moved = stretched(x, faster)
    assert moved > 0
    # A click is a jump in the slope: none is steeper than the signal's own.
    assert np.abs(np.diff(y, 2)).max() <= 1.15 * np.abs(np.diff(x, 2)).max()
    assert np.abs(y).max() <= 1.1 * np.abs(x).max()


def test_ends_stay_so_that_blocks_join() -> None:
    x = voiced(120)
    for change in (accelerate, expand):
        y, moved = change(x, x.size)
        assert moved > 0
        assert y[0] == pytest.approx(x[0], rel=0.01)
        np.testing.assert_array_equal(y[-240:], x[-240:])


def test_noise_keeps_its_level() -> None:
    x = np.random.default_rng(1).normal(0, 1000, 48_000).astype(np.float32)
    y, moved = stretched(x, True)
    assert moved > 0.1 * x.size
    assert y.std() == pytest.approx(x.std(), rel=0.05)


def test_an_onset_is_left_alone() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(0, 10, 2880).astype(np.float32)
    x[960:] *= 500
    y, moved = accelerate(x, 2880, 0.9)
    # Whatever was left out lies on one side of the onset: its loud part keeps nearly all of its length.
    assert np.count_nonzero(np.abs(y) > 1000) > 0.75 * np.count_nonzero(np.abs(x) > 1000)
    assert moved <= MOST_FASTER * x.size


def test_cut_takes_as_much_as_asked_and_keeps_the_ends() -> None:
    x = np.random.default_rng(3).normal(0, 5, 960).astype(np.float32)
    y, removed = cut(x, 400)
    assert removed == 400
    assert y.size == 560
    np.testing.assert_array_equal(y[:100], x[:100])
    np.testing.assert_array_equal(y[-100:], x[-100:])


def test_too_short_is_returned_as_it_is() -> None:
    for size in (0, 1, 100, 599):
        x = np.ones(size, np.float32)
        for change in (accelerate, expand):
            y, moved = change(x, size)
            assert moved == 0
            np.testing.assert_array_equal(y, x)
    assert cut(np.ones(1, np.float32), 5)[1] <= 1


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 5760),
    st.integers(-10, 6000),
    st.integers(0, 1 << 30),
    st.sampled_from(["noise", "silence", "square", "full scale"]),
)
def test_lengths_add_up_for_any_signal(size: int, most: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    x = {
        "noise": rng.normal(0, 3000, size),
        "silence": np.zeros(size),
        "square": 32767.0 * np.sign(np.sin(np.arange(size) / rng.uniform(5, 200))),
        "full scale": rng.choice([-32768.0, 32767.0], size),
    }[kind].astype(np.float32)
    shorter, removed = accelerate(x, most)
    assert shorter.size == size - removed
    assert 0 <= removed <= max(0, min(most, MOST_FASTER * size))
    longer, added = expand(x, most)
    assert longer.size == size + added
    assert 0 <= added <= max(0, min(most, MOST_SLOWER * size))
    pause, gone = cut(x, most)
    assert pause.size == size - gone
    assert 0 <= gone <= max(0, most)
    for y in (shorter, longer, pause):
        assert y.dtype == np.float32
        assert np.isfinite(y).all()
        assert np.abs(y).max(initial=0) <= 1.5 * 32768
