"""DTMF by hazard, and ITU-T Q.24 row by row. Sounds are seeded; SNR: both tones over noise in 0-4 kHz."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tone_scenes import RATE_HZ, Sound, detections, ids, listen, misses, pause, tone

from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Kind
from echostream.tones.plan import Digits, ListenPlan
from echostream.tones.tables import DTMF

KEYS = "123A456B789C*0#D"
ALL = ListenPlan(dtmf=True)
EXPLAINED = ListenPlan(dtmf=True, explain=True)
PAIR_DBFS = -20.0


@dataclass(frozen=True)
class Off:
    """Part and Hz by which the tones are off."""

    low: float = 0.0
    high: float = 0.0
    more_hz: float = 0.0

    def pair(self, key: str) -> tuple[float, float]:
        low_hz, high_hz = DTMF[key]
        return (
            low_hz * (1 + self.low) + np.sign(self.low) * self.more_hz,
            high_hz * (1 + self.high) + np.sign(self.high) * self.more_hz,
        )


EXACT = Off()


def key_sound(key: str, s: float, off: Off = EXACT, twist_db: float = 0.0, dbfs: float = PAIR_DBFS) -> Sound:
    low_hz, high_hz = off.pair(key)
    low_dbfs = dbfs - 10 * np.log10(1 + 10 ** (twist_db / 10))
    low = tone(low_hz, s=s, level_dbfs=low_dbfs)
    return low + tone(high_hz, s=s, level_dbfs=low_dbfs + twist_db, phase=1.1)


def dial(
    keys: Iterable[str],
    tone_s: float = 0.05,
    pause_s: float = 0.05,
    snr_db: float | None = 30.0,
    off: Off = EXACT,
    twist_db: float = 0.0,
    dbfs: float = PAIR_DBFS,
    seed: int = 1,
) -> Sound:
    """Digits between 0.3 s of silence and 0.2 s more, under white noise."""
    parts = [pause(0.3)]
    for key in keys:
        parts += [key_sound(key, tone_s, off, twist_db, dbfs), pause(pause_s)]
    whole = np.concatenate([*parts, pause(0.2)])
    if snr_db is not None:
        whole += np.random.default_rng(seed).normal(0, 10 ** ((dbfs - snr_db) / 20), whole.size)
    return whole


def dialled(sound: Sound, plan: ListenPlan = ALL) -> str:
    """All digits of all strings."""
    return "".join(item.digits for item in detections(listen(plan, sound)) if not item.tone_id)


def beside(sound: Sound, *hz: float, dbfs: float) -> Sound:
    return sound + tone(*hz, s=sound.size / RATE_HZ, level_dbfs=dbfs)[: sound.size]


# ---- ITU-T Q.24


@pytest.mark.parametrize(("snr_db", "least"), [(30.0, 64), (10.0, 64), (3.0, 63)])
def test_digits_of_50_ms_are_heard_in_noise(snr_db: float, least: int) -> None:
    got = [dialled(dial(KEYS, snr_db=snr_db, seed=seed)) for seed in range(4)]
    assert sum(len(each) for each in got) >= least
    assert all(set(each) <= set(KEYS) and len(each) <= 16 for each in got)


@pytest.mark.parametrize("low", [-0.015, 0.015])
@pytest.mark.parametrize("high", [-0.015, 0.015])
def test_digits_of_40_ms_are_heard_at_every_corner_of_their_range(low: float, high: float) -> None:
    assert dialled(dial(KEYS, 0.04, 0.04, off=Off(low, high, 2.0))) == KEYS


@pytest.mark.parametrize("off", [Off(low=0.035), Off(low=-0.035), Off(high=0.035), Off(high=-0.035)])
@pytest.mark.parametrize("tone_s", [0.05, 0.3])
def test_a_tone_off_by_3_5_percent_is_refused_and_explained(off: Off, tone_s: float) -> None:
    heard = listen(EXPLAINED, dial(KEYS, tone_s, off=off))
    assert not detections(heard)
    assert {miss.reason for miss in misses(heard)} == {"off_frequency"}
    assert len(misses(heard)) == 16


@pytest.mark.parametrize("tone_ms", [23, 18, 10, 3])
@pytest.mark.parametrize("snr_db", [None, 15.0])
def test_23_ms_and_less_are_refused(tone_ms: int, snr_db: float | None) -> None:
    assert dialled(dial(KEYS, tone_ms / 1000, 0.06, snr_db=snr_db)) == ""


def test_a_digit_that_is_too_short_is_explained() -> None:
    heard = misses(listen(EXPLAINED, dial("5", 0.023)))
    assert [miss.reason for miss in heard] == ["too_short"]
    assert "the key 5" in heard[0].explanation
    assert "23 ms" in heard[0].explanation


@pytest.mark.parametrize("twist_db", [-10.0, -8.0, 4.0, 8.0, 10.0])
def test_twist_of_either_sign_is_accepted_and_measured(twist_db: float) -> None:
    (heard,) = detections(listen(ALL, dial(KEYS, twist_db=twist_db)))
    assert heard.digits == KEYS
    assert abs(heard.twist_db - twist_db) < 0.5


def test_more_twist_than_a_line_makes_is_refused_and_explained() -> None:
    heard = listen(EXPLAINED, dial("159", 0.1, twist_db=12.5, snr_db=40.0))
    assert not detections(heard)
    assert {miss.reason for miss in misses(heard)} == {"twist"}


@pytest.mark.parametrize("snr_db", [None, 10.0])
def test_a_pause_of_40_ms_separates_two_equal_digits(snr_db: float | None) -> None:
    assert dialled(dial("1155990077", 0.05, 0.04, snr_db=snr_db)) == "1155990077"


@pytest.mark.parametrize("hole_ms", [3, 6, 9])
@pytest.mark.parametrize("tone_s", [0.06, 0.12, 0.4])
def test_an_interruption_under_10_ms_does_not(hole_ms: int, tone_s: float) -> None:
    sound = dial("5", tone_s)
    middle = round((0.3 + tone_s / 2) * RATE_HZ)
    sound[middle - 4 * hole_ms : middle + 4 * hole_ms] = 0
    assert dialled(sound) == "5"


@pytest.mark.parametrize("hz", [(350.0, 440.0), (425.0,)])
def test_digits_are_heard_beside_a_dial_tone(hz: tuple[float, ...]) -> None:
    assert dialled(beside(dial(KEYS), *hz, dbfs=PAIR_DBFS + 3)) == KEYS


@pytest.mark.parametrize("late_ms", [3, 10, 20, 30])
def test_an_echo_10_db_down_adds_and_takes_nothing(late_ms: int) -> None:
    sound = dial("1155*#AD", 0.05, 0.045)
    echoed = sound.copy()
    echoed[late_ms * 8 :] += 10 ** (-10 / 20) * sound[: -late_ms * 8]
    assert dialled(echoed) == "1155*#AD"


@pytest.mark.parametrize("hz", [600.0, 1050.0, 2000.0, 3000.0])
def test_a_third_tone_16_db_down_is_borne(hz: float) -> None:
    assert dialled(beside(dial(KEYS), hz, dbfs=PAIR_DBFS - 16)) == KEYS


@pytest.mark.parametrize("dbfs", [-3.0, -20.0, -33.0, -44.0])
def test_levels_over_40_db_are_heard(dbfs: float) -> None:
    assert dialled(dial(KEYS, dbfs=dbfs)) == KEYS


def test_what_is_under_the_level_that_is_set_is_refused_and_explained() -> None:
    heard = listen(ListenPlan(dtmf=True, explain=True, level_dbfs=-30.0), dial("19", dbfs=-36.0))
    assert not detections(heard)
    assert [miss.reason for miss in misses(heard)] == ["level", "level"]


def test_dc_and_hum_do_not_matter() -> None:
    assert dialled(beside(dial(KEYS, snr_db=15.0), 50.0, 150.0, dbfs=PAIR_DBFS) + 0.1) == KEYS


def test_a_limiter_does_not_matter() -> None:
    assert dialled(np.clip(3 * dial(KEYS, snr_db=20.0), -0.2, 0.2)) == KEYS


# ---- what is no digit


@pytest.mark.parametrize("hz", [(697.0,), (1336.0,), (440.0, 480.0), (697.0, 770.0), (1209.0, 1477.0)])
def test_other_tones_are_no_digits(hz: tuple[float, ...]) -> None:
    sound = np.concatenate([pause(0.3), tone(*hz, s=0.3), pause(0.3)])
    assert not listen(EXPLAINED, sound)


def test_a_chord_with_a_digit_in_it_is_no_digit() -> None:
    sound = np.concatenate([pause(0.3), tone(697.0, 1209.0, 1760.0, 2200.0, s=0.3), pause(0.3)])
    assert not listen(EXPLAINED, sound)


def test_a_voiced_sound_with_its_formants_on_a_digit_is_none() -> None:
    at = np.arange(RATE_HZ) / RATE_HZ
    pitch = 116.0 * (1 + 0.01 * np.sin(2 * np.pi * 4 * at))
    phase = np.cumsum(2 * np.pi * pitch / RATE_HZ)
    gains = {n: 1 / (1 + (min(abs(n * 116 - 697), abs(n * 116 - 1209)) / 60) ** 2) for n in range(1, 30)}
    voice = sum(gain * np.sin(n * phase) for n, gain in gains.items())
    assert not listen(EXPLAINED, np.concatenate([pause(0.2), 0.05 * np.asarray(voice), pause(0.2)]))


def test_noise_and_silence_are_nothing() -> None:
    noise = np.random.default_rng(5).normal(0, 0.1, 20 * RATE_HZ)
    assert not listen(EXPLAINED, np.concatenate([pause(1.0), noise, pause(1.0)]))


# ---- strings and definitions


def test_a_string_is_reported_once_when_a_pause_has_ended_it() -> None:
    sound = np.concatenate([dial("911"), pause(1.5), dial("42#"), pause(2.0)])
    heard = detections(listen(ALL, sound))
    assert [item.digits for item in heard] == ["911", "42#"]
    assert all(item.kind == Kind.DTMF and item.tone_id == "" for item in heard)
    assert all(1.1 < (item.decided - item.end) / RATE_HZ < 1.4 for item in heard)


def test_the_end_of_the_stream_ends_a_string_and_the_last_digit() -> None:
    sound = dial("456")[: -round(0.25 * RATE_HZ)]
    (heard,) = detections(listen(ALL, sound))
    assert heard.digits == "456"
    assert heard.decided <= sound.size + 512


def test_what_is_measured_is_what_was_sent() -> None:
    (heard,) = detections(listen(ALL, dial("12", 0.1, 0.08, twist_db=2.0, snr_db=20.0)))
    assert len(heard.tones) == 4
    low, high, _, last = heard.tones
    assert abs(low.hz - 697) < 0.5
    assert abs(high.hz - 1209) < 0.5
    assert abs(high.deviation_hz) < 0.5
    assert abs(low.start - 0.3 * RATE_HZ) < 16
    assert abs(low.end - 0.4 * RATE_HZ) < 16
    assert abs(last.start - 0.48 * RATE_HZ) < 16
    assert abs(heard.level_dbfs - PAIR_DBFS) < 0.2
    assert abs(high.level_dbfs - low.level_dbfs - 2.0) < 0.3
    assert abs(heard.snr_db - 20) < 2
    assert heard.confidence > 0.9


def test_a_long_key_press_is_one_digit_as_long_as_it_was() -> None:
    (heard,) = detections(listen(ALL, dial("7", 1.7)))
    assert heard.digits == "7"
    assert abs(heard.end - heard.start - 1.7 * RATE_HZ) < 24


def test_a_definition_is_reported_at_once_as_the_tail_of_what_was_dialled() -> None:
    plan = ListenPlan(digits=(Digits("engine", "dtmf", "12?"),))
    (heard,) = detections(listen(plan, dial("9*125", 0.06, 0.06)))
    assert (heard.tone_id, heard.digits) == ("engine", "125")
    assert heard.start > (0.3 + 2 * 0.12 - 0.01) * RATE_HZ
    assert heard.decided - heard.end < 0.15 * RATE_HZ


def test_a_held_key_completes_a_definition_before_it_is_let_go() -> None:
    plan = ListenPlan(digits=(Digits("engine", "dtmf", "12"),))
    sound = np.concatenate([dial("1"), key_sound("2", 2.0)])
    (heard,) = detections(listen(plan, sound))
    assert heard.decided < sound.size - 1.7 * RATE_HZ


def test_one_digit_completes_one_definition_and_strings_go_on() -> None:
    plan = ListenPlan(
        digits=(Digits("any", "dtmf", "??"), Digits("exact", "dtmf", "23"), Digits("long", "dtmf", "123")),
        dtmf=True,
    )
    assert ids(listen(plan, dial("123"))) == ["any", "long", ""]


def test_a_definition_takes_no_digit_twice() -> None:
    plan = ListenPlan(digits=(Digits("ones", "dtmf", "11"),))
    assert ids(listen(plan, dial("11111"))) == ["ones", "ones"]


def test_lower_case_letters_of_a_definition_are_keys() -> None:
    assert ids(listen(ListenPlan(digits=(Digits("x", "dtmf", "ab"),)), dial("AB"))) == ["x"]


def test_digits_before_a_gap_in_the_stream_do_not_complete_a_definition_after_it() -> None:
    detector = ToneDetector(ListenPlan(digits=(Digits("x", "dtmf", "12"),)), RATE_HZ)
    heard = detector.feed(dial("1").astype(np.float32)) + detector.gap(RATE_HZ)
    assert not heard + detector.feed(dial("2").astype(np.float32)) + detector.finish()


def test_a_string_without_end_is_reported_in_parts() -> None:
    heard = detections(listen(ALL, dial("1590" * 20, 0.04, 0.04)))
    assert [len(item.digits) for item in heard] == [64, 16]


@settings(max_examples=25, deadline=None)
@given(
    keys=st.text("0123456789ABCD*#", min_size=1, max_size=6),
    tone_ms=st.integers(40, 140),
    pause_ms=st.integers(40, 140),
    early=st.integers(0, 511),
    twist_db=st.floats(-8, 8),
)
def test_whatever_is_dialled_is_heard(
    keys: str, tone_ms: int, pause_ms: int, early: int, twist_db: float
) -> None:
    sound = dial(keys, tone_ms / 1000, pause_ms / 1000, snr_db=20.0, twist_db=twist_db)[early:]
    assert dialled(sound) == keys
