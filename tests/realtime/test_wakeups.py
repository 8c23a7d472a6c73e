"""The histogram of late wake-ups is right within its buckets, whatever is noted."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.realtime.wakeups import (
    BUCKETS,
    EDGES_US,
    NO_WAKEUPS,
    Wakeups,
    WakeupSnapshot,
    from_counts,
    measure,
    together,
)

LATE = st.floats(min_value=-0.01, max_value=100.0, allow_nan=False)


def noted(late: list[float]) -> WakeupSnapshot:
    wakeups = Wakeups()
    for late_s in late:
        wakeups.note(late_s)
    return wakeups.snapshot


def test_nothing_noted_is_no_division_by_nothing() -> None:
    assert NO_WAKEUPS.count == 0
    assert NO_WAKEUPS.percentile_us(0.99) == 0.0
    assert NO_WAKEUPS.share_beyond(1000) == 0.0
    assert Wakeups().snapshot == NO_WAKEUPS


@given(st.lists(LATE, min_size=1, max_size=200), st.floats(min_value=0.01, max_value=1.0))
def test_percentiles_are_right_within_a_factor_of_two(late: list[float], share: float) -> None:
    snapshot = noted(late)
    ordered = sorted(max(0.0, one) * 1e6 for one in late)
    exact_us = ordered[max(0, math.ceil(share * len(late) - 1e-9) - 1)]
    told_us = snapshot.percentile_us(share)
    assert told_us <= max(ordered[-1], 1.0) + 1e-6
    if exact_us <= EDGES_US[-1]:
        assert exact_us / 2 - 1.0 <= told_us <= 2 * exact_us + 1.0


@given(st.lists(LATE, max_size=100))
def test_every_wake_up_is_counted_once_and_the_worst_is_exact(late: list[float]) -> None:
    snapshot = noted(late)
    assert snapshot.count == len(late)
    assert snapshot.max_us == pytest.approx(max([0.0, *late]) * 1e6)


@given(st.lists(LATE, max_size=50), st.lists(LATE, max_size=50))
def test_threads_add_up_and_looks_differ(first: list[float], second: list[float]) -> None:
    both = together([noted(first), noted(second)])
    assert both.counts == noted(first + second).counts
    assert both.max_us == max(noted(first).max_us, noted(second).max_us)
    assert both.since(noted(first)).counts == noted(second).counts


def test_the_worst_between_two_looks_is_not_that_of_the_start() -> None:
    wakeups = Wakeups()
    wakeups.note(2.0)
    before = wakeups.snapshot
    wakeups.note(0.0003)
    later = wakeups.snapshot.since(before)
    assert later.count == 1
    assert 300 <= later.max_us <= 600
    wakeups.note(3.0)
    assert wakeups.snapshot.since(before).max_us == pytest.approx(3e6)
    assert before.since(before).max_us == 0.0


def test_share_beyond_counts_only_what_was_surely_later() -> None:
    snapshot = noted([0.0001] * 98 + [0.020, 0.040])
    assert snapshot.share_beyond(16_000) == pytest.approx(0.02)
    assert snapshot.share_beyond(50_000) == 0.0


def test_it_goes_through_json() -> None:
    snapshot = noted([0.0001, 0.002, 0.5])
    told = json.loads(json.dumps(snapshot.as_dict()))
    assert told["edges_us"] == list(EDGES_US)
    assert from_counts(told["counts"], told["max_us"]).counts == snapshot.counts
    assert len(told["counts"]) == BUCKETS == len(told["edges_us"]) + 1


@pytest.mark.parametrize("counts", [[], [1] * (BUCKETS + 1), [-1] * BUCKETS])
def test_what_is_no_histogram_is_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        from_counts(counts, 1.0)


def test_it_is_measured_on_a_thread_of_its_own() -> None:
    snapshot, scheduling = measure(0.2, period_s=0.01)
    assert 5 <= snapshot.count <= 22
    assert scheduling.policy == "other"
    assert snapshot.max_us > 0
