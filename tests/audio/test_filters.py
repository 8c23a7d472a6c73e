"""Filters: the block form is the recurrence, whatever the blocks; the curves are what radios expect."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt, sosfreqz

from echostream.audio.filters import (
    SUB_BLOCK,
    Biquad,
    BiquadChain,
    InputFilter,
    OutputFilter,
    de_emphasis,
    high_pass,
    pre_emphasis,
)

VOICE_HZ = (300, 400, 600, 1000, 1500, 2000, 2500, 3000)
RNG = np.random.default_rng(7)
NOISE = (RNG.standard_normal(6000) * 8000).clip(-32768, 32767).astype(np.int16)


def reference(sections: list[Biquad], x: NDArray[np.int16]) -> NDArray[np.float64]:
    """The recurrence itself, sample by sample, in float64."""
    sos = [[s.b0, s.b1, s.b2, 1.0, s.a1, s.a2] for s in sections]
    filtered: NDArray[np.float64] = sosfilt(sos, x.astype(np.float64))
    return filtered


CHAINS = {
    "high-pass": [high_pass(80)],
    "low high-pass": [high_pass(20)],
    "de-emphasis": [high_pass(80), de_emphasis()],
    "pre-emphasis": [pre_emphasis()],
    "four": [high_pass(300), de_emphasis(), pre_emphasis(), high_pass(40)],
}


@pytest.mark.parametrize("sections", CHAINS.values(), ids=CHAINS.keys())
@pytest.mark.parametrize("size", [1, 7, SUB_BLOCK, 480, 960, 961, 2880, 6000])
def test_block_form_is_the_recurrence(sections: list[Biquad], size: int) -> None:
    chain = BiquadChain(sections)
    x = NOISE if size > 1 else NOISE[:300]
    got = np.concatenate([chain.process(x[at : at + size]) for at in range(0, x.size, size)])
    np.testing.assert_allclose(got, reference(sections, x), atol=1e-6, rtol=0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 1200), max_size=12))
def test_any_block_sizes_give_the_same_stream(sizes: list[int]) -> None:
    sections = CHAINS["de-emphasis"]
    chain = BiquadChain(sections)
    edges = [*np.minimum(np.cumsum([0, *sizes]), NOISE.size).tolist(), NOISE.size]
    got = np.concatenate([chain.process(NOISE[a:b]) for a, b in pairwise(edges)])
    np.testing.assert_allclose(got, reference(sections, NOISE), atol=1e-6, rtol=0)


def test_a_frame_stays_as_it_was_returned() -> None:
    """The filter works on arrays of its own, again and again; what it returned must not be one of them."""
    chain = BiquadChain(CHAINS["de-emphasis"])
    first = chain.process(NOISE[:960])
    kept = first.copy()
    chain.process(NOISE[960:1920])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("size", [480, 960, 1920, 2880])
def test_frames_of_every_length_leave_as_the_recurrence_rounded(size: int) -> None:
    """To the int16 that is sent: a sample may differ only where the exact value lies between two steps."""
    frames, f = NOISE[: 6000 // size * size].reshape(-1, size), InputFilter(0, 80, True)
    got = np.concatenate([f.process(frame) for frame in frames])
    exact = reference([high_pass(80), de_emphasis()], frames.ravel())
    steps = np.rint(got) - np.rint(exact)
    between = np.abs(np.abs(exact - np.floor(exact)) - 0.5) < 2e-3
    assert not steps[~between].any()
    assert np.abs(steps).max(initial=0) <= 1


def test_high_pass_is_butterworth() -> None:
    expected = butter(2, 80, "highpass", fs=48000, output="sos")[0]
    s = high_pass(80)
    np.testing.assert_allclose([s.b0, s.b1, s.b2, 1, s.a1, s.a2], expected, atol=1e-12)
    assert 20 * math.log10(s.gain_at(80, 48000)) == pytest.approx(-3.01, abs=0.01)
    assert 20 * math.log10(s.gain_at(40, 48000)) == pytest.approx(-12.3, abs=0.1)


def test_lowest_corner_stays_true_over_a_minute() -> None:
    f, offset = InputFilter(0, 1, False), np.full(48000, 3000, np.int16)
    for _ in range(60):
        last = f.process(offset)
    assert np.abs(last).max() < 0.1, "a tenth of the smallest int16 step"
    np.testing.assert_array_equal(InputFilter(0, 0.5, False).process(offset), offset)


def test_high_pass_takes_a_card_offset_away() -> None:
    f = InputFilter(0, 80, False)
    offset = np.full(960, 3000, np.int16)
    for _ in range(25):
        last = f.process(offset)
    assert np.abs(last).max() < 0.01


def test_emphasis_has_the_slope_of_two_way_radio() -> None:
    """6 dB per octave against 1 kHz; the standard allows +1/-3 dB, we keep 0.25 dB."""
    for f in VOICE_HZ:
        ideal_db = 20 * math.log10(f / 1000)
        assert 20 * math.log10(de_emphasis().gain_at(f, 48000)) == pytest.approx(-ideal_db, abs=0.25)
        assert 20 * math.log10(pre_emphasis().gain_at(f, 48000)) == pytest.approx(ideal_db, abs=0.25)


def test_emphasis_undoes_itself_in_the_voice_band_and_stays_bounded() -> None:
    f = np.arange(10, 23990, 10)
    both = [[*s[:3], 1.0, *s[3:]] for s in (pre_emphasis(), de_emphasis())]
    _, response = sosfreqz(both, worN=f, fs=48000)
    voice = (f >= 300) & (f <= 3000)
    assert np.abs(20 * np.log10(np.abs(response[voice]))).max() < 0.25
    assert max(de_emphasis().gain_at(float(v), 48000) for v in f) < 10 ** (12.1 / 20)
    assert max(pre_emphasis().gain_at(float(v), 48000) for v in f) < 10 ** (11.5 / 20)


def test_nothing_to_do_changes_nothing_but_the_type() -> None:
    for f in (InputFilter(0, 0, False), OutputFilter(0, False)):
        y = f.process(NOISE)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, NOISE)


def test_gain_is_exact_and_may_leave_int16() -> None:
    x = np.array([-32768, 0, 1, 32767], np.int16)
    np.testing.assert_allclose(InputFilter(20, 0, False).process(x), x.astype(float) * 10, rtol=1e-6)
    np.testing.assert_allclose(OutputFilter(-20, False).process(x), x.astype(float) / 10, rtol=1e-6)


def test_gain_goes_with_the_filters() -> None:
    plain, loud = InputFilter(0, 80, True).process(NOISE), InputFilter(6, 80, True).process(NOISE)
    np.testing.assert_allclose(loud, plain * 10**0.3, rtol=1e-5, atol=1e-2)
    expected = reference([high_pass(80), de_emphasis()], NOISE)
    np.testing.assert_allclose(plain, expected, rtol=1e-6, atol=1e-2)
    pre = OutputFilter(-6, True).process(NOISE)
    np.testing.assert_allclose(pre, reference([pre_emphasis()], NOISE) * 10**-0.3, rtol=1e-6, atol=1e-2)


def test_reset_forgets_what_was_before_a_gap() -> None:
    f = InputFilter(0, 80, True)
    first = f.process(NOISE[:960])
    assert not np.array_equal(f.process(NOISE[:960]), first)
    f.reset()
    np.testing.assert_array_equal(f.process(NOISE[:960]), first)


def test_long_silence_ends_in_exact_silence_not_in_denormals() -> None:
    chain = BiquadChain(CHAINS["de-emphasis"])
    chain.process(NOISE)
    silent = np.zeros(4800, np.int16)
    for _ in range(20):
        last = chain.process(silent)
    assert not last.any()


def test_empty_block() -> None:
    assert InputFilter(0, 80, True).process(NOISE[:0]).shape == (0,)


def test_input_is_left_alone() -> None:
    x = NOISE.copy()
    InputFilter(3, 80, True).process(x)
    InputFilter(0, 0, False).process(x)[:] = 0
    np.testing.assert_array_equal(x, NOISE)


@pytest.mark.parametrize("corner_hz", [-1, 0, 0.9, 24000, math.nan])
def test_corner_outside_the_band_is_refused(corner_hz: float) -> None:
    words = f"corner_hz {corner_hz}: expected at least 1 and less than 24000"
    with pytest.raises(ValueError, match=f"^{words}$"):
        high_pass(corner_hz)


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^corner_hz -80: expected at least 1 and less than 24000$"):
        InputFilter(0, -80, False)
    with pytest.raises(ValueError, match=r"^gain_db nan: expected -120 to 120$"):
        InputFilter(math.nan, 0, False)
    with pytest.raises(ValueError, match=r"^rate_hz 8000: expected 16000 or more$"):
        de_emphasis(8000)
    with pytest.raises(ValueError, match=r"^0 sections: expected 1 to 4$"):
        BiquadChain([])
    with pytest.raises(ValueError, match=r"unstable, a pole lies on or outside the unit circle$"):
        BiquadChain([Biquad(1, 0, 0, 0, 1.0)])
