"""The pace of catching up: gentle where there is time, in time where there is little."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.catch_up import GENTLE_PART, MOST_PART, CatchUp

PULL_MS = 20.0
SPARE_MS = 9.0


def test_jitter_in_the_middle_of_a_talk_spurt_is_drained_gently() -> None:
    pace = CatchUp()
    for _ in range(200):
        pace.update(150.0, SPARE_MS, True, PULL_MS)
        assert pace.part == GENTLE_PART
        assert pace.alike >= 0.5


def test_no_backlog_no_hurry() -> None:
    pace = CatchUp()
    pace.begin()
    for _ in range(100):
        pace.update(2.0, SPARE_MS, False, PULL_MS)
        assert (pace.part, pace.alike) == (GENTLE_PART, 0.7)


def test_backlog_that_nothing_shortens_makes_any_splice_good_enough() -> None:
    pace = CatchUp()
    pace.begin()
    parts, alike = [], []
    for _ in range(40):
        pace.update(190.0, SPARE_MS, True, PULL_MS)
        parts.append(pace.part)
        alike.append(pace.alike)
    assert parts == sorted(parts)
    assert alike == sorted(alike, reverse=True)
    assert alike[0] > 0.3
    assert parts[-1] == MOST_PART
    assert alike[-1] == pytest.approx(0.0)


def test_hurry_ends_with_the_backlog_and_comes_back_with_the_next_talk_spurt() -> None:
    pace = CatchUp()
    pace.begin()
    pace.update(5.0, SPARE_MS, False, PULL_MS)  # the backlog has not shown yet
    for _ in range(30):
        pace.update(190.0, SPARE_MS, True, PULL_MS)
    assert pace.part > GENTLE_PART
    pace.update(5.0, SPARE_MS, False, PULL_MS)
    pace.update(190.0, SPARE_MS, True, PULL_MS)
    assert pace.part == GENTLE_PART
    pace.begin()
    for _ in range(30):
        pace.update(190.0, SPARE_MS, True, PULL_MS)
    assert pace.part > GENTLE_PART


@settings(max_examples=100, deadline=None)
@given(
    st.floats(20.0, 260.0), st.floats(0.0, 300.0), st.floats(0.0, 1.0), st.sampled_from([10.0, 20.0, 40.0])
)
def test_any_backlog_of_a_short_pre_roll_is_gone_in_time(
    backlog_ms: float, stubborn_ms: float, gives: float, pull_ms: float
) -> None:
    """For `stubborn_ms` the voice gives only a part of what is asked for; then all of it."""
    pace = CatchUp()
    pace.begin()
    at_ms, excess_ms = 0.0, backlog_ms
    while excess_ms > SPARE_MS and at_ms < 2000.0:
        pace.update(excess_ms, SPARE_MS, True, pull_ms)
        share = gives if at_ms < stubborn_ms else 1.0
        excess_ms -= share * pull_ms * pace.part / (1.0 - pace.part)
        at_ms += pull_ms
        assert GENTLE_PART <= pace.part <= MOST_PART
        assert 0.0 <= pace.alike <= 0.7
    assert at_ms < 860.0
