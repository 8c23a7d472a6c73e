"""Long tones, tones at once, unknown pairs and alert tones, by hazard."""

from __future__ import annotations

import numpy as np
import pytest
from tone_scenes import RATE_HZ, Sound, detections, ids, listen, pause, scene, tone

from echostream.tones.heard import Kind
from echostream.tones.plan import AtOnce, FilterPlan, ListenPlan, NewTones, OneTone, TwoTone

ALL_CALL = OneTone("all-call", 1000.0, 5.0, 8.0)


def test_a_long_tone_is_heard_once_when_it_has_lasted() -> None:
    (heard,) = detections(listen(ListenPlan(one_tone=(ALL_CALL,)), scene(tone(1003.0, s=8.0), snr_db=0.0)))
    assert heard.tone_id == "all-call"
    assert abs(heard.decided - 5.5 * RATE_HZ) < 0.2 * RATE_HZ
    assert abs(heard.tones[0].deviation_hz - 3.0) < 0.1


@pytest.mark.parametrize("sound", [tone(1003.0, s=4.5), tone(1009.0, s=8.0)], ids=["short", "off"])
def test_no_long_tone_when_too_short_or_out_of_range(sound: Sound) -> None:
    assert listen(ListenPlan(one_tone=(ALL_CALL,)), scene(sound)) == []


def test_the_b_of_a_page_is_no_long_tone() -> None:
    plan = ListenPlan(two_tone=(TwoTone("page", 500.0, 1000.0),), one_tone=(OneTone("long", 1000.0, 2.5),))
    assert ids(listen(plan, scene(tone(500.0), tone(1000.0, s=3.0)))) == ["page"]


def test_a_burst_of_1750_hz() -> None:
    plan = ListenPlan(one_tone=(OneTone("burst", 1750.0, 0.25, 20.0),))
    assert ids(listen(plan, scene(tone(1750.0, s=0.3)))) == ["burst"]


def voice(hz: float, s: float, seed: int = 0) -> Sound:
    """A vowel: harmonics whose pitch and levels wander."""
    random = np.random.default_rng(seed)
    at = np.arange(round(s * RATE_HZ)) / RATE_HZ
    pitch = hz * (1 + 0.02 * np.cumsum(random.normal(0, 0.02, at.size)))
    turn = 2 * np.pi * np.cumsum(pitch) / RATE_HZ
    sound: Sound = np.sum([0.1 / n * np.sin(n * turn) for n in range(1, 12)], axis=0)
    return sound


def test_a_sung_vowel_is_no_tone() -> None:
    plan = ListenPlan(one_tone=(OneTone("burst", 500.0, 0.3, 20.0),), new_tones=NewTones(1.0), alerts=True)
    for seed in range(5):
        assert listen(plan, scene(voice(250.0, 2.0, seed), voice(190.0, 3.0, seed + 50))) == []


QUICK_CALL_I = AtOnce("qc1", (510.5, 788.5), (669.9, 1031.3), length_s=0.8)


def test_two_tones_at_once_then_two_others() -> None:
    plan = ListenPlan(at_once=(QUICK_CALL_I,))
    (heard,) = detections(listen(plan, scene(tone(510.5, 788.5), tone(669.9, 1031.3), snr_db=0.0)))
    assert heard.kind is Kind.AT_ONCE
    assert [round(t.hz) for t in heard.tones] == [510, 788, 670, 1031] or len(heard.tones) == 4


@pytest.mark.parametrize(
    "sound",
    [
        np.concatenate([tone(669.9, 1031.3), tone(510.5, 788.5)]),
        np.concatenate([tone(510.5, 788.5), tone(669.9)]),
        tone(669.9, 1031.3, s=2.0),
        np.concatenate([tone(510.5), tone(788.5), tone(669.9), tone(1031.3)]),
    ],
    ids=["swapped", "one missing", "first missing", "in a row"],
)
def test_not_at_once(sound: Sound) -> None:
    assert listen(ListenPlan(at_once=(QUICK_CALL_I,)), scene(sound)) == []


def test_an_unknown_pair_is_reported_once_with_what_it_was() -> None:
    plan = ListenPlan(new_tones=NewTones(2.0), two_tone=(TwoTone("known", 500.0, 700.0),))
    sound = scene(tone(614.2), tone(1234.5, s=3.0), pause(1.0), tone(500.0), tone(700.0, s=3.0))
    new, known = detections(listen(plan, sound))
    assert new.kind is Kind.NEW_TONES
    assert [round(t.hz, 1) for t in new.tones] == [614.2, 1234.5]
    assert [round((t.end - t.start) / RATE_HZ, 1) for t in new.tones] == [1.0, 3.0]
    assert known.tone_id == "known"


def test_an_unknown_pair_that_is_too_short_is_not_reported() -> None:
    assert listen(ListenPlan(new_tones=NewTones(2.0)), scene(tone(614.2), tone(1234.5, s=1.5))) == []


def pulses(hz: float, on_s: float, off_s: float, count: int) -> Sound:
    return np.concatenate([np.concatenate([tone(hz, s=on_s), pause(off_s)]) for _ in range(count)])


@pytest.mark.parametrize(("on_s", "off_s"), [(0.2, 0.2), (0.1, 0.1), (0.3, 0.6), (0.5, 0.5)])
def test_pulses_of_one_tone(on_s: float, off_s: float) -> None:
    (heard,) = detections(listen(ListenPlan(alerts=True), scene(pulses(1000.0, on_s, off_s, 6), pause(1.0))))
    assert heard.kind is Kind.PULSED
    assert abs(heard.tones[0].hz - 1000.0) < 3.0


@pytest.mark.parametrize("each_s", [0.25, 0.5])
def test_hi_lo(each_s: float) -> None:
    turns = [np.concatenate([tone(800.0, s=each_s), tone(1000.0, s=each_s)]) for _ in range(5)]
    (heard,) = detections(listen(ListenPlan(alerts=True), scene(*turns, pause(1.0))))
    assert heard.kind is Kind.HI_LO
    assert {round(t.hz, -1) for t in heard.tones} == {800.0, 1000.0}


def test_a_filter_takes_out_what_it_says() -> None:
    page = TwoTone("page", 500.0, 700.0)
    sound = scene(tone(500.0), tone(700.0, s=3.0))
    assert ids(listen(ListenPlan(two_tone=(page,)), sound)) == ["page"]
    for kind, hz in (("below", 720.0), ("above", 480.0)):
        plan = ListenPlan(two_tone=(page,), filters=(FilterPlan(kind, hz),))  # type: ignore[arg-type]
        assert ids(listen(plan, sound)) == []
    notched = ListenPlan(two_tone=(page,), filters=(FilterPlan("center", 700.0, 20.0),))
    assert ids(listen(notched, sound)) == []
    beside = ListenPlan(two_tone=(page,), filters=(FilterPlan("center", 740.0, 50.0),))
    assert ids(listen(beside, sound)) == []
    kept = ListenPlan(
        two_tone=(page,), filters=(FilterPlan("below", 300.0), FilterPlan("center", 900.0, 50.0))
    )
    assert ids(listen(kept, sound)) == ["page"]
