"""Two-tone pages by hazard. Sounds are seeded; levels and noise as in docs/benchmarks.md."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tone_scenes import RATE_HZ, Sound, detections, ids, listen, misses, pause, scene, tone

from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection, Heard
from echostream.tones.plan import ListenPlan, TwoTone

PAGE = TwoTone("engine", 688.3, 767.4, a_range_hz=10.0, b_range_hz=10.0)


def plan(*definitions: TwoTone, explain: bool = False) -> ListenPlan:
    return ListenPlan(two_tone=definitions or (PAGE,), explain=explain)


def page(a_hz: float = 688.3, b_hz: float = 767.4, a_s: float = 1.0, b_s: float = 3.0) -> Sound:
    return np.concatenate([tone(a_hz, s=a_s), tone(b_hz, s=b_s)])


@pytest.mark.parametrize("snr_db", [20.0, 0.0, -10.0, -14.0])
def test_a_page_is_heard_once_in_noise(snr_db: float) -> None:
    heard = detections(listen(plan(), scene(page(), snr_db=snr_db)))
    assert [item.tone_id for item in heard] == ["engine"]
    a, b = heard[0].tones
    assert abs(a.hz - 688.3) < 0.3
    assert abs(b.hz - 767.4) < 0.3
    assert abs(heard[0].snr_db - snr_db) < 3.0


def test_what_is_measured_is_what_was_sent() -> None:
    (heard,) = detections(listen(plan(), scene(page())))
    a, b = heard.tones
    assert abs(a.start - 0.5 * RATE_HZ) < 80
    assert abs(a.end - 1.5 * RATE_HZ) < 80
    assert abs(b.start - 1.5 * RATE_HZ) < 80
    assert abs(a.level_dbfs + 24.0) < 0.3
    assert abs(a.hz - 688.3) < 0.02
    assert heard.confidence > 0.95
    assert abs(heard.twist_db) < 0.3


@pytest.mark.parametrize("snr_db", [20.0, 0.0])
def test_decided_150_ms_after_b_was_long_enough(snr_db: float) -> None:
    (heard,) = detections(listen(plan(), scene(page(), snr_db=snr_db)))
    due = (0.5 + 1.0 + PAGE.b_length_s) * RATE_HZ
    assert -0.03 * RATE_HZ <= heard.decided - due <= 0.15 * RATE_HZ


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (page(b_s=1.5), "b_too_short"),
        (page(a_s=0.5), "a_too_short"),
        (page(a_s=4.0), "a_too_long"),
        (page(a_hz=700.3), "a_off_frequency"),
        (page(b_hz=779.9), "b_off_frequency"),
        (page(a_hz=767.4, b_hz=688.3), "swapped"),
        (np.concatenate([tone(688.3), pause(1.2), tone(767.4, s=3.0)]), "gap_too_long"),
        (np.concatenate([tone(688.3), tone(767.4, s=3.0) + tone(1234.0, s=3.0)]), "company"),
        (np.concatenate([tone(688.3), 0.1 * tone(767.4, s=3.0)]), "twist"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_page_is_refused_with_its_reason(sound: Sound, reason: str) -> None:
    heard = listen(plan(explain=True), scene(sound))
    assert ids(heard) == []
    assert [miss.reason for miss in misses(heard)] == [reason]
    assert misses(heard)[0].tone_id == "engine"


def test_b_alone_is_no_page() -> None:
    assert listen(plan(), scene(tone(767.4, s=4.0))) == []


@pytest.mark.parametrize("off_hz", [5.5, -5.5])
def test_inside_its_range_is_heard_at_the_edge(off_hz: float) -> None:
    narrow = dataclasses.replace(PAGE, a_range_hz=6.0, b_range_hz=6.0)
    assert ids(listen(plan(narrow), scene(page(688.3 + off_hz, 767.4 + off_hz), snr_db=10.0))) == ["engine"]


@pytest.mark.parametrize(("a_off", "b_off"), [(6.5, 0.0), (0.0, 6.5), (-6.5, 0.0), (0.0, -6.5)])
def test_outside_its_range_is_never_heard(a_off: float, b_off: float) -> None:
    narrow = dataclasses.replace(PAGE, a_range_hz=6.0, b_range_hz=6.0)
    assert ids(listen(plan(narrow), scene(page(688.3 + a_off, 767.4 + b_off), snr_db=10.0))) == []


def test_the_nearest_of_overlapping_definitions_wins_and_one_page_is_one_alert() -> None:
    rivals = (TwoTone("low", 680.0, 760.0), TwoTone("right", 689.0, 768.0), TwoTone("high", 695.0, 775.0))
    assert ids(listen(plan(*rivals), scene(page()))) == ["right"]


STACK = (TwoTone("one", 688.3, 767.4), TwoTone("two", 688.3, 810.2), TwoTone("false", 767.4, 688.3))


@pytest.mark.parametrize("pause_s", [0.0, 0.2, 0.4, 1.0])
@pytest.mark.parametrize("b_length_s", [2.0, 0.9])
def test_stacked_pages_make_no_third(pause_s: float, b_length_s: float) -> None:
    stack = [dataclasses.replace(d, b_length_s=b_length_s) for d in STACK]
    sound = scene(page(), pause(pause_s), page(b_hz=810.2))
    assert ids(listen(plan(*stack), sound)) == ["one", "two"]


def test_b_of_one_page_goes_on_as_a_of_the_next() -> None:
    chain = (TwoTone("one", 500.0, 700.0), TwoTone("two", 700.0, 900.0))
    sound = scene(tone(500.0), tone(700.0, s=3.0), tone(700.0, s=1.0), tone(900.0, s=3.0))
    assert ids(listen(plan(*chain), sound)) == ["one", "two"]


def test_the_same_page_twice_is_two_alerts() -> None:
    assert ids(listen(plan(), scene(page(), pause(0.6), page()))) == ["engine", "engine"]


@pytest.mark.parametrize("gap_s", [0.0, 0.25, 0.5])
def test_short_pages_with_a_gap_when_defined_so(gap_s: float) -> None:
    short = TwoTone("short", 688.3, 767.4, a_length_s=0.4, b_length_s=0.4, gap_s=0.5)
    sound = scene(tone(688.3, s=0.4), pause(gap_s), tone(767.4, s=0.4), snr_db=10.0)
    assert ids(listen(plan(short), sound)) == ["short"]


@pytest.mark.parametrize("step_hz", [1.0, 4.0, 8.0, 12.0, 25.0])
def test_tones_close_to_each_other(step_hz: float) -> None:
    close = TwoTone("close", 300.0, 300.0 + step_hz, a_range_hz=4.5, b_range_hz=4.5)
    assert ids(listen(plan(close), scene(page(300.0, 300.0 + step_hz)))) == ["close"]


def test_three_drop_outs_of_120_ms() -> None:
    for seed in range(6):
        random = np.random.default_rng(seed)
        sound = page()
        for begin_s, end_s in ((0.0, 0.88), (1.0, 2.2), (2.4, 3.8)):
            at = int(random.uniform(begin_s, end_s) * RATE_HZ)
            sound[at : at + 960] = 0.0
        assert ids(listen(plan(), scene(sound, snr_db=10.0, seed=seed))) == ["engine"]


def test_a_transmitter_that_drifts_and_flutters() -> None:
    at = np.arange(3 * RATE_HZ) / RATE_HZ
    drift = 767.4 - 3.0 + 2.0 * at
    b = np.sqrt(2) * 10 ** (-24 / 20) * np.sin(2 * np.pi * np.cumsum(drift) / RATE_HZ)
    sound = np.concatenate([tone(688.3), b * (1 + 0.3 * np.sin(2 * np.pi * 5 * at))])
    assert ids(listen(plan(), scene(sound, snr_db=10.0))) == ["engine"]


def test_hum_and_an_offset_beside_it() -> None:
    sound = scene(page(), snr_db=10.0)
    at = np.arange(sound.size) / RATE_HZ
    hum = 0.1 + 0.1 * np.sin(2 * np.pi * 60 * at) + 0.05 * np.sin(2 * np.pi * 180 * at)
    assert ids(listen(plan(), sound + hum)) == ["engine"]


def test_a_chord_is_no_page() -> None:
    chord = np.concatenate([tone(688.3, 867.2, 1031.3), tone(767.4, 966.9, 1149.8, s=3.0)])
    assert listen(plan(), scene(chord)) == []


def test_a_whistle_that_was_there_before_does_not_hide_a_page() -> None:
    sound = scene(pause(1.0), page(), pause(0.5), snr_db=10.0)
    whistle = 0.05 * np.sin(2 * np.pi * 1000 * np.arange(sound.size) / RATE_HZ)
    assert ids(listen(plan(), sound + whistle)) == ["engine"]


def test_a_voice_coder_moves_the_tones_to_its_grid() -> None:
    coded = TwoTone("coded", 349.0, 410.8, a_range_hz=2.0, b_range_hz=2.0, vocoder_grid_hz=31.25)
    snapped = scene(page(343.75, 406.25), snr_db=10.0)
    assert ids(listen(plan(coded), snapped)) == ["coded"]
    assert ids(listen(plan(coded), scene(page(349.0, 410.8), snr_db=10.0))) == ["coded"]
    assert ids(listen(plan(coded), scene(page(346.4, 406.25), snr_db=10.0))) == []
    assert ids(listen(plan(dataclasses.replace(coded, vocoder_grid_hz=0.0)), snapped)) == []


@pytest.mark.parametrize(("level_dbfs", "expected"), [(-44.9, ["engine"]), (-48.5, [])])
def test_the_level_gate_is_where_it_says(level_dbfs: float, expected: list[str]) -> None:
    # A sine of full scale is 0 dBFS here and -3.01 by its RMS.
    a = tone(688.3, level_dbfs=level_dbfs - 3.01)
    b = tone(767.4, s=3.0, level_dbfs=level_dbfs - 3.01)
    assert ids(listen(ListenPlan(two_tone=(PAGE,), level_dbfs=-45.0), scene(a, b, snr_db=60.0))) == expected


def test_lost_audio_inside_b_ends_the_page_and_the_next_is_heard_at_its_time() -> None:
    detector = ToneDetector(plan(), RATE_HZ)
    sound = scene(page()).astype(np.float32)
    cut = int(2.5 * RATE_HZ)
    heard: list[Heard] = detector.feed(sound[:cut])
    heard += detector.gap(RATE_HZ)
    heard += detector.feed(sound[cut:])
    assert heard == []
    heard += detector.feed(sound)
    heard += detector.finish()
    (found,) = detections(heard)
    expected = sound.size + RATE_HZ + 0.5 * RATE_HZ
    assert abs(found.start - expected) < 40


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 32000, 44100, 48000])
def test_any_rate(rate_hz: int) -> None:
    sound = scene(tone(688.3, rate_hz=rate_hz), tone(767.4, s=3.0, rate_hz=rate_hz), rate_hz=rate_hz)
    samples = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    (heard,) = detections(listen(plan(), samples, rate_hz, block=rate_hz // 50))
    assert heard.tone_id == "engine"
    assert abs(heard.start - 0.5 * RATE_HZ) < 40
    assert abs(heard.tones[0].hz - 688.3) < 0.05


SOUND = scene(page(), pause(0.3), page(692.0, 764.0)).astype(np.float32)
WHOLE = listen(plan(), SOUND, block=SOUND.size)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(50, 5000), min_size=1, max_size=40), st.sampled_from([8000, 48000]))
def test_the_blocks_make_no_difference(sizes: list[int], rate_hz: int) -> None:
    sound = SOUND if rate_hz == RATE_HZ else np.repeat(SOUND, 6)
    reference = WHOLE if rate_hz == RATE_HZ else listen(plan(), sound, rate_hz, sound.size)
    detector = ToneDetector(plan(), rate_hz)
    heard: list[Heard] = []
    at = number = 0
    while at < sound.size:
        size = sizes[number % len(sizes)]
        heard += detector.feed(sound[at : at + size])
        at, number = at + size, number + 1
    heard += detector.finish()
    assert heard == reference
    assert ids(heard) == ["engine", "engine"]


def test_250_definitions_of_one_table_hear_the_right_one() -> None:
    random = np.random.default_rng(4)
    tones = 300.0 * 1.026 ** np.arange(80)
    pairs = {(int(a), int(b)) for a, b in random.integers(0, 80, (400, 2)) if a != b}
    many = tuple(
        TwoTone(f"{a}-{b}", tones[a], tones[b], a_range_hz=tones[a] * 0.015, b_range_hz=tones[b] * 0.015)
        for a, b in sorted(pairs)[:250]
    )
    wanted = many[77]
    sound = scene(page(wanted.a_hz * 1.006, wanted.b_hz * 0.995), snr_db=0.0)
    heard = [item for item in listen(plan(*many), sound) if isinstance(item, Detection)]
    assert [item.tone_id for item in heard] == [wanted.tone_id]


def test_speech_30_db_louder_before_and_after() -> None:
    for seed in range(5):
        random = np.random.default_rng(seed)
        loud = np.convolve(random.normal(0, 1.0, 3 * RATE_HZ), np.hanning(12), "same")
        loud *= 10 ** ((-24 + 30) / 20) / np.std(loud) * (0.6 + 0.4 * np.sin(np.arange(loud.size) / 900))
        sound = np.concatenate([loud, scene(page(), snr_db=10.0, seed=seed)[4000:-4000], loud])
        assert ids(listen(plan(), sound * 0.2)) == ["engine"]


def test_a_recording_is_told_with_the_whole_of_its_page() -> None:
    live = detections(listen(plan(), scene(page())))[0]
    (whole,) = detections(listen(dataclasses.replace(plan(), whole=True), scene(page())))
    assert whole.decided == live.decided
    assert abs(whole.end - 4.5 * RATE_HZ) < 80
    assert abs(live.end - live.decided) < 600


def test_a_hum_line_that_goes_on_beside_b_is_no_a() -> None:
    sound = scene(pause(1.2), tone(767.4, s=3.0), pause(0.5))
    at = np.arange(sound.size) / RATE_HZ
    hum = 0.01 * np.sin(2 * np.pi * 360 * at)
    fooled = TwoTone("hum", 358.6, 767.4, a_longest_s=10.0)
    assert ids(listen(plan(fooled), sound + hum)) == []


@pytest.mark.parametrize("drift_hz", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_a_tone_that_drifts_through_its_whole_length(drift_hz: float) -> None:
    def chirp(hz: float, s: float, by_hz: float) -> Sound:
        at = np.arange(round(s * RATE_HZ)) / RATE_HZ
        path = hz - by_hz + 2 * by_hz * at / s
        swept: Sound = np.sqrt(2) * 10 ** (-24 / 20) * np.sin(2 * np.pi * np.cumsum(path) / RATE_HZ)
        return swept

    sound = scene(chirp(688.3, 1.0, drift_hz), chirp(767.4, 3.0, -drift_hz), snr_db=10.0)
    assert ids(listen(plan(), sound)) == ["engine"]


@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_no_audio_waits_while_a_page_is_under_way(rate_hz: int) -> None:
    # While nothing sounds several portions are heard together; a page must not pay for that.
    sound = scene(tone(688.3, rate_hz=rate_hz), tone(767.4, s=3.0, rate_hz=rate_hz), rate_hz=rate_hz)
    detector = ToneDetector(plan(), rate_hz)
    block = rate_hz // 50
    for at in range(0, sound.size, block):
        if detector.feed(sound[at : at + block].astype(np.float32)):
            break
    heard_s = (at + block) / rate_hz
    assert heard_s - (0.5 + 1.0 + PAGE.b_length_s) <= 0.15
