"""Five-tone calls by hazard. Sounds are seeded; SNR is of a tone over noise in 0-4 kHz."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tone_scenes import RATE_HZ, Sound, detections, ids, listen, misses, pause, tone

from echostream.tones.heard import Kind
from echostream.tones.plan import Digits, ListenPlan
from echostream.tones.tables import FIVE_TONE

SYSTEMS = tuple(FIVE_TONE)
LEVEL_DBFS = -20.0


def call(
    system: str,
    digits: str,
    snr_db: float | None = 30.0,
    off: float = 0.0,
    longer: float = 1.0,
    first_s: float | None = None,
    dbfs: float = LEVEL_DBFS,
    seed: int = 1,
) -> Sound:
    """A call between 0.2 and 0.4 s of silence, each tone off by up to `off`, under white noise."""
    rng = np.random.default_rng(seed)
    table = FIVE_TONE[system]
    parts = [pause(0.2)]
    for number, symbol in enumerate(table.sequence(digits)):
        s = first_s if first_s is not None and number == 0 else table.tone_s * longer
        hz = table.tones[symbol] * (1 + rng.uniform(-off, off))
        parts.append(tone(hz, s=s, level_dbfs=dbfs, phase=rng.uniform(0, 6)))
    whole = np.concatenate([*parts, pause(0.4)])
    if snr_db is not None:
        whole += rng.normal(0, 10 ** ((dbfs - snr_db) / 20), whole.size)
    return whole


def plan_for(system: str, explain: bool = False) -> ListenPlan:
    """All systems, this one first."""
    others = tuple(name for name in SYSTEMS if name != system)
    return ListenPlan(five_tone=(system, *others), explain=explain)


def heard_of(sound: Sound, plan: ListenPlan) -> list[tuple[str, str]]:
    return [(item.system, item.digits) for item in detections(listen(plan, sound))]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("snr_db", [None, 10.0, 0.0])
def test_a_call_is_heard_once_in_noise_with_worn_tones(system: str, snr_db: float | None) -> None:
    rng = np.random.default_rng(7)
    for seed in range(4):
        digits = "".join(rng.choice(list("0123456789"), 5))
        sound = call(system, digits, snr_db, off=0.015, seed=seed)
        assert heard_of(sound, plan_for(system)) == [(system, digits)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("digits", ["11223", "55555", "00900", "1223"])
def test_the_repeat_tone_stands_for_the_digit_before_it(system: str, digits: str) -> None:
    assert heard_of(call(system, digits), plan_for(system)) == [(system, digits)]


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_group_call_is_an_a(system: str) -> None:
    assert heard_of(call(system, "12A45"), plan_for(system)) == [(system, "12A45")]


@pytest.mark.parametrize("count", [4, 5, 6, 7, 8])
def test_four_to_eight_tones_are_a_call(count: int) -> None:
    digits = "12345678"[:count]
    assert heard_of(call("zvei1", digits), plan_for("zvei1")) == [("zvei1", digits)]


@pytest.mark.parametrize("digits", ["1", "12", "123"])
def test_fewer_tones_are_none(digits: str) -> None:
    assert not listen(plan_for("zvei1", explain=True), call("zvei1", digits))


@pytest.mark.parametrize(("system", "ms"), [("ccir", 10), ("zvei1", 15), ("eea", 4), ("eia", 3)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_lengths_may_be_off_as_far_as_senders_are(system: str, ms: int, sign: int) -> None:
    longer = 1 + sign * ms / 1000 / FIVE_TONE[system].tone_s
    for seed in range(3):
        sound = call(system, "31948", 10.0, longer=longer, seed=seed)
        assert heard_of(sound, plan_for(system)) == [(system, "31948")]


def test_ccir_and_eea_are_told_by_their_lengths() -> None:
    plan = ListenPlan(five_tone=("eea", "ccir"))
    assert heard_of(call("ccir", "24680"), plan) == [("ccir", "24680")]
    assert heard_of(call("eea", "24680"), plan) == [("eea", "24680")]


def test_where_two_systems_fit_the_first_of_the_plan_is_reported() -> None:
    sound = call("zvei1", "13579")
    assert heard_of(sound, ListenPlan(five_tone=("zvei1", "zvei2"))) == [("zvei1", "13579")]
    assert heard_of(sound, ListenPlan(five_tone=("zvei2", "zvei1"))) == [("zvei2", "13579")]


def test_a_repeat_tells_zvei1_from_zvei2() -> None:
    plan = ListenPlan(five_tone=("zvei2", "zvei1"))
    assert heard_of(call("zvei1", "13377"), plan) == [("zvei1", "13377")]


def test_tones_of_no_system_length_are_refused_and_explained() -> None:
    heard = listen(ListenPlan(five_tone=("ccir",), explain=True), call("ccir", "13579", longer=1.35))
    assert not detections(heard)
    assert [miss.reason for miss in misses(heard)] == ["tone_length"]


def test_a_tone_that_is_off_is_refused_and_explained() -> None:
    table = FIVE_TONE["zvei1"]
    parts = [tone(table.digits_hz[n] * (1.027 if n == 3 else 1.0), s=0.07) for n in (1, 2, 3, 4, 5)]
    sound = np.concatenate([pause(0.2), *parts, pause(0.4)])
    heard = listen(ListenPlan(five_tone=("zvei1",), explain=True), sound)
    assert not detections(heard)
    assert [miss.reason for miss in misses(heard)] == ["off_frequency"]
    assert "tone 3" in misses(heard)[0].explanation


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_long_first_tone_that_wakes_receivers_is_borne(system: str) -> None:
    assert heard_of(call(system, "31948", first_s=0.7), plan_for(system)) == [(system, "31948")]


def test_what_is_measured_is_what_was_sent() -> None:
    (heard,) = detections(listen(ListenPlan(five_tone=("zvei1",)), call("zvei1", "31948", 10.0, off=0.015)))
    assert heard.kind == Kind.FIVE_TONE
    rng = np.random.default_rng(1)
    for number, (symbol, span) in enumerate(zip("31948", heard.tones, strict=True)):
        hz = FIVE_TONE["zvei1"].tones[symbol]
        sent_hz = hz * (1 + rng.uniform(-0.015, 0.015))
        rng.uniform(0, 6)
        assert abs(span.hz - sent_hz) < 2
        assert abs(span.deviation_hz - (span.hz - hz)) < 0.01
        assert abs(span.start - (0.2 + number * 0.07) * RATE_HZ) < 65
    assert abs(heard.level_dbfs - LEVEL_DBFS) < 0.5
    assert abs(heard.snr_db - 10) < 2
    assert 0 < heard.decided - heard.end < 0.25 * RATE_HZ


def test_definitions_take_the_call_that_fits_them_best() -> None:
    plan = ListenPlan(
        digits=(
            Digits("any", "zvei1", "1234?"),
            Digits("exact", "zvei1", "12345"),
            Digits("other system", "ccir", "12345"),
        )
    )
    assert ids(listen(plan, call("zvei1", "12345"))) == ["exact"]
    assert ids(listen(plan, call("zvei1", "12347"))) == ["any"]
    assert ids(listen(plan, call("zvei1", "92347"))) == []


def test_two_calls_are_two() -> None:
    sound = np.concatenate([call("zvei1", "12345"), call("zvei1", "12345")])
    assert heard_of(sound, plan_for("zvei1")) == [("zvei1", "12345")] * 2


def test_a_call_at_the_end_of_the_stream_is_heard() -> None:
    sound = call("zvei1", "12345")[: -round(0.4 * RATE_HZ)]
    (heard,) = detections(listen(plan_for("zvei1"), sound))
    assert heard.digits == "12345"
    assert heard.decided <= sound.size + 512


@pytest.mark.parametrize("seconds", [0.15, 0.25, 0.5])
@pytest.mark.parametrize("up", [False, True])
def test_a_siren_that_glides_past_the_tones_is_no_call(seconds: float, up: bool) -> None:
    count = round(seconds * RATE_HZ)
    hz = np.linspace(900, 1900, count)
    glide = 0.1 * np.sin(2 * np.pi * np.cumsum(hz if up else hz[::-1]) / RATE_HZ)
    assert not listen(plan_for("eea", explain=True), np.concatenate([pause(0.2), glide, pause(0.4)]))


def test_a_steady_tone_and_noise_are_no_call() -> None:
    noise = np.random.default_rng(3).normal(0, 0.05, 10 * RATE_HZ)
    steady = tone(1060.0, s=10.0)
    assert not listen(plan_for("zvei1", explain=True), noise)
    assert not listen(plan_for("zvei1", explain=True), steady + noise)


def test_what_is_under_the_level_that_is_set_is_not_heard() -> None:
    plan = ListenPlan(five_tone=("zvei1",), level_dbfs=-30.0)
    assert not listen(plan, call("zvei1", "12345", dbfs=-40.0))
    assert listen(plan, call("zvei1", "12345", dbfs=-32.0))


def test_a_system_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match="'zvei9': expected one of zvei1"):
        listen(ListenPlan(five_tone=("zvei9",)), pause(0.1))


@settings(max_examples=25, deadline=None)
@given(
    system=st.sampled_from(SYSTEMS),
    digits=st.text("0123456789", min_size=5, max_size=5),
    early=st.integers(0, 511),
    dbfs=st.floats(-40, -6),
)
def test_whatever_is_called_is_heard(system: str, digits: str, early: int, dbfs: float) -> None:
    sound = call(system, digits, 15.0, off=0.01, dbfs=dbfs)[early:]
    assert heard_of(sound, plan_for(system)) == [(system, digits)]
