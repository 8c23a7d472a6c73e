"""Mailbox, deadlines and the coordinator's thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable

from hypothesis import given
from hypothesis import strategies as st

from echostream.coordinator.deadlines import Deadlines
from echostream.coordinator.event_coordinator import MAILBOX_BOUND, EventCoordinator
from echostream.coordinator.mailbox import Mailbox
from echostream.events import Event, ReloadRequested, SignallingLost, SignallingUp


def test_full_mailbox_refuses_and_counts() -> None:
    mailbox: Mailbox[int] = Mailbox(2)
    assert [mailbox.put(n) for n in range(3)] == [True, True, False]
    assert mailbox.stats.refused == 1
    assert mailbox.stats.deepest == 2
    assert mailbox.get(0.0) == 0


def test_empty_mailbox_answers_none_after_the_time_out() -> None:
    assert Mailbox[int](1).get(0.001) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 100)), max_size=300))
def test_deadlines_fall_due_once_in_order_at_their_last_set_time(moves: list[tuple[int, float]]) -> None:
    deadlines = Deadlines()
    expected: dict[Hashable, float] = {}
    for key, at_s in moves:
        deadlines.set(key, at_s)
        expected[key] = at_s
    assert deadlines.next_at() == (min(expected.values()) if expected else None)
    due = deadlines.due(100.0)
    assert sorted(due, key=str) == sorted(expected, key=str)
    assert [expected[key] for key in due] == sorted(expected.values())
    assert deadlines.due(1000.0) == []


def test_cancelled_deadline_does_not_fall_due() -> None:
    deadlines = Deadlines()
    deadlines.set("a", 1.0)
    deadlines.cancel("a")
    assert deadlines.next_at() is None


class Recorder:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.keys: list[Hashable] = []
        self.changed = threading.Condition()

    def handle(self, event: Event, now: float) -> None:
        if isinstance(event, SignallingLost):
            raise RuntimeError("a bug of ours")
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def handle_deadline(self, key: Hashable, now: float) -> None:
        with self.changed:
            self.keys.append(key)
            self.changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.events) + len(self.keys) >= count, 2.0)


def test_an_event_that_trips_over_a_bug_does_not_end_the_thread() -> None:
    recorder = Recorder()
    coordinator = EventCoordinator(on_overflow=lambda: None)
    coordinator.start(recorder)
    coordinator.post(SignallingLost("x"))
    coordinator.post(SignallingUp())
    recorder.wait_for(1)
    coordinator.stop()
    assert coordinator.failures == 1
    assert recorder.events == [SignallingUp()]


def test_deadline_set_before_start_falls_due_on_the_thread() -> None:
    recorder = Recorder()
    coordinator = EventCoordinator(on_overflow=lambda: None)
    coordinator.deadlines.set("soon", time.monotonic() + 0.02)
    coordinator.start(recorder)
    recorder.wait_for(1)
    coordinator.stop()
    assert recorder.keys == ["soon"]


def test_overflow_is_reported_once_and_never_silent() -> None:
    overflows: list[int] = []
    coordinator = EventCoordinator(on_overflow=lambda: overflows.append(1))
    for _ in range(MAILBOX_BOUND + 10):
        coordinator.post(ReloadRequested())
    assert overflows == [1]
    assert coordinator.stats["refused"] == 1 + 9
