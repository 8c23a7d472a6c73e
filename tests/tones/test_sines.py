"""Edges and frequencies of short tones from their samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tone_scenes import RATE_HZ, pause, tone

from echostream.tones.sines import bend, extent, fit_sines

PAIR = (770.0, 1336.0)


@settings(max_examples=60, deadline=None)
@given(count=st.integers(180, 1500), start=st.integers(200, 400), phase=st.floats(0, 6))
def test_edges_are_found_to_the_millisecond(count: int, start: int, phase: float) -> None:
    sound = np.zeros(2300)
    sound[start : start + count] = tone(*PAIR, s=count / RATE_HZ, phase=phase)
    found = extent(sound, PAIR, start + count // 2)
    assert found is not None
    assert abs(found.start - start) < 8
    assert abs(found.end - start - count) < 8
    assert not found.open_start
    assert not found.open_end


def test_a_tone_that_goes_on_has_open_ends() -> None:
    found = extent(tone(*PAIR, s=0.1), PAIR, 400)
    assert found is not None
    assert found.open_start
    assert found.open_end


@pytest.mark.parametrize(("hole_ms", "one"), [(9, True), (18, True), (30, False), (40, False)])
def test_a_short_hole_is_part_of_a_tone_and_a_pause_is_not(hole_ms: int, one: bool) -> None:
    sound = np.concatenate([pause(0.05), tone(*PAIR, s=0.05), pause(hole_ms / 1000), tone(*PAIR, s=0.05)])
    found = extent(np.concatenate([sound, pause(0.05)]), PAIR, 500)
    assert found is not None
    assert (found.end - found.start > 0.1 * RATE_HZ) is one
    assert (len(found.holes) == 1) is one


def test_silence_has_no_extent_that_counts() -> None:
    assert extent(np.zeros(800), PAIR, 400) is None


@pytest.mark.parametrize("off_hz", [-15.0, 0.0, 8.0])
@pytest.mark.parametrize("snr_db", [3.0, 20.0])
def test_frequencies_and_powers_are_measured(off_hz: float, snr_db: float) -> None:
    sent = (PAIR[0] + off_hz, PAIR[1] - off_hz)
    rng = np.random.default_rng(2)
    power = 2 * 10 ** (-24 / 10)
    sound = tone(*sent, s=0.05) + rng.normal(0, np.sqrt(power * 10 ** (-snr_db / 10)), 400)
    fit = fit_sines(sound, PAIR, 560.0)
    assert abs(fit.hz[0] - sent[0]) < 0.6 + 4 * 10 ** (-snr_db / 20)
    assert abs(fit.hz[1] - sent[1]) < 0.6 + 4 * 10 ** (-snr_db / 20)
    assert abs(fit.snr_db - snr_db) < 1.5
    assert abs(10 * np.log10(fit.power / power)) < 1.5


def test_a_third_tone_is_seen_and_what_lies_under_the_band_apart() -> None:
    third = tone(2200.0, s=0.06, level_dbfs=-36.0)
    fit = fit_sines(tone(*PAIR, s=0.06) + third, PAIR, 560.0)
    assert abs(10 * np.log10(fit.third) + 12) < 0.5
    assert fit.below < 0.001
    fit = fit_sines(tone(*PAIR, s=0.06) + tone(425.0, s=0.06), PAIR, 560.0)
    assert fit.third < 0.01
    assert abs(fit.below - 0.5) < 0.05


def test_a_tone_that_glides_bends() -> None:
    at = np.arange(320) / RATE_HZ
    steady = np.sin(2 * np.pi * 1450 * at)
    gliding = np.sin(2 * np.pi * (1400 * at + 0.5 * (100 / 0.04) * at**2))
    assert bend(steady, 1446.0) < 0.1
    assert bend(gliding, 1450.0) > 1.5
