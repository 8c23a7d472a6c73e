"""MDC1200 by hazard. Bursts come from tests/support/mdc_burst.py; noise is white in 0-4 kHz."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mdc_burst import SYNC_S, WORD_S, Sound, burst, interleaved, word_bits
from scipy.signal import butter, sosfilt
from tone_scenes import listen, pause

from echostream.tones.heard import Detection, Heard, Kind, NearMiss
from echostream.tones.mdc1200 import Mdc1200Ear
from echostream.tones.mdc1200_word import Word, read_word
from echostream.tones.plan import ListenPlan

SPEECH = sorted((Path(__file__).parents[2] / "echostream/simulator/speech").glob("*.wav"))
PTT_ID = (0x01, 0x80, 0x1234)
PREAMBLE_S = 24 / 1200


def hear(sound: Sound, ear: Mdc1200Ear | None = None) -> list[Heard]:
    ear = ear or Mdc1200Ear()
    whole = np.pad(sound, (0, -sound.size % 512)).astype(np.float32)
    heard: list[Heard] = []
    for block in whole.reshape(-1, 512):
        heard += ear.hear(block)
    return heard + ear.finish()


def ids(sound: Sound) -> list[str]:
    return [item.digits for item in hear(sound) if isinstance(item, Detection)]


def only(sound: Sound) -> Detection:
    (heard,) = hear(sound)
    assert isinstance(heard, Detection)
    return heard


def among(sound: Sound, before_s: float = 0.2, after_s: float = 0.2) -> Sound:
    return np.concatenate([pause(before_s), sound, pause(after_s)])


def noisy(sound: Sound, snr_db: float, rng: np.random.Generator, level_dbfs: float = -24.0) -> Sound:
    return sound + rng.normal(0, 10 ** ((level_dbfs - snr_db) / 20), sound.size)


def soft(bits: list[int]) -> Sound:
    return np.asarray(bits) * 2.0 - 1.0


@pytest.mark.parametrize(
    ("words", "unit"), [("10082143e2e30056088a26dd8880", 0x1234), ("1008001012ef00560823565ca432", 0x0001)]
)
def test_words_that_radios_sent_are_read(words: str, unit: int) -> None:
    # As published off the air, the two digits of each byte exchanged.
    sent = bytes(int(words[at + 1] + words[at], 16) for at in range(0, 28, 2))
    bits = interleaved([byte >> bit & 1 for byte in sent for bit in range(8)])
    assert read_word(soft(bits)) == Word(0x01, 0x80, unit, 0)
    assert bits == word_bits(0x01, 0x80, unit)


def test_a_burst_says_who_and_what_and_when() -> None:
    heard = only(among(burst(PTT_ID)))
    assert (heard.kind, heard.digits, heard.system) == (Kind.MDC1200, "1234", "op=01 arg=80 ptt_id")
    assert heard.start == pytest.approx((0.2 + PREAMBLE_S) * 8000, abs=3)
    assert heard.end - heard.start == pytest.approx((SYNC_S + WORD_S) * 8000, abs=3)
    assert 0 <= heard.decided - heard.end < 800
    assert heard.level_dbfs == pytest.approx(-24.0, abs=0.3)
    assert heard.confidence == 1.0


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ((0x00, 0x80, 1), "op=00 arg=80 emergency"),
        ((0x01, 0x00, 1), "op=01 arg=00 post_id"),
        ((0x46, 0x03, 1), "op=46 arg=03 status"),
        ((0x63, 0x85, 1), "op=63 arg=85 radio_check"),
        ((0x2B, 0x00, 1), "op=2b arg=00 disable"),
        ((0x2B, 0x0C, 1), "op=2b arg=0c enable"),
        ((0x77, 0xFE, 1), "op=77 arg=fe"),
    ],
)
def test_what_is_meant_is_said(word: tuple[int, int, int], meaning: str) -> None:
    assert only(among(burst(word))).system == meaning


def test_a_double_packet_is_one_call_with_both_units() -> None:
    heard = only(among(burst((0x35, 0x89, 0x5678), (0x83, 0x0D, 0x1234))))
    assert heard.digits == "5678"
    assert heard.system == "op=35 arg=89 op2=83 arg2=0d from=1234 call_alert"
    assert heard.end - heard.start == pytest.approx((SYNC_S + 2 * WORD_S) * 8000, abs=4)


def test_a_double_packet_whose_second_word_is_lost_says_who_is_called() -> None:
    whole = burst((0x35, 0x89, 0x5678), (0x83, 0x0D, 0x1234))
    lost = whole.copy()
    lost[round((PREAMBLE_S + SYNC_S + WORD_S) * 8000) :] = 0
    assert only(among(lost)).system == "op=35 arg=89 call"
    cut = np.concatenate([pause(0.2), whole[: round((PREAMBLE_S + SYNC_S + WORD_S * 1.2) * 8000)]])
    assert only(cut).system == "op=35 arg=89 call"


@pytest.mark.parametrize(("snr_db", "least"), [(10.0, 100), (3.0, 100), (0.0, 97)])
def test_bursts_are_read_in_noise(snr_db: float, least: int) -> None:
    rng = np.random.default_rng(5)
    right = 0
    for _ in range(100):
        unit = int(rng.integers(1 << 16))
        sound = among(burst((0x01, 0x80, unit), delay=rng.random()), 0.05 + rng.random() * 0.07, 0.1)
        right += ids(noisy(sound, snr_db, rng)) == [f"{unit:04X}"]
    assert right >= least


@pytest.mark.parametrize("clock_ppm", [-500.0, 500.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_off_and_either_polarity(clock_ppm: float, sign: int) -> None:
    rng = np.random.default_rng(6)
    for _ in range(10):
        unit = int(rng.integers(1 << 16))
        sound = burst((0x35, 0x89, unit), (0x83, 0x0D, 7), clock_ppm=clock_ppm, delay=rng.random())
        assert ids(noisy(among(sign * sound), 10.0, rng)) == [f"{unit:04X}"]


@pytest.mark.parametrize("preamble_bits", [0, 1, 7, 64])
def test_no_preamble_is_needed_and_a_long_one_does_no_harm(preamble_bits: int) -> None:
    assert ids(among(burst(PTT_ID, preamble_bits=preamble_bits))) == ["1234"]


def test_a_burst_at_the_very_beginning_and_end_of_a_stream() -> None:
    assert ids(np.concatenate([burst(PTT_ID, preamble_bits=0), pause(0.1)])) == ["1234"]
    assert ids(np.concatenate([pause(0.1), burst(PTT_ID), pause(0.07)])) == ["1234"]


@pytest.mark.parametrize("slope", [-1.0, 1.0])
def test_audio_with_the_wrong_emphasis_is_read(slope: float) -> None:
    rng = np.random.default_rng(7)
    for _ in range(10):
        unit = int(rng.integers(1 << 16))
        sound = among(burst((0x01, 0x80, unit), delay=rng.random()))
        spectrum = np.fft.rfft(sound)
        hz = np.maximum(np.fft.rfftfreq(sound.size, 1 / 8000), 100.0)
        tilted = np.fft.irfft(spectrum * (1j * hz / 1500) ** slope, sound.size)
        voice = sosfilt(butter(4, (300, 3000), "band", fs=8000, output="sos"), tilted)
        assert ids(noisy(voice, 10.0, rng)) == [f"{unit:04X}"]


def test_noise_bursts_around_it_and_voice_after_it() -> None:
    rng = np.random.default_rng(8)
    voice = speech(SPEECH[0])[8000:16000]
    for gap_s in (0.0, 0.005, 0.03):
        crash = rng.normal(0, 0.3, 1600)
        sound = np.concatenate([crash, pause(gap_s), burst(PTT_ID), pause(gap_s), voice, crash])
        assert ids(sound) == ["1234"]


def test_the_quietest_that_counts_and_the_loudest_that_does_not() -> None:
    # AES17: a sine of full scale is 0 dBFS, and by its RMS -3.01.
    assert ids(among(burst(PTT_ID, level_dbfs=-45.0 - 3.01))) == ["1234"]
    assert ids(among(burst(PTT_ID, level_dbfs=-47.0 - 3.01))) == []


@pytest.mark.parametrize("offset", range(0, 512, 61))
def test_any_place_in_the_blocks(offset: int) -> None:
    heard = only(np.concatenate([np.zeros(1000 + offset), burst(PTT_ID), pause(0.2)]))
    assert heard.digits == "1234"
    assert heard.start == pytest.approx(1000 + offset + PREAMBLE_S * 8000, abs=3)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
def test_any_rate_and_any_size_of_blocks(rate_hz: int) -> None:
    plan = ListenPlan(mdc1200=True)
    quiet = pause(0.2, rate_hz)
    sound = np.concatenate([quiet, burst(PTT_ID, rate_hz=rate_hz), quiet])
    one, other = (listen(plan, sound, rate_hz, block) for block in (160, 4001))
    assert one == other
    assert [item.digits for item in one if isinstance(item, Detection)] == ["1234"]


def test_each_single_wrong_bit_is_corrected() -> None:
    bits = word_bits(0x01, 0x80, 0x1234)
    for wrong in range(112):
        spoiled = [bit ^ (n == wrong) for n, bit in enumerate(bits)]
        assert read_word(soft(spoiled)) == Word(0x01, 0x80, 0x1234, 1)
    heard = only(among(burst(PTT_ID, spoil=[3, 60])))
    assert heard.digits == "1234"
    assert heard.confidence == pytest.approx(0.94)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.sets(st.integers(0, 111), max_size=2),
)
def test_any_word_is_read_with_two_wrong_bits(
    operation: int, argument: int, unit: int, wrong: set[int]
) -> None:
    bits = word_bits(operation, argument, unit)
    spoiled = [bit ^ (n in wrong) for n, bit in enumerate(bits)]
    assert read_word(soft(spoiled)) == Word(operation, argument, unit, len(wrong))


def test_a_click_in_the_burst_is_corrected() -> None:
    sound = burst(PTT_ID)
    sound[800:830] = 0.5  # four bits are gone; the interleaving spreads them
    assert ids(among(sound)) == ["1234"]


def test_two_bursts_one_after_the_other_are_two() -> None:
    assert ids(among(np.concatenate([burst(PTT_ID), burst((1, 0x80, 0xBEEF))]))) == ["1234", "BEEF"]


def test_a_damaged_burst_is_a_near_miss_for_who_asks() -> None:
    cut = burst(PTT_ID)
    cut[900:] = 0
    assert hear(among(cut)) == []
    (miss,) = hear(among(cut), Mdc1200Ear(explain=True))
    assert isinstance(miss, NearMiss)
    assert miss.reason == "damaged"
    assert "check sum" in miss.explanation


def test_random_words_after_a_true_sync_are_not_believed() -> None:
    rng = np.random.default_rng(9)
    for _ in range(60):
        spoil = [int(bit) for bit in np.flatnonzero(rng.random(112) < 0.5)]
        assert ids(among(burst(PTT_ID, spoil=spoil), 0.1, 0.1)) == []


def test_a_confidence_that_is_asked_for_is_kept() -> None:
    sound = among(burst(PTT_ID, spoil=[3, 60]))
    assert hear(sound, Mdc1200Ear(threshold=0.95)) == []
    assert len(hear(sound, Mdc1200Ear(threshold=0.9))) == 1


def test_a_gap_in_a_burst_ends_it_and_the_next_is_heard() -> None:
    ear = Mdc1200Ear()
    start = np.pad(burst(PTT_ID), (400, 0))[:1024].astype(np.float32)
    assert [*ear.hear(start[:512]), *ear.hear(start[512:]), *ear.finish()] == []
    ear.reset(80_000)
    (heard,) = hear(among(burst(PTT_ID)), ear)
    assert isinstance(heard, Detection)
    assert heard.start == pytest.approx(80_000 + (0.2 + PREAMBLE_S) * 8000, abs=3)


def test_nothing_in_speech_tones_and_noise() -> None:
    rng = np.random.default_rng(10)
    t = np.arange(8000 * 4) / 8000
    steady = 0.1 * np.sin(2 * np.pi * 1200 * t) + 0.1 * np.sin(2 * np.pi * 1800 * t)
    ear = Mdc1200Ear(explain=True)
    for sound in (*map(speech, SPEECH), steady, rng.normal(0, 0.2, 8000 * 20)):
        assert hear(sound, ear) == []


def test_what_is_no_number_passes_without_harm() -> None:
    ear = Mdc1200Ear(explain=True)
    with np.errstate(all="ignore"):
        hear(among(burst(PTT_ID)), ear)
        for bad in (np.nan, np.inf, -np.inf):
            assert ear.hear(np.full(512, bad, np.float32)) == []
        for _ in range(8):
            assert ear.hear(np.zeros(512, np.float32)) == []
    assert len(hear(among(burst(PTT_ID)), ear)) == 1


def speech(file: Path) -> Sound:
    with wave.open(str(file)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        step = recording.getframerate() // 8000
    return samples[::step] / 32768.0
