"""Levels: what a meter must not get wrong at the edges of int16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from echostream.audio.format import Samples, silence
from echostream.audio.levels import FLOOR_DBFS, Level, LevelMeter, rms_dbfs
from echostream.audio.limiter import Limiter


def constant(value: int, count: int = 960) -> Samples:
    return np.full(count, value, np.int16)


def test_silence_and_nothing_read_the_floor() -> None:
    assert rms_dbfs(silence(960)) == FLOOR_DBFS == -120.0
    assert rms_dbfs(silence(0)) == FLOOR_DBFS
    meter = LevelMeter()
    assert meter.snapshot() == Level(FLOOR_DBFS, FLOOR_DBFS, 0, FLOOR_DBFS)
    meter.update(silence(960))
    assert meter.snapshot() == Level(FLOOR_DBFS, FLOOR_DBFS, 0, FLOOR_DBFS)


def test_most_negative_sample_does_not_overflow() -> None:
    meter = LevelMeter()
    meter.update(constant(-32768))
    assert meter.rms_dbfs == pytest.approx(0.0, abs=1e-4)
    assert meter.peak_dbfs == 0.0
    assert (meter.clipped, meter.clipped_frames) == (960, 1)


def test_full_scale_sine_reads_minus_three() -> None:
    sine = np.rint(32767 * np.sin(np.arange(960) * 2 * np.pi / 48)).astype(np.int16)
    assert rms_dbfs(sine) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(("value", "clips"), [(32767, True), (-32767, True), (-32768, True), (32766, False)])
def test_either_stop_of_the_converter_counts_as_clipped(value: int, clips: bool) -> None:
    meter = LevelMeter()
    frame = silence(960)
    frame[17] = value
    meter.update(frame)
    meter.update(silence(960))
    assert meter.clipped == meter.clipped_frames == int(clips)
    assert meter.peak_dbfs == FLOOR_DBFS, "peak is that of the last frame"


def test_clipping_is_counted_where_the_converter_was_and_level_where_the_frame_is() -> None:
    meter = LevelMeter()
    meter.update(constant(1000), converted=constant(-32768))
    assert (meter.clipped, meter.clipped_frames) == (960, 1)
    assert meter.peak_dbfs == pytest.approx(20 * np.log10(1000 / 32768))
    meter.update(constant(32767), converted=constant(1000))
    assert meter.clipped_frames == 1, "what gain alone made is no clipping of the converter"


def test_mean_weighs_frames_by_their_length_and_empty_frames_not_at_all() -> None:
    meter = LevelMeter()
    meter.update(constant(8000, 480))
    meter.update(silence(480))
    before = meter.snapshot()
    meter.update(silence(0))
    assert meter.snapshot() == before
    assert meter.mean_dbfs == pytest.approx(20 * np.log10(8000 / 32768) - 3.0103, abs=1e-3)
    assert before.rms_dbfs == FLOOR_DBFS


@settings(max_examples=60, deadline=None)
@given(arrays(np.int16, st.integers(1, 500)))
def test_agrees_with_wide_arithmetic(samples: Samples) -> None:
    meter = LevelMeter()
    meter.update(samples)
    wide = samples.astype(np.float64)
    power = float(np.mean(wide**2))
    expected = max(-120.0, 10 * np.log10(power / 32768**2)) if power else -120.0
    assert meter.rms_dbfs == pytest.approx(expected, abs=1e-3)
    assert meter.mean_dbfs == pytest.approx(expected, abs=1e-3)
    assert meter.clipped == int(np.sum(np.abs(wide) >= 32767))
    assert meter.peak_dbfs <= 0.0
    assert meter.peak_dbfs >= meter.rms_dbfs - 1e-3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 4))
def test_what_the_limiter_found_reads_as_if_measured_again(seed: int, gain: float) -> None:
    frame = (np.random.default_rng(seed).standard_normal(960) * 10_000 * gain).astype(np.float32)
    limiter, measured, told = Limiter(), LevelMeter(), LevelMeter()
    out = limiter.process(frame)
    measured.update(out)
    told.update(out, known=(limiter.peak, limiter.energy))
    assert told.snapshot() == measured.snapshot()


def test_level_is_frozen() -> None:
    with pytest.raises(AttributeError):
        LevelMeter().snapshot().rms_dbfs = 0.0  # type: ignore[misc]
