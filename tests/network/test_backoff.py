"""The two rhythms of reconnecting."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from echostream.network.backoff import HELD_S, Attempt, Backoff


def limits(backoff: Backoff, count: int, **how: float) -> list[float]:
    return [backoff.wait_s(Attempt.ANSWERED, **how) for _ in range(count)]


def latest(min_s: float = 1.0, max_s: float = 60.0, probe_s: float = 2.0) -> Backoff:
    """One whose jitter always draws the longest wait."""
    return Backoff(min_s, max_s, probe_s, rng=lambda: 1.0)


def test_a_server_that_answers_and_fails_is_tried_1_s_doubling_to_60_s() -> None:
    assert limits(latest(), 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_thousands_of_failures_do_not_overflow() -> None:
    assert limits(latest(), 5000)[-1] == 60


def test_a_connection_that_held_30_s_starts_again_at_the_minimum() -> None:
    backoff = latest()
    limits(backoff, 5)
    assert backoff.wait_s(Attempt.ANSWERED, held_s=HELD_S) == 1
    assert backoff.wait_s(Attempt.ANSWERED) == 1
    assert backoff.wait_s(Attempt.ANSWERED) == 2


def test_a_connection_that_was_of_use_is_not_counted_as_a_failure_and_the_wait_stays_short() -> None:
    backoff = latest()
    assert limits(backoff, 20, held_s=5.0) == [1] * 20
    limits(backoff, 5)
    assert backoff.wait_s(Attempt.ANSWERED, held_s=5.0) == 2
    assert backoff.wait_s(Attempt.ANSWERED) == 32


def test_jitter_is_full_and_spreads_a_fleet() -> None:
    waits = []
    for seed in range(1000):
        backoff = Backoff(1.0, 60.0, 2.0, rng=random.Random(seed).random)
        limits(backoff, 3)
        waits.append(backoff.wait_s(Attempt.ANSWERED))
    assert min(waits) < 0.2
    assert max(waits) > 7.8
    assert 3.5 < sum(waits) / len(waits) < 4.5


@given(st.floats(0, 0.999999), st.floats(0, 10), st.floats(0.2, 60))
def test_silence_is_knocked_on_within_the_probe_period(draw: float, took_s: float, probe_s: float) -> None:
    wait_s = Backoff(1, 60, probe_s, rng=lambda: draw).wait_s(Attempt.UNANSWERED, took_s=took_s)
    assert 0.1 <= wait_s <= max(0.1, probe_s - took_s)


def test_silence_never_backs_off_and_sets_the_back_off_back() -> None:
    backoff = latest()
    limits(backoff, 6)
    assert {backoff.wait_s(Attempt.UNANSWERED) for _ in range(1000)} == {2.0}
    assert backoff.wait_s(Attempt.ANSWERED) == 1


def test_knocking_fast_and_slow_attempts_returns_within_3_s_of_the_server() -> None:
    """Refused at once, or a SYN into the void that is repeated after 1 s and given up after 2 s."""
    for took_s in (0.0, 2.0):
        blind_s = took_s / 2 + latest().wait_s(Attempt.UNANSWERED, took_s=took_s)
        assert blind_s < 3.0


def test_a_maximum_below_the_minimum_does_not_shorten_the_first_wait() -> None:
    assert limits(latest(min_s=5, max_s=1), 2) == [5, 5]
