"""Limiter: never over the ceiling, never a click, never touched without need, never poisoned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from echostream.audio.limiter import ATTACK_MS, Limiter

Float32 = NDArray[np.float32]
CEILING = math.floor(32768 * 10 ** (-1 / 20))


def sine(amplitude: float, frequency_hz: float, count: int, start: int = 0) -> Float32:
    n = np.arange(start, start + count)
    wave: Float32 = (amplitude * np.sin(2 * np.pi * frequency_hz / 48000 * n)).astype(np.float32)
    return wave


def run(limiter: Limiter, x: Float32, size: int = 960) -> NDArray[np.int16]:
    return np.concatenate([limiter.process(x[at : at + size]) for at in range(0, x.size, size)])


def test_unity_path_is_the_rounded_input() -> None:
    x = np.random.default_rng(1).uniform(-CEILING, CEILING, 9600).astype(np.float32)
    limiter = Limiter()
    out = run(limiter, x)
    assert out.dtype == np.int16
    np.testing.assert_array_equal(out, np.rint(x))
    assert limiter.gain_reduction_db == 0.0


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 1500), min_size=1, max_size=8),
    st.floats(-30, 0),
    st.floats(1, 1000),
)
def test_nothing_ever_exceeds_the_ceiling(
    seed: int, sizes: list[int], ceiling: float, release: float
) -> None:
    rng = np.random.default_rng(seed)
    limiter = Limiter(ceiling, release)
    for size in sizes:
        loudness = 10 ** rng.uniform(1, 7)
        x = (rng.standard_normal(size) * loudness * (rng.random(size) < rng.random())).astype(np.float32)
        out = limiter.process(x)
        assert out.shape == x.shape
        assert np.abs(out.astype(int)).max() <= min(32767, 32768 * 10 ** (ceiling / 20))
        assert np.isfinite(limiter.gain_reduction_db)
        assert limiter.gain_reduction_db >= 0


@pytest.mark.parametrize("at", [0, 1, 31, 32, 33, 500, 928, 958, 959])
def test_a_single_spike_anywhere_in_a_frame(at: int) -> None:
    x = np.full(960, 1000, np.float32)
    x[at] = -300_000
    limiter = Limiter()
    out = run(limiter, np.concatenate([np.full(960, 1000, np.float32), x, np.full(960, 1000, np.float32)]))
    assert out[960 + at] == pytest.approx(-CEILING, abs=2)
    assert np.abs(out.astype(int)).max() <= CEILING


def test_the_gain_is_down_before_the_peak_and_has_no_step() -> None:
    """The gain, read off a constant that rides along, moves at most by what the attack takes."""
    x = np.full(9600, 1000, np.float32)
    x[4800 + 480] = 100_000
    out = run(Limiter(), x).astype(float)
    gain = np.delete(out / 1000, 4800 + 480)
    lowest = CEILING / 100_000
    assert out[4800 + 480] == pytest.approx(CEILING, abs=1)
    assert gain[4800 + 479] == pytest.approx(lowest, abs=0.01)
    attack = ATTACK_MS * 48
    assert np.abs(np.diff(gain)).max() <= 2.5 * (1 - lowest) / attack + 1e-3
    assert gain[int(4800 + 480 - attack) - 33] == 1.0


def test_loud_sine_stays_a_sine() -> None:
    """After the first attack what leaves is the sine at a constant gain, not a clipped one."""
    x = sine(90_000, 1000, 48000)
    out = run(Limiter(), x).astype(float)[9600:]
    n = np.arange(out.size)
    basis = np.stack([np.sin(2 * np.pi * n / 48), np.cos(2 * np.pi * n / 48)], axis=1)
    factors = np.linalg.lstsq(basis, out, rcond=None)[0]
    residue = out - basis @ factors
    assert 20 * np.log10(np.std(residue) / np.std(out)) < -40
    assert np.hypot(*factors) > 0.97 * CEILING


@pytest.mark.parametrize("phase", range(0, 48, 5))
def test_onset_at_a_frame_border_follows_the_waveform(phase: int) -> None:
    """A loud sine that was below the ceiling at the end of its last frame: no jump beyond its own slope."""
    x = np.concatenate([np.zeros(960, np.float32), sine(60_000, 250, 1920)])[phase:]
    out = run(Limiter(), x).astype(float)
    assert np.abs(np.diff(out)).max() <= np.abs(np.diff(x)).max() + 1


def test_onset_at_a_frame_border_is_turned_down_and_not_cut_off() -> None:
    """After its first peak a loud onset is a smaller copy of itself, within the first sub-block already."""
    x = sine(120_000, 1950, 960)
    out = Limiter().process(x).astype(float)
    gain = out[8:32] / x[8:32]
    at_ceiling = np.abs(out[8:960]) > CEILING - 2
    assert np.count_nonzero(at_ceiling) <= 960 / (48_000 / 1950 / 2) * 2, "one or two samples a half wave"
    assert gain.max() < 1.05 * CEILING / 120_000


def test_release_reaches_exact_unity_and_takes_its_time() -> None:
    limiter = Limiter(release_ms=80)
    limiter.process(sine(CEILING * 2, 1000, 960))
    assert limiter.gain_reduction_db == pytest.approx(6.02, abs=0.1)
    quiet = np.full(960, 1000.4, np.float32)
    reductions = []
    for _ in range(25):
        out = limiter.process(quiet)
        reductions.append(limiter.gain_reduction_db)
    assert reductions == sorted(reductions, reverse=True)
    assert reductions[4] == pytest.approx(6.1 * math.exp(-1) - 0.1, abs=0.35)
    assert reductions[-1] == 0.0
    np.testing.assert_array_equal(out, np.rint(quiet))


def test_release_has_no_step() -> None:
    limiter = Limiter(release_ms=20)
    limiter.process(sine(200_000, 1000, 960))
    out = run(limiter, np.full(48000, 20_000, np.float32)).astype(float)
    assert np.abs(np.diff(out)).max() < 40
    assert out[-1] == 20_000


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_not_a_number_is_silence_and_leaves_no_trace(poison: float) -> None:
    x = sine(10_000, 1000, 960)
    bad = x.copy()
    bad[[0, 100, 959]] = poison
    limiter = Limiter()
    out = limiter.process(bad)
    expected = np.rint(x)
    expected[[0, 100, 959]] = 0
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(limiter.process(x), np.rint(x))
    assert limiter.non_finite == 3


def test_a_monstrous_sample_does_not_mute_for_long() -> None:
    limiter = Limiter()
    x = np.zeros(960, np.float32)
    x[480] = 3e38
    assert np.abs(limiter.process(x)).max() <= CEILING
    for _ in range(40):
        limiter.process(sine(10_000, 1000, 960))
    assert limiter.gain_reduction_db == 0.0


def test_all_frame_lengths_and_very_long_blocks() -> None:
    for size in (0, 1, 31, 32, 480, 1920, 2880, 48_000):
        out = Limiter().process(sine(80_000, 440, size))
        assert out.shape == (size,)
        assert np.abs(out.astype(int)).max(initial=0) <= CEILING


def test_input_is_left_alone_and_reset_forgets() -> None:
    x = sine(80_000, 440, 960)
    before = x.copy()
    limiter = Limiter()
    first = limiter.process(x)
    np.testing.assert_array_equal(x, before)
    limiter.reset()
    assert limiter.gain_reduction_db == 0.0
    np.testing.assert_array_equal(limiter.process(x), first)


def test_full_scale_ceiling_fits_int16() -> None:
    out = Limiter(0.0).process(np.array([1e6, -1e6, 32767.6, -32768.4], np.float32))
    assert np.abs(out.astype(int)).max() <= 32767


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0.1, 80), "ceiling_dbfs 0.1: expected -60 to 0"),
        ((math.nan, 80), "ceiling_dbfs nan: expected -60 to 0"),
        ((-1, 0), "release_ms 0: expected 1 to 10000"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[float, float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        Limiter(*arguments)


@given(st.integers(0, 2**31), st.sampled_from([0.3, 1.0, 4.0]), st.sampled_from([1, 480, 960, 5760, 9000]))
@settings(max_examples=40)
def test_peak_is_that_of_what_left(seed: int, gain: float, count: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 9000 * gain, count).astype(np.float32)
    limiter = Limiter()
    out = limiter.process(noise)
    assert limiter.peak == int(np.abs(out.astype(np.int32)).max())
    assert limiter.energy == pytest.approx(float(np.sum(out.astype(np.float64) ** 2)), rel=1e-4)
