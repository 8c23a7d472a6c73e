"""VOX: when the valve opens, when it closes, and what must never hold it open."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.vox import HYSTERESIS_DB, Vox

LOUD, HOLDING, QUIET = -30.0, -42.0, -60.0


def vox(attack_ms: float = 40, hang_ms: float = 100) -> Vox:
    return Vox(threshold_dbfs=-40, attack_ms=attack_ms, hang_ms=hang_ms, frame_ms=20)


def run(v: Vox, levels: list[float]) -> list[bool]:
    return [v.update(level) for level in levels]


def test_opens_on_the_frame_that_completes_the_attack() -> None:
    assert run(vox(), [QUIET, LOUD, LOUD, LOUD]) == [False, False, True, True]


def test_zero_attack_opens_and_zero_hang_closes_on_the_first_frame() -> None:
    assert run(vox(0, 0), [LOUD, QUIET, LOUD]) == [True, False, True]


def test_a_click_shorter_than_the_attack_does_not_open() -> None:
    assert not any(run(vox(), [LOUD, QUIET] * 20))


def test_threshold_itself_opens() -> None:
    assert run(vox(0), [-40.0]) == [True]


def test_closes_on_the_frame_that_completes_the_hang() -> None:
    assert run(vox(), [LOUD, LOUD] + [QUIET] * 6) == [False, True, True, True, True, True, False, False]


def test_a_pause_shorter_than_the_hang_starts_it_again() -> None:
    v = vox()
    run(v, [LOUD, LOUD])
    assert all(run(v, ([QUIET] * 4 + [LOUD]) * 5))


def test_hysteresis_holds_an_open_valve_but_opens_none() -> None:
    v = vox()
    assert not any(run(v, [HOLDING] * 50))
    run(v, [LOUD, LOUD])
    assert all(run(v, [HOLDING] * 50))
    assert run(v, [-40 - HYSTERESIS_DB - 0.1] * 5)[-1] is False


def test_inhibition_closes_at_once_and_the_attack_starts_again() -> None:
    v = vox()
    run(v, [LOUD, LOUD])
    assert v.is_open
    assert v.update(LOUD, inhibited=True) is False
    assert run(v, [LOUD, LOUD]) == [False, True]
    v = vox()
    v.update(LOUD)
    v.update(LOUD, inhibited=True)
    assert v.update(LOUD) is False, "the loud frame before the inhibition does not count"


def test_a_level_that_is_no_number_closes_like_silence() -> None:
    v = vox()
    assert not any(run(v, [math.nan] * 10))
    run(v, [LOUD, LOUD])
    assert run(v, [math.nan] * 5)[-1] is False


def test_times_round_up_to_frames() -> None:
    assert run(Vox(-40, 41, 0, 20), [LOUD] * 3) == [False, False, True]


def test_reset_closes() -> None:
    v = vox(0)
    v.update(LOUD)
    v.reset()
    assert not v.is_open


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((math.nan, 0, 0, 20), "threshold_dbfs nan: expected a finite level"),
        ((-40, -1, 0, 20), "attack_ms -1: expected 0 or more"),
        ((-40, 0, math.inf, 20), "hang_ms inf: expected 0 or more"),
        ((-40, 0, 0, 0), "frame_ms 0: expected more than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: tuple[float, float, float, float], words: str) -> None:
    with pytest.raises(ValueError, match=f"^{words}$"):
        Vox(*arguments)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(-120, 0), st.booleans()), max_size=200))
def test_never_open_while_inhibited_nor_beyond_the_hang(frames: list[tuple[float, bool]]) -> None:
    v = vox()
    below = 0
    for level, inhibited in frames:
        is_open = v.update(level, inhibited)
        below = 0 if level >= -40 - HYSTERESIS_DB else below + 1
        assert is_open == v.is_open
        assert not (is_open and (inhibited or below >= 5))
