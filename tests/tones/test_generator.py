"""Pages as sound: exact in length and frequency, pure, without clicks, never clipped."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import butter, get_window, sosfiltfilt

from echostream.tones.generator import (
    EDGE_S,
    Part,
    at_once,
    dtmf,
    five_tone,
    one_tone,
    parts_for,
    render,
    to_int16,
    two_tone,
)
from echostream.tones.plan import AtOnce, Digits, OneTone, TwoTone
from echostream.tones.tables import DTMF, FIVE_TONE

RATES_HZ = (8000, 16_000, 44_100, 48_000)
PAGE = TwoTone("engine-7", 349.0, 433.7)

Sound = NDArray[np.float64]


def spectrum_db(sound: Sound) -> Sound:
    """Level in each bin, 0 at the strongest, with a window whose side lobes are 92 dB down."""
    power = np.abs(np.fft.rfft(sound * get_window("blackmanharris", sound.size))) ** 2
    decibels: Sound = 10 * np.log10(power / power.max() + 1e-30)
    return decibels


def measured_hz(sound: Sound, rate_hz: int) -> float:
    """By the phase that the tone gains between the halves of the sound."""
    half = sound.size // 2
    bins = np.fft.rfft(sound[:half] * np.hanning(half))
    rough_hz = int(np.argmax(np.abs(bins))) * rate_hz / half
    turn = np.exp(-2j * math.pi * rough_hz / rate_hz * np.arange(2 * half)) * np.tile(np.hanning(half), 2)
    turned = sound[: 2 * half] * turn
    first, second = complex(np.sum(turned[:half])), complex(np.sum(turned[half:]))
    return rough_hz + float(np.angle(second / first)) / (2 * math.pi) * rate_hz / half


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_a_page_lasts_one_second_and_three_to_the_sample(rate_hz: int) -> None:
    sound = render(two_tone(PAGE), rate_hz)
    assert sound.size == 4 * rate_hz
    level = [float(np.std(sound[at : at + rate_hz // 10])) for at in range(0, sound.size, rate_hz // 10)]
    assert min(level) > 0.9 * max(level)


def test_a_gap_is_silent_and_as_long_as_asked() -> None:
    sound = render(two_tone(PAGE, a_s=0.5, b_s=0.25, gap_s=0.125), 8000)
    assert sound.size == 7000
    assert not sound[4000:5000].any()
    assert np.abs(sound[3950:4000]).max() > 0
    assert np.abs(sound[5000:5050]).max() > 0


def test_lengths_that_fit_no_sample_do_not_add_up_to_an_error() -> None:
    parts = [Part(0.0333, (1000.0,))] * 100
    assert render(parts, 8000).size == round(3.33 * 8000)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("hz", [288.5, 1153.4, 2468.2])
def test_a_tone_has_its_frequency_to_a_thousandth_of_a_hertz(hz: float, rate_hz: int) -> None:
    sound = render([Part(4.0, (hz,))], rate_hz)[rate_hz // 2 : 3 * rate_hz]
    assert measured_hz(sound, rate_hz) == pytest.approx(hz, abs=1e-3)


def test_a_tone_of_ten_minutes_has_not_drifted_at_its_end() -> None:
    sound = render([Part(600.0, (1750.0,))], 8000)[-8000:]
    assert measured_hz(sound[:7000], 8000) == pytest.approx(1750.0, abs=1e-3)


def test_a_tone_is_pure_to_90_db() -> None:
    sound = render([Part(1.0, (1006.9,))], 8000)[200:-200]
    decibels = spectrum_db(sound)
    top = int(np.argmax(decibels))
    beside = np.concatenate((decibels[: top - 5], decibels[top + 6 :]))
    assert beside.max() < -90


def test_rounding_to_16_bits_adds_nothing_above_90_db_below_full_scale() -> None:
    pcm = to_int16(render([Part(1.0, (1006.9,))], 8000, 0.0))[200:-200]
    decibels = spectrum_db(pcm / 32768.0)
    top = int(np.argmax(decibels))
    assert np.concatenate((decibels[: top - 5], decibels[top + 6 :])).max() < -90


def test_edges_do_not_click() -> None:
    """What an edge sends far beside the tone: 40 dB less than a hard one does."""
    parts = [Part(0.2), Part(0.5, (500.0,)), Part(0.2), Part(0.5, (707.3,)), Part(0.2)]
    beyond = butter(6, 2000.0, "highpass", fs=8000, output="sos")
    soft = np.abs(sosfiltfilt(beyond, render(parts, 8000))).max()
    hard = np.abs(sosfiltfilt(beyond, render(parts, 8000, edge_s=0.0))).max()
    assert soft < 0.01 * hard


def test_an_edge_is_a_raised_cosine_inside_the_tones_length() -> None:
    sound = np.abs(render([Part(0.1, (2000.0,))], 48_000, 0.0))
    edge = round(EDGE_S * 48_000)
    crests = sound[: 2 * edge].reshape(-1, 24).max(axis=1)  # 24 samples a period
    middles = (np.arange(crests.size) + 0.5) * 24
    expected = np.where(middles < edge, 0.5 - 0.5 * np.cos(math.pi * middles / edge), 1.0)
    assert np.abs(crests - expected).max() < 0.1
    assert sound[0] == 0.0
    assert sound[-1] < 0.01


def test_a_continuous_step_keeps_phase_and_level() -> None:
    parts = [Part(0.25, (301.0,)), Part(0.25, (451.0,))]
    sound = render(parts, 8000, 0.0, continuous=True)
    step = np.abs(np.diff(sound[1900:2100])).max()
    assert step <= 2 * math.pi * 451.0 / 8000 + 1e-9
    assert np.abs(sound[1990:2011]).max() > 0.9  # no dip where they meet
    apart = render(parts, 8000, 0.0)
    assert np.abs(apart[1997:2003]).max() < 0.1


def test_a_silence_between_makes_both_edges_even_when_continuous() -> None:
    parts = [Part(0.1, (1000.0,)), Part(0.05), Part(0.1, (1000.0,))]
    sound = render(parts, 8000, 0.0, continuous=True)
    assert abs(sound[799]) < 0.02
    assert abs(sound[1200]) < 0.02


@given(
    level_dbfs=st.floats(-60, 0),
    tones=st.lists(st.floats(100, 3900), min_size=1, max_size=4),
    over_db=st.floats(-12, 12),
)
@settings(max_examples=60, deadline=None)
def test_nothing_is_louder_than_its_level_however_many_tones(
    level_dbfs: float, tones: list[float], over_db: float
) -> None:
    part = Part(0.1, tuple(tones), (0.0,) * (len(tones) - 1) + (over_db,))
    sound = render([part], 8000, level_dbfs)
    assert np.abs(sound).max() <= 10 ** (level_dbfs / 20) + 1e-12
    assert np.abs(to_int16(sound).astype(np.int32)).max() <= 32768


def test_full_scale_does_not_wrap_around() -> None:
    assert to_int16(np.array([1.0, -1.0, 0.0])).tolist() == [32767, -32768, 0]


def test_the_level_is_that_of_the_sine() -> None:
    sound = render([Part(1.0, (1000.0,))], 8000, -20.0)[400:-400]
    assert 20 * math.log10(float(np.std(sound)) * math.sqrt(2)) == pytest.approx(-20.0, abs=0.01)


@pytest.mark.parametrize("key", sorted(DTMF))
def test_a_key_is_its_two_tones_with_the_twist_asked_for(key: str) -> None:
    sound = render(dtmf(key, tone_s=0.5, twist_db=3.0), 8000)[100:-100]
    turn = np.arange(sound.size) / 8000
    window = np.hanning(sound.size)
    low, high = (abs(np.sum(sound * window * np.exp(-2j * math.pi * hz * turn))) for hz in DTMF[key])
    assert 20 * math.log10(high / low) == pytest.approx(3.0, abs=0.05)


def test_digits_have_pauses_between_them_and_none_after() -> None:
    assert render(dtmf("12#", tone_s=0.05, pause_s=0.07), 8000).size == round((3 * 0.05 + 2 * 0.07) * 8000)


def test_small_letters_are_keys_too() -> None:
    assert dtmf("ab") == dtmf("AB")


@pytest.mark.parametrize("name", sorted(FIVE_TONE))
def test_a_five_tone_call_has_the_systems_lengths_and_repeats(name: str) -> None:
    system = FIVE_TONE[name]
    parts = five_tone(name, "11234", first_s=0.7)
    assert [part.length_s for part in parts] == [0.7] + [system.tone_s] * 4
    assert [part.hz[0] for part in parts][:3] == [system.digits_hz[1], system.repeat_hz, system.digits_hz[2]]


@pytest.mark.parametrize("a_length_s", [0.3, 0.8, 2.0])
def test_a_page_is_never_shorter_than_its_own_definition_asks(a_length_s: float) -> None:
    definition = TwoTone("x", 349.0, 433.7, a_length_s=a_length_s, b_length_s=4.0)
    a, b = two_tone(definition)
    assert a.length_s >= max(1.0, 1.2 * a_length_s)
    assert b.length_s >= 4.8


def test_each_definition_has_its_parts() -> None:
    assert [part.hz for part in parts_for(PAGE)] == [(349.0,), (433.7,)]
    assert (
        parts_for(OneTone("group", 1513.5)) == one_tone(OneTone("group", 1513.5)) == (Part(8.0, (1513.5,)),)
    )
    assert parts_for(OneTone("burst", 1750.0, 0.2)) == (Part(0.25, (1750.0,)),)
    both = AtOnce("both", (500.0, 700.0), (900.0, 1100.0))
    assert parts_for(both) == at_once(both) == (Part(1.0, (500.0, 700.0)), Part(1.0, (900.0, 1100.0)))
    assert parts_for(Digits("d", "dtmf", "12")) == dtmf("12")
    assert parts_for(Digits("z", "zvei1", "12345")) == five_tone("zvei1", "12345")


@pytest.mark.parametrize(
    ("parts", "rate_hz", "level_dbfs", "words"),
    [
        ([Part(1.0, (4000.0,))], 8000, -12.0, "4000 Hz"),
        ([Part(1.0, (0.0,))], 8000, -12.0, "0 Hz"),
        ([Part(1.0, (math.nan,))], 8000, -12.0, "nan Hz"),
        ([Part(0.0, (1000.0,))], 8000, -12.0, "length 0 s"),
        ([Part(601.0)], 8000, -12.0, "length 601 s"),
        ([Part(300.0)] * 3, 8000, -12.0, "900 s"),
        ([Part(1.0, (1000.0,))], 8000, 0.1, "level_dbfs"),
        ([Part(1.0, (1000.0,))], 0, -12.0, "rate_hz"),
        ([Part(1.0, (1000.0,), (0.0, 1.0))], 8000, -12.0, "2 levels for 1 tones"),
    ],
)
def test_what_cannot_be_made_is_said(parts: list[Part], rate_hz: int, level_dbfs: float, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        render(parts, rate_hz, level_dbfs)


def test_digits_that_do_not_exist_are_said() -> None:
    with pytest.raises(ValueError, match="no key 'E'"):
        dtmf("12E")
    with pytest.raises(ValueError, match="digit '\\?'"):
        parts_for(Digits("any", "zvei1", "12?45"))
    with pytest.raises(ValueError, match="expected one of zvei1"):
        five_tone("zvei9", "12345")


def test_nothing_is_nothing() -> None:
    assert render([], 8000).size == 0
