"""Resamplers: exact counts, no seams, no images, no click when the ratio moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.resampler import MAX_BUFFERED, RationalResampler, VariableResampler
from echostream.errors import StateError

Float64 = NDArray[np.float64]
PAIRS = [
    (44100, 48000),
    (48000, 44100),
    (16000, 48000),
    (48000, 16000),
    (22050, 48000),
    (8000, 48000),
    (96000, 48000),
    (11025, 48000),
    (48000, 48000),
]


def tone(frequency_hz: float, rate_hz: int, count: int, amplitude: float = 1.0) -> NDArray[np.float32]:
    wave = amplitude * np.sin(2 * np.pi * frequency_hz / rate_hz * np.arange(count))
    return np.asarray(wave, np.float32)


def fitted(y: NDArray[np.float32], turns: Float64) -> tuple[float, float, float]:
    """Amplitude and phase of the sine sin(2 pi turns) in y, and the ratio of what is left to it, in dB."""
    angle = 2 * np.pi * turns
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    factors = np.linalg.lstsq(basis, y.astype(np.float64), rcond=None)[0]
    amplitude = float(np.hypot(*factors))
    residue = float(np.std(y - basis @ factors)) * math.sqrt(2)
    return amplitude, math.atan2(factors[1], factors[0]), 20 * math.log10(max(residue, 1e-12) / amplitude)


@pytest.mark.parametrize(("in_hz", "out_hz"), PAIRS)
@pytest.mark.parametrize("part", [0.01, 0.1, 0.3, 0.42])
def test_pass_band_is_flat_and_free_of_images(in_hz: int, out_hz: int, part: float) -> None:
    f = part * min(in_hz, out_hz)
    y = RationalResampler(in_hz, out_hz).process(tone(f, in_hz, in_hz // 4))[1000:]
    amplitude, _, residue_db = fitted(y, np.arange(y.size) * f / out_hz)
    assert abs(20 * math.log10(amplitude)) < 0.1
    assert residue_db < -80


@pytest.mark.parametrize(("in_hz", "out_hz"), [(48000, 44100), (48000, 16000), (96000, 48000)])
@pytest.mark.parametrize("part", [0.505, 0.53, 0.7, 0.9])
def test_what_would_alias_is_stopped(in_hz: int, out_hz: int, part: float) -> None:
    f = part * out_hz
    if f >= in_hz / 2:
        f = 0.999 * in_hz / 2
    y = RationalResampler(in_hz, out_hz).process(tone(f, in_hz, in_hz // 4))[1000:]
    assert 20 * math.log10(float(np.std(y)) * math.sqrt(2)) < -80


@pytest.mark.parametrize(("in_hz", "out_hz"), PAIRS)
def test_latency_is_what_it_says(in_hz: int, out_hz: int) -> None:
    f = 0.05 * min(in_hz, out_hz)
    r = RationalResampler(in_hz, out_hz)
    y = r.process(tone(f, in_hz, in_hz // 4))[1000:]
    turns = (np.arange(1000, 1000 + y.size) - r.latency_samples) * f / out_hz
    _, phase, _ = fitted(y, turns)
    assert phase == pytest.approx(0.0, abs=1e-4)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.integers(0, 1500), max_size=10), st.booleans())
def test_blocks_change_neither_the_samples_nor_the_count(
    pair: tuple[int, int], sizes: list[int], as_float: bool
) -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(-20000, 20000, sum(sizes)).astype(np.float32 if as_float else np.int16)
    whole, cut = RationalResampler(*pair), RationalResampler(*pair)
    expected = whole.process(x)
    got, taken, given_out = [np.zeros(0, x.dtype)], 0, 0
    for size in sizes:
        got.append(cut.process(x[taken : taken + size]))
        taken += size
        given_out += got[-1].size
        assert given_out == -(-taken * pair[1] // pair[0])
    joined = np.concatenate(got)
    assert joined.dtype == expected.dtype == x.dtype
    np.testing.assert_allclose(joined, expected, atol=1e-2 if as_float else 0)


@pytest.mark.parametrize(("in_samples", "out_samples"), [(441, 480), (882, 960), (1764, 1920), (2646, 2880)])
def test_card_frames_at_44100_make_exact_frames(in_samples: int, out_samples: int) -> None:
    r = RationalResampler(44100, 48000)
    for _ in range(20):
        assert r.process(np.zeros(in_samples, np.int16)).size == out_samples


def test_full_scale_square_clips_and_does_not_wrap() -> None:
    square = np.where(np.arange(4410) // 50 % 2, 32767, -32768).astype(np.int16)
    y = RationalResampler(44100, 48000).process(square).astype(int)
    middle = y[200:]
    assert middle.max() == 32767
    assert middle.min() == -32768
    assert np.abs(np.diff(middle)).max() < 60_000, "no wrap from one stop to the other within a plateau"


def test_long_file_in_one_block() -> None:
    x = np.random.default_rng(5).integers(-9000, 9000, 160_000).astype(np.int16)
    whole = RationalResampler(16000, 48000).process(x)
    assert whole.size == 480_000
    r = RationalResampler(16000, 48000)
    np.testing.assert_array_equal(
        whole[:96_000], np.concatenate([r.process(x[i : i + 320]) for i in range(0, 32_000, 320)])
    )


def test_rational_reset_is_as_new() -> None:
    r = RationalResampler(44100, 48000)
    x = tone(1000, 44100, 700, 9000).astype(np.int16)
    first = r.process(x)
    r.reset()
    np.testing.assert_array_equal(r.process(x), first)


def test_odd_rates_are_refused_with_what_is_usual() -> None:
    with pytest.raises(
        ValueError, match=r"^44101 to 48000 Hz: 48000/44101 has a term above 1000; expected usual"
    ):
        RationalResampler(44101, 48000)
    with pytest.raises(ValueError, match=r"^0 to 48000 Hz: expected two rates of 1 or more$"):
        RationalResampler(0, 48000)


def wandering(ppm: float, frames: int) -> list[float]:
    return [1 + ppm * 1e-6 * math.sin(2 * math.pi * k / 37) for k in range(frames)]


def follow(r: VariableResampler, f: float, ratios: list[float]) -> tuple[NDArray[np.float32], Float64]:
    """Frames of 960 at these ratios of a sine of 16000; the output, and where in the input each belongs."""
    out, where, taken, position = [], [], 0, 0.0
    for ratio in ratios:
        need = r.needed(960, ratio)
        n = np.arange(taken, taken + need)
        r.push((16000 * np.sin(2 * np.pi * f / 48000 * n)).astype(np.float32))
        taken += need
        out.append(r.pull(960, ratio))
        where.append(position + np.arange(960) / ratio)
        position += 960 / ratio
    return np.concatenate(out), np.concatenate(where)


@pytest.mark.parametrize(
    ("f", "ppm"), [(1000, 200), (1000, 20_000), (300, 200), (3400, 200), (8000, 200), (16000, 200)]
)
def test_sine_stays_clean_while_the_ratio_wanders(f: float, ppm: float) -> None:
    y, where = follow(VariableResampler(), f, wandering(ppm, 75))
    amplitude, phase, residue_db = fitted(y[960:], (where[960:] - 8) * f / 48000)
    assert residue_db < -80
    assert 20 * math.log10(amplitude / 16000) == pytest.approx(0, abs=0.05)
    assert phase == pytest.approx(0, abs=1e-3)


def test_ratio_one_is_a_pure_delay() -> None:
    r = VariableResampler()
    x = np.random.default_rng(2).standard_normal(4000).astype(np.float32)
    y = np.concatenate([r.process(x[i : i + 333], 1.0) for i in range(0, 4000, 333)])
    assert y.size == x.size
    np.testing.assert_array_equal(y[r.latency_samples :], x[: -r.latency_samples])


def test_leaving_and_meeting_ratio_one_is_no_step() -> None:
    ratios = [1.0] * 5 + [1.0002] * 5 + [1.0] * 5 + [0.9998] * 5 + [1.0] * 5
    y, where = follow(VariableResampler(), 1000, ratios)
    assert fitted(y[960:], (where[960:] - 8) / 48)[2] < -80


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1500), st.floats(0.98, 1.02), st.floats(0, 1)), max_size=15))
def test_available_and_needed_keep_their_word(steps: list[tuple[int, float, float]]) -> None:
    r = VariableResampler()
    pushed, consumed = 0, 0.0
    for size, ratio, share in steps:
        r.push(np.zeros(size, np.float32))
        pushed += size
        count = r.available(ratio)
        assert r.needed(count, ratio) == 0
        assert r.needed(count + 1, ratio) > 0
        with pytest.raises(StateError):
            r.pull(count + 1, ratio)
        take = int(count * share)
        y = r.pull(take, ratio)
        assert y.shape == (take,)
        assert y.dtype == np.float32
        consumed += take / ratio
        missing = r.needed(960, ratio)
        r.push(np.zeros(missing, np.float32))
        pushed += missing
        assert r.available(ratio) >= 960
    assert consumed <= pushed + 1


def test_over_an_hour_the_count_is_the_ratio() -> None:
    r = VariableResampler()
    made = 0
    for _ in range(1000):
        made += r.process(np.zeros(960, np.float32), 1.0001).size
    assert made == pytest.approx(960_000 * 1.0001, abs=1)


def test_damage_in_the_input_leaves_with_it() -> None:
    r = VariableResampler()
    r.process(np.full(960, np.nan, np.float32), 1.001)
    r.process(np.ones(960, np.float32), 1.001)
    np.testing.assert_allclose(r.process(np.ones(960, np.float32), 1.001), 1, atol=1e-3)


def test_variable_reset_is_as_new() -> None:
    r = VariableResampler()
    x = np.random.default_rng(4).standard_normal(960).astype(np.float32)
    first = r.process(x, 1.01)
    r.reset()
    np.testing.assert_array_equal(r.process(x, 1.01), first)


def test_what_was_pulled_is_the_callers() -> None:
    r = VariableResampler()
    x = np.ones(2000, np.float32)
    r.push(x)
    r.pull(500, 1.0)[:] = 7
    assert r.pull(500, 1.0).max() <= 1
    assert x.max() == 1


def test_input_that_nobody_pulls_is_bounded() -> None:
    r = VariableResampler()
    r.push(np.zeros(MAX_BUFFERED, np.float32))
    with pytest.raises(StateError, match="pull before pushing more"):
        r.push(np.zeros(960, np.float32))
    assert r.available(1.0) == MAX_BUFFERED


def test_ratio_and_taps_outside_their_range_are_refused() -> None:
    for ratio in (0.97, 1.03, math.nan, 0.0):
        with pytest.raises(ValueError, match=rf"^ratio {ratio}: expected 0.98 to 1.02$"):
            VariableResampler().available(ratio)
    for taps in (2, 15, 66):
        with pytest.raises(ValueError, match=rf"^taps {taps}: expected an even number from 4 to 64$"):
            VariableResampler(taps)
