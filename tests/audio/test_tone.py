"""The beep: right pitch, right level, no click."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.tone import beep


def test_pitch_level_and_length() -> None:
    wave = beep(1000, 200, -12)
    assert wave.dtype == np.int16
    assert wave.shape == (9600,)
    middle = wave[2400:7200].astype(float)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert np.argmax(spectrum) * 48000 / middle.size == pytest.approx(1000, abs=10)
    assert 20 * math.log10(np.abs(middle).max() / 32768) == pytest.approx(-12, abs=0.01)


def test_full_level_does_not_wrap() -> None:
    wave = beep(997, 100, 0)
    assert wave.max() == 32767
    assert wave.min() == -32767


@settings(max_examples=60, deadline=None)
@given(st.floats(100, 4000), st.floats(12, 300), st.floats(-40, 0))
def test_no_step_steeper_than_the_sine_itself(
    frequency_hz: float, length_ms: float, level_dbfs: float
) -> None:
    wave = beep(frequency_hz, length_ms, level_dbfs).astype(float)
    peak = 32768 * 10 ** (level_dbfs / 20)
    steepest = peak * (2 * math.pi * frequency_hz / 48000 + math.pi / 2 / 240) + 1
    assert np.abs(np.diff(wave, prepend=0, append=0)).max() <= steepest
    assert abs(wave[0]) <= 1
    assert abs(wave[-1]) <= 1


@pytest.mark.parametrize("length_ms", [0.01, 0.02, 0.05, 1, 9])
def test_shorter_than_its_edges(length_ms: float) -> None:
    wave = beep(1000, length_ms, -6)
    assert wave.size == round(length_ms * 48)
    assert np.abs(wave.astype(int)).max(initial=0) <= 32768 * 10 ** (-6 / 20)


def test_other_rates() -> None:
    assert beep(440, 100, -20, rate_hz=16000).shape == (1600,)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0, 100, -12), "frequency_hz 0: expected more than 0 and less than 24000"),
        ((24000, 100, -12), "frequency_hz 24000: expected more than 0 and less than 24000"),
        ((math.nan, 100, -12), "frequency_hz nan: expected more than 0 and less than 24000"),
        ((1000, 0, -12), "length_ms 0: expected more than 0 and at most 10000"),
        ((1000, 10_001, -12), "length_ms 10001: expected more than 0 and at most 10000"),
        ((1000, 100, 0.5), "level_dbfs 0.5: expected -120 to 0"),
        ((1000, 100, -121), "level_dbfs -121: expected -120 to 0"),
        ((1000, 100, -12, 0), "rate_hz 0: expected more than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[float, float, float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        beep(*arguments)
