"""The clock of pulls: what comes early again and again is allowed for, a start is not."""

from __future__ import annotations

import numpy as np
import pytest

from echostream.audio.arrival import PullClock

FRAME_S = 0.02


@pytest.mark.parametrize("held_up_s", [0.04, 0.1, 0.2])
def test_a_slow_start_of_the_loudspeaker_is_not_taken_for_early_pulls(held_up_s: float) -> None:
    pulls = PullClock(FRAME_S * 1000)
    for number in range(300):
        pulls.note(max(100.0 + held_up_s + 0.0001 * number, 100.0 + FRAME_S * number))
        assert pulls.early_ms < 1.0


def test_a_stall_keeps_what_was_known_and_its_catching_up_is_not_learnt() -> None:
    rng = np.random.default_rng(1)
    pulls = PullClock(FRAME_S * 1000)
    for number in range(300):
        pulls.note(100.0 + FRAME_S * number + rng.uniform(-0.005, 0.005))
    before_ms = pulls.early_ms
    assert before_ms == pytest.approx(5.0, abs=1.0)
    for number in range(300):
        due_s = 107.0 + FRAME_S * number + rng.uniform(-0.005, 0.005)
        pulls.note(max(107.1 + 0.0001 * number, due_s))
        assert pulls.early_ms == pytest.approx(before_ms, abs=4.0)


def test_pulls_that_wobble_are_allowed_for_after_the_start() -> None:
    rng = np.random.default_rng(2)
    pulls = PullClock(FRAME_S * 1000)
    for number in range(100):
        pulls.note(100.0 + FRAME_S * number + rng.uniform(-0.01, 0.01))
    assert pulls.early_ms == pytest.approx(10.0, abs=2.5)
