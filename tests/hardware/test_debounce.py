"""Debounce, by the ways a contact and a kernel can mislead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.hardware.debounce import Debouncer


def test_first_edge_counts_at_once() -> None:
    assert Debouncer(20).edge(True, 1.0) is True


def test_bounce_is_locked_out_and_the_rest_level_holds() -> None:
    line = Debouncer(20)
    assert line.edge(True, 1.0) is True
    for index in range(1, 10):
        assert line.edge(index % 2 == 0, 1.0 + index * 0.002) is None
    assert line.deadline() == pytest.approx(1.020)
    assert line.reread(True, 1.020) is None
    assert line.state is True
    assert line.deadline() is None


def test_release_within_the_lock_out_is_seen_at_its_end() -> None:
    line = Debouncer(20)
    line.edge(True, 1.0)
    assert line.edge(False, 1.010) is None
    assert line.reread(False, 1.021) is False


def test_reread_before_the_deadline_does_not_cut_the_lock_out() -> None:
    line = Debouncer(20)
    line.edge(True, 1.0)
    assert line.reread(False, 1.005) is None
    assert line.state is True


def test_lost_release_edge_is_caught_by_the_slow_reread() -> None:
    line = Debouncer(20)
    line.edge(True, 1.0)
    line.reread(True, 1.02)
    assert line.reread(False, 5.0) is False


def test_edge_of_the_state_already_held_changes_nothing() -> None:
    line = Debouncer(20)
    line.edge(True, 1.0)
    assert line.edge(True, 2.0) is None


def test_stale_edge_does_not_undo_a_newer_reading() -> None:
    line = Debouncer(0)
    line.edge(True, 1.0)
    assert line.reread(False, 1.1) is False
    assert line.edge(True, 1.05) is None
    assert line.state is False


def test_edge_after_the_lock_out_counts_even_if_the_reread_is_late() -> None:
    line = Debouncer(20)
    line.edge(True, 1.0)
    assert line.edge(False, 1.030) is False


def test_no_debounce_takes_every_edge() -> None:
    line = Debouncer(0)
    assert [line.edge(level, 1.0) for level in (True, False, True)] == [True, False, True]
    assert line.deadline() is None


def test_glitch_shorter_than_confirm_is_dropped() -> None:
    line = Debouncer(20, confirm_ms=5)
    assert line.edge(True, 1.0) is None
    assert line.deadline() == pytest.approx(1.005)
    assert line.edge(False, 1.002) is None
    assert line.deadline() is None
    assert line.reread(False, 1.005) is None
    assert line.state is False


def test_confirmed_change_is_accepted_at_its_deadline() -> None:
    line = Debouncer(20, confirm_ms=5)
    line.edge(True, 1.0)
    assert line.reread(True, 1.005) is True
    assert line.deadline() == pytest.approx(1.025)


def test_negative_times_are_refused() -> None:
    with pytest.raises(ValueError, match="debounce_ms -1"):
        Debouncer(-1)


@given(
    debounce_ms=st.integers(0, 50),
    confirm_ms=st.integers(0, 20),
    steps=st.lists(
        st.tuples(st.floats(0, 0.1), st.booleans(), st.booleans()),
        max_size=60,
    ),
)
def test_state_always_ends_where_the_line_rests(
    debounce_ms: int, confirm_ms: int, steps: list[tuple[float, bool, bool]]
) -> None:
    """Whatever edges come and get lost, two slow re-reads later the state is the line's."""
    line = Debouncer(debounce_ms, confirm_ms)
    now, level, reported = 0.0, False, []
    for wait_s, new_level, lost in steps:
        now += wait_s
        deadline = line.deadline()
        if deadline is not None and deadline <= now:
            reported.append(line.reread(level, deadline))
        level = new_level
        if not lost:
            reported.append(line.edge(level, now))
    for _ in range(2):
        now += 0.25
        reported.append(line.reread(level, now))
    assert line.state is level
    changes = [change for change in reported if change is not None]
    assert changes == [index % 2 == 0 for index in range(len(changes))]
