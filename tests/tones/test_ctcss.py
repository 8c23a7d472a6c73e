"""CTCSS by hazard. Noise is white and told by its power in 200 Hz, the width of the sub-audible band."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import butter, sosfilt
from tone_scenes import Sound, listen, pause, tone

from echostream.tones.ctcss import CtcssEar
from echostream.tones.heard import Detection, Heard, Kind
from echostream.tones.plan import ListenPlan
from echostream.tones.tables import CTCSS_ALL_HZ

SPEECH = sorted((Path(__file__).parents[2] / "echostream/simulator/speech").glob("*.wav"))
LEVEL_DBFS = -33.0


def hear(sound: Sound, ear: CtcssEar | None = None) -> list[Detection]:
    ear = ear or CtcssEar()
    whole = np.pad(sound, (0, -sound.size % 512)).astype(np.float32)
    heard: list[Heard] = []
    for block in whole.reshape(-1, 512):
        heard += ear.hear(block)
    return [item for item in heard + ear.finish() if isinstance(item, Detection)]


def ctcss(hz: float, s: float = 1.5, level_dbfs: float = LEVEL_DBFS, phase: float = 0.3) -> Sound:
    return tone(hz, s=s, level_dbfs=level_dbfs, phase=phase)


def story(heard: list[Detection]) -> list[tuple[str, str]]:
    return [(item.kind.value.removeprefix("ctcss_"), item.digits) for item in heard]


def once(hz: float) -> list[tuple[str, str]]:
    return [("on", f"{hz:.1f}"), ("off", f"{hz:.1f}")]


def noisy(sound: Sound, snr_db: float, rng: np.random.Generator) -> Sound:
    whole_band_dbfs = LEVEL_DBFS - snr_db + 10 * math.log10(4000 / 200)
    return sound + rng.normal(0, 10 ** (whole_band_dbfs / 20), sound.size)


@pytest.mark.parametrize("off", [-0.005, 0.0, 0.005])
@pytest.mark.parametrize("hz", CTCSS_ALL_HZ)
def test_each_tone_is_heard_on_and_off_as_itself(hz: float, off: float) -> None:
    lead = 4000 + round(hz * 7) % 512
    sound = np.concatenate([np.zeros(lead), ctcss(hz * (1 + off)), pause(0.5)])
    on, gone = hear(sound)
    assert story([on, gone]) == once(hz)
    (span,) = on.tones
    assert span.hz == pytest.approx(hz * (1 + off), abs=0.02)
    assert span.deviation_hz == pytest.approx(hz * off, abs=0.02)
    assert on.level_dbfs == pytest.approx(LEVEL_DBFS, abs=0.3)
    assert on.start == pytest.approx(lead, abs=400)
    assert on.decided - lead <= 0.32 * 8000
    assert gone.start == on.start
    assert gone.end == pytest.approx(lead + 12_000, abs=400)
    assert gone.decided - lead - 12_000 <= 0.2 * 8000


@pytest.mark.parametrize(("snr_db", "on_s"), [(10.0, 0.55), (3.0, 1.2), (0.0, 1.2)])
def test_tones_are_heard_in_noise_and_never_as_a_neighbour(snr_db: float, on_s: float) -> None:
    rng = np.random.default_rng(2)
    for n, hz in enumerate(CTCSS_ALL_HZ):
        lead = 4000 + int(rng.integers(512))
        sound = np.concatenate([np.zeros(lead), ctcss(hz * (1 + 0.0025 * (n % 3 - 1))), pause(0.5)])
        on, gone = hear(noisy(sound, snr_db, rng))
        assert story([on, gone]) == once(hz)
        assert on.decided - lead <= on_s * 8000
        assert gone.decided - lead - 12_000 <= 0.3 * 8000


@pytest.mark.parametrize("below_voice_db", [10.0, 17.0])
def test_tones_under_a_voice_that_the_sender_cut_off_at_300_hz(below_voice_db: float) -> None:
    cut = butter(8, 300, "high", fs=8000, output="sos")
    rng = np.random.default_rng(3)
    late_s = []
    for file in SPEECH:
        voice = levelled(sosfilt(cut, speech(file)))[: 8000 * 6]
        for hz in rng.choice(CTCSS_ALL_HZ[:45], 8, replace=False).tolist():
            sound = voice.copy()
            under = ctcss(hz, 3.0, -20.0 - below_voice_db)
            sound[8000 : 8000 + under.size] += under
            on, gone = hear(sound)
            assert story([on, gone]) == once(hz)
            late_s.append(on.decided / 8000 - 1)
            assert 0 < gone.decided - 32_000 <= 0.3 * 8000
    assert np.median(late_s) <= 0.3
    assert max(late_s) <= 0.6


@pytest.mark.parametrize("degrees", [120.0, 135.0, 180.0, -120.0])
@pytest.mark.parametrize("hz", [67.0, 103.5, 254.1])
def test_a_reverse_burst_is_the_end_at_once_and_no_tone_of_its_own(hz: float, degrees: float) -> None:
    turned = 0.3 + 2 * math.pi * hz * 2 + math.radians(degrees)
    on, gone = hear(np.concatenate([ctcss(hz, 2.0), ctcss(hz, 0.18, phase=turned), pause(1.0)]))
    assert story([on, gone]) == once(hz)
    assert gone.end == pytest.approx(16_000, abs=300)
    assert gone.decided - 16_000 <= 0.18 * 8000


def test_a_tone_that_gives_way_to_its_nearest_neighbour() -> None:
    heard = hear(np.concatenate([ctcss(165.5, 2.0), ctcss(167.9, 2.0), pause(0.5)]))
    assert story(heard) == once(165.5) + once(167.9)


def test_a_short_drop_out_does_not_end_it_and_a_long_one_does() -> None:
    short, long = ctcss(141.3, 4.0), ctcss(141.3, 4.0)
    short[16_000:16_400] = 0
    long[16_000:18_400] = 0
    assert story(hear(short)) == once(141.3)
    assert story(hear(long)) == once(141.3) * 2


def test_fading_drift_and_steps_of_level_do_not_end_it() -> None:
    t = np.arange(8000 * 6) / 8000
    steady = ctcss(123.0, 6.0)
    assert story(hear(steady * (1 + 0.6 * np.sin(2 * np.pi * 0.8 * t)))) == once(123.0)
    assert story(hear(0.02 * np.sin(2 * np.pi * (123.0 * t + 0.02 * t * t)))) == once(123.0)
    assert story(hear(np.concatenate([steady, 5 * steady, steady]))) == once(123.0)


@pytest.mark.parametrize("hz", [60.0, 68.1, 98.7, 112.8, 120.0, 134.3, 149.0, 158.3, 163.8, 240.0, 262.0])
def test_other_frequencies_are_no_tones(hz: float) -> None:
    # 134.3 Hz is how digital squelch (DCS) says its end.
    assert hear(ctcss(hz, 3.0, -25.0)) == []


@pytest.mark.parametrize("mains_hz", [49.96, 50.0, 50.04, 59.97, 60.0, 60.03])
@pytest.mark.parametrize(
    "parts",
    [
        {1: 1.0, 2: 0.3, 3: 0.5, 5: 0.2},
        {2: 1.0, 4: 0.3, 6: 0.15},
        {1: 0.2, 2: 0.5, 3: 0.2, 4: 0.1, 5: 0.1},
        {3: 1.0, 1: 0.25},
        {5: 1.0, 1: 0.3, 3: 0.3},
    ],
)
def test_hum_is_no_tone(mains_hz: float, parts: dict[int, float]) -> None:
    t = np.arange(8000 * 3) / 8000
    lines = [0.02 * part * np.sin(2 * np.pi * mains_hz * n * t + n) for n, part in parts.items()]
    hum = np.sum(lines, axis=0)
    assert hear(hum) == []


def test_a_lone_100_hz_is_the_tone_100_0_with_little_hum_too() -> None:
    assert story(hear(ctcss(100.0))) == once(100.0)
    assert story(hear(ctcss(100.0) + ctcss(50.0, level_dbfs=LEVEL_DBFS - 26))) == once(100.0)


def test_nothing_in_voices_sweeps_and_noise() -> None:
    rng = np.random.default_rng(4)
    t = np.arange(8000 * 10) / 8000
    sweep = 0.05 * np.sin(2 * np.pi * (60 * t + 10 * t * t))
    dcs = 0.05 * np.convolve(np.repeat(np.tile(rng.integers(0, 2, 23) * 2 - 1, 30), 60), np.hanning(60) / 30)
    singer = 0.03 * np.sum([np.sin(2 * np.pi * 110.9 * n * t) / n for n in range(1, 9)], axis=0)
    for sound in (*map(speech, SPEECH), sweep, dcs, singer, rng.normal(0, 0.1, 8000 * 60)):
        assert hear(sound) == []


def test_the_level_that_counts() -> None:
    # The plan's level (AES17) less 12 dB, as these tones are sent below the voice.
    assert story(hear(ctcss(123.0, level_dbfs=-57.0 - 3.0))) == once(123.0)
    assert hear(ctcss(123.0, level_dbfs=-58.5 - 3.0)) == []
    assert hear(ctcss(123.0, level_dbfs=-40.0), CtcssEar(level_dbfs=-20.0)) == []
    # Quieter still is what lamps and fans do in a quiet room, whatever the plan says.
    assert story(hear(ctcss(123.0, level_dbfs=-57.0 - 3.0), CtcssEar(level_dbfs=-70.0))) == once(123.0)
    assert hear(ctcss(123.0, level_dbfs=-58.5 - 3.0), CtcssEar(level_dbfs=-70.0)) == []


def test_scale_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    sound = noisy(np.concatenate([pause(0.5), ctcss(88.5), pause(0.5)]), 6.0, rng)
    at = [(item.kind, item.digits, item.start, item.decided) for item in hear(sound)]
    assert at == [(item.kind, item.digits, item.start, item.decided) for item in hear(8 * sound)]
    assert len(at) == 2


def test_the_end_of_the_stream_and_a_gap_in_it_end_the_tone() -> None:
    ear = CtcssEar()
    (on,) = [item for block in blocks(ctcss(123.0, 2.048)) for item in ear.hear(block)]
    (gone,) = ear.finish()
    assert isinstance(gone, Detection)
    assert (gone.kind, gone.end, gone.start) == (Kind.CTCSS_OFF, 16_384, on.start)
    ear.reset(80_000)
    assert ear.finish() == []
    on, gone = hear(np.concatenate([pause(0.5), ctcss(88.5), pause(0.5)]), ear)
    assert story([on, gone]) == once(88.5)
    assert on.start == pytest.approx(84_000, abs=400)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 48_000])
def test_any_rate_and_any_size_of_blocks(rate_hz: int) -> None:
    quiet = pause(0.5, rate_hz)
    sound = np.concatenate([quiet, tone(146.2, s=1.5, level_dbfs=-33.0, rate_hz=rate_hz), quiet])
    one, other = (listen(ListenPlan(ctcss=True), sound, rate_hz, block) for block in (160, 4001))
    assert one == other
    assert story([item for item in one if isinstance(item, Detection)]) == once(146.2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 49), st.floats(-0.005, 0.005), st.floats(0, 6.28), st.integers(0, 511))
def test_any_phase_and_place(number: int, off: float, phase: float, place: int) -> None:
    hz = CTCSS_ALL_HZ[number]
    sound = np.concatenate([np.zeros(2000 + place), ctcss(hz * (1 + off), 0.8, phase=phase), pause(0.5)])
    assert story(hear(sound)) == once(hz)


def test_what_is_no_number_passes_without_harm() -> None:
    ear = CtcssEar()
    with np.errstate(all="ignore"):
        hear(ctcss(88.5, 1.0), ear)
        for bad in (np.nan, np.inf, -np.inf):
            ear.hear(np.full(512, bad, np.float32))
        for block in blocks(pause(1.28)):
            ear.hear(block)
        ear.finish()
    assert story(hear(np.concatenate([ctcss(123.0), pause(0.5)]), ear)) == once(123.0)


def blocks(sound: Sound) -> list[np.ndarray[tuple[int], np.dtype[np.float32]]]:
    return list(sound.astype(np.float32)[: sound.size // 512 * 512].reshape(-1, 512))


def levelled(sound: Sound, level_dbfs: float = -20.0) -> Sound:
    gain = 10 ** (level_dbfs / 20) / float(np.sqrt(np.mean(sound**2)))
    return sound * gain


def speech(file: Path) -> Sound:
    with wave.open(str(file)) as recording:
        samples = np.frombuffer(recording.readframes(recording.getnframes()), "<i2")
        step = recording.getframerate() // 8000
    return samples[::step] / 32768.0
