"""Levels are measured as ITU-T P.56 says, and what is said about them is true."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import echostream.simulator as simulator
from echostream.audio.format import FULL_SCALE, RATE_HZ, Samples
from echostream.audio.levels import FLOOR_DBFS
from echostream.config.models import Channel, Vox
from echostream.simulator.file_cards import read_wav
from echostream.tune.active_level import active_level
from echostream.tune.advice import AIM_DBFS, Advice, Fader, advise, suggest
from echostream.tune.levels import InputLevels, measure_input

SPEECH = read_wav(Path(simulator.__file__).parent / "speech" / "microphone.wav")
CHANNEL = Channel(id="channel", card="usb0")


def sine(rms_dbfs: float, duration_s: float, hz: float = 440.0) -> NDArray[np.float64]:
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    wave: NDArray[np.float64] = np.sqrt(2) * 10 ** (rms_dbfs / 20) * np.sin(2 * np.pi * hz * t)
    return wave


def samples(wave: NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(wave * FULL_SCALE), -32768, 32767).astype(np.int16)


def talk(active_dbfs: float, noise_dbfs: float = -65.0, seed: int = 1) -> Samples:
    """Phrases of recorded speech at that active level, with pauses between them, in noise."""
    rng = np.random.default_rng(seed)
    phrase = SPEECH[: 3 * RATE_HZ].astype(np.float64) / FULL_SCALE
    phrase -= phrase.mean()
    phrase *= 10 ** ((active_dbfs - active_level(SPEECH[: 3 * RATE_HZ]).active_dbfs) / 20)
    wave = np.concatenate([np.concatenate((np.zeros(RATE_HZ), phrase)) for _ in range(2)])
    return samples(wave + rng.normal(0.0, 10 ** (noise_dbfs / 20), len(wave)))


def quiet(noise_dbfs: float, seed: int = 2) -> Samples:
    return samples(np.random.default_rng(seed).normal(0.0, 10 ** (noise_dbfs / 20), 3 * RATE_HZ))


def said(levels: InputLevels, channel: Channel = CHANNEL, fader: Fader | None = None) -> dict[str, Advice]:
    suggestion = suggest(levels, channel.input_gain_db, fader or Fader())
    return {one.about: one for one in advise(levels, channel, suggestion)}


# ---- P.56


@pytest.mark.parametrize("level", [-6.0, -26.0, -45.0])
def test_a_steady_tone_is_as_loud_as_its_rms(level: float) -> None:
    found = active_level(samples(sine(level, 8.0)))
    assert found.active_dbfs == pytest.approx(level, abs=0.1)
    assert found.activity == pytest.approx(1.0, abs=0.02)


def test_pauses_do_not_make_speech_softer() -> None:
    """Half of the time silent: the RMS falls by 3 dB, the active level does not."""
    burst = np.concatenate((sine(-20.0, 4.0), np.zeros(4 * RATE_HZ)))
    found = active_level(samples(np.tile(burst, 3)))
    assert found.long_term_dbfs == pytest.approx(-23.0, abs=0.1)
    assert found.active_dbfs == pytest.approx(-20.3, abs=0.3)
    assert 0.5 < found.activity < 0.58  # the hangover of 0.2 s counts as active


@settings(max_examples=10, deadline=None)
@given(gain_db=st.floats(-35.0, 4.0))
def test_what_is_louder_by_so_much_is_measured_so(gain_db: float) -> None:
    reference = active_level(SPEECH)
    louder = samples(SPEECH.astype(np.float64) / FULL_SCALE * 10 ** (gain_db / 20))
    found = active_level(louder)
    assert found.active_dbfs - reference.active_dbfs == pytest.approx(gain_db, abs=0.2)
    assert found.activity == pytest.approx(reference.activity, abs=0.03)


def test_the_activity_is_what_makes_long_term_of_active() -> None:
    found = active_level(SPEECH)
    assert 10 * np.log10(found.activity) == pytest.approx(found.long_term_dbfs - found.active_dbfs, abs=0.01)


def test_noise_below_speech_does_not_change_its_level() -> None:
    assert active_level(talk(-26.0, noise_dbfs=-60.0)).active_dbfs == pytest.approx(-26.0, abs=0.5)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=3000), st.integers(0, 100))
def test_no_input_breaks_it(junk: bytes, times: int) -> None:
    heard = np.tile(np.frombuffer(junk[: len(junk) // 2 * 2], np.int16), times)[: 4 * RATE_HZ]
    found = active_level(heard)
    assert FLOOR_DBFS <= found.active_dbfs <= 0.1
    assert 0 <= found.activity <= 1
    if len(heard):
        levels = measure_input(heard)
        assert said(levels)


def test_silence_is_nobody() -> None:
    assert active_level(np.zeros(RATE_HZ, np.int16)).active_dbfs == FLOOR_DBFS
    assert active_level(np.zeros(0, np.int16)).activity == 0.0


# ---- everything else of a take


def test_speech_noise_and_peaks_are_told_apart() -> None:
    levels = measure_input(talk(-26.0, noise_dbfs=-60.0))
    assert levels.spoken
    assert levels.paused
    assert levels.noise_dbfs == pytest.approx(-60.0, abs=1.0)
    assert levels.noise_top_dbfs == pytest.approx(-59.5, abs=1.0)
    assert levels.speech.active_dbfs == pytest.approx(-26.0, abs=0.5)
    assert levels.clipped == 0


def test_a_take_of_silence_goes_before_the_guess() -> None:
    levels = measure_input(talk(-26.0, noise_dbfs=-70.0), quiet(-50.0))
    assert levels.noise_dbfs == pytest.approx(-50.0, abs=0.3)


def test_who_never_pauses_is_not_taken_for_noise() -> None:
    levels = measure_input(SPEECH[:RATE_HZ])
    found = said(levels)
    assert levels.spoken
    assert not levels.paused
    assert found["noise"].sort == "note"
    assert "vox" not in found


def test_noise_alone_is_nobody() -> None:
    levels = measure_input(quiet(-40.0))
    assert not levels.spoken
    assert said(levels)["speech"].sort == "change"


def test_hum_alone_is_nobody() -> None:
    assert not measure_input(samples(sine(-35.0, 5.0, 50.0))).spoken


def test_an_offset_is_seen() -> None:
    heard = (talk(-26.0) + 600).astype(np.int16)
    levels = measure_input(heard)
    assert levels.dc_dbfs == pytest.approx(20 * np.log10(600 / FULL_SCALE), abs=0.5)
    assert said(levels)["offset"].sort == "note"


def test_hum_is_named() -> None:
    hum = samples(sine(-42.0, 6.0, 60.0))
    levels = measure_input(talk(-26.0), hum)
    assert levels.hum_hz == 60.0
    assert levels.hum_dbfs == pytest.approx(-42.0, abs=0.5)
    assert "60 Hz" in said(levels)["hum"].words


# ---- what to do


def test_good_speech_wants_nothing() -> None:
    levels = measure_input(talk(-25.0))
    assert {one.sort for one in said(levels).values()} <= {"good", "note"}
    assert suggest(levels, 0.0, Fader("Mic", 10.0, 20.0)).mixer_db == 0.0


@settings(max_examples=6, deadline=None)
@given(level=st.floats(-55.0, -15.0), gain=st.floats(-10.0, 20.0))
def test_after_what_is_suggested_speech_is_where_it_should_be(level: float, gain: float) -> None:
    """Without a fader by the gateway's gain alone; with one that reaches far enough, by both."""
    levels = measure_input(talk(level, noise_dbfs=-90.0))
    for fader in (Fader(), Fader("Mic", 40.0, 40.0)):
        found = suggest(levels, gain, fader)
        new_gain = gain if found.input_gain_db is None else found.input_gain_db
        assert -30.5 <= levels.speech.active_dbfs + found.mixer_db + new_gain <= -19.5


def test_the_cards_fader_comes_first_and_clips_nothing() -> None:
    levels = measure_input(talk(-45.0))
    found = suggest(levels, 0.0, Fader("Mic", 30.0, 20.0))
    assert found.mixer_db == pytest.approx(AIM_DBFS + 45.0, abs=1.0)
    assert found.input_gain_db is None
    assert levels.peak_dbfs + found.mixer_db <= -3.0


def test_a_fader_that_does_not_reach_leaves_the_rest_to_the_gain() -> None:
    levels = measure_input(talk(-45.0))
    found = suggest(levels, 0.0, Fader("Mic", 8.0, 20.0))
    assert found.mixer_db == 8.0
    assert found.input_gain_db == pytest.approx(11.0, abs=1.0)


def test_what_clips_is_turned_down_at_the_card_and_never_up() -> None:
    loud = samples(SPEECH.astype(np.float64) / FULL_SCALE * 8)
    levels = measure_input(loud)
    assert levels.clipped
    found = suggest(levels, 0.0, Fader("Mic", 10.0, 20.0))
    assert found.mixer_db == -6.0
    assert said(levels)["clipping"].sort == "change"
    assert "converter" in said(levels)["clipping"].words


def test_noise_that_is_too_near_is_said() -> None:
    found = said(measure_input(talk(-30.0, noise_dbfs=-45.0), quiet(-45.0)))
    assert found["noise"].sort == "change"
    assert "squelch" in found["noise"].words


def test_a_threshold_lies_between_noise_and_speech() -> None:
    levels = measure_input(talk(-26.0, noise_dbfs=-60.0), quiet(-60.0))
    found = suggest(levels, 0.0, Fader())
    assert found.vox_dbfs is not None
    assert levels.noise_top_dbfs + 6 <= found.vox_dbfs <= levels.speech.active_dbfs - 6


def test_where_no_threshold_would_do_the_squelch_line_is_recommended() -> None:
    levels = measure_input(talk(-30.0, noise_dbfs=-38.0), quiet(-38.0))
    assert suggest(levels, 0.0, Fader()).vox_dbfs is None
    assert "cos" in said(levels)["vox"].words


def test_a_voice_valve_that_is_used_is_judged() -> None:
    levels = measure_input(talk(-26.0, noise_dbfs=-60.0), quiet(-60.0))
    shut = CHANNEL.model_copy(update={"vox": Vox(enabled=True, threshold_dbfs=-10.0)})
    good = CHANNEL.model_copy(update={"vox": Vox(enabled=True, threshold_dbfs=-43.0)})
    assert said(levels, shut)["vox"].sort == "change"
    assert said(levels, good)["vox"].sort == "good"
