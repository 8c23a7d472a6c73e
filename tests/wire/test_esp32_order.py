"""Datagrams out of order, lost, doubled, wrapped, and of a device that started anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.wire.esp32_order import LATE_IN_A_ROW, MOST_HELD, WAIT_S, DatagramOrder, Ready
from echostream.wire.esp32_stream import Datagram

WRAP = 2**32


def datagram(sequence: int, samples: int = 10) -> Datagram:
    return Datagram(sequence % WRAP, 0, samples, 0, (sequence % WRAP).to_bytes(4, "little"))


def numbers(ready: list[Ready]) -> list[tuple[int, int]]:
    return [(one.lost, int.from_bytes(one.audio, "little")) for one in ready]


@pytest.mark.parametrize("start", [0, 77, WRAP - 3])
def test_in_order_each_goes_on_at_once(start: int) -> None:
    order = DatagramOrder(16_000)
    for n in range(start, start + 8):
        assert numbers(order.arrived(datagram(n), 0.0)) == [(0, n % WRAP)]
    assert (order.lost, order.late) == (0, 0)


@given(st.permutations(range(1, MOST_HELD)))
def test_any_order_within_the_wait_comes_out_in_order(places: list[int]) -> None:
    order = DatagramOrder(16_000)
    out = numbers(order.arrived(datagram(WRAP - 5), 0.0))
    for place in places:
        out += numbers(order.arrived(datagram(WRAP - 5 + place), 0.01))
    assert out == [(0, (WRAP - 5 + n) % WRAP) for n in range(MOST_HELD)]
    assert (order.lost, order.late) == (0, 0)


def test_what_is_lost_is_counted_in_samples_after_the_wait() -> None:
    order = DatagramOrder(16_000)
    order.arrived(datagram(0), 0.0)
    assert order.arrived(datagram(3), 1.0) == []
    assert order.waited(1.0 + WAIT_S / 2) == []
    assert numbers(order.waited(1.0 + WAIT_S)) == [(20, 3)]
    assert numbers(order.arrived(datagram(4), 1.1)) == [(0, 4)]
    assert order.lost == 2


def test_doubles_and_late_ones_are_dropped() -> None:
    order = DatagramOrder(16_000)
    order.arrived(datagram(5), 0.0)
    assert order.arrived(datagram(5), 0.0) == []
    assert order.arrived(datagram(4), 0.0) == []
    assert order.arrived(datagram(7), 0.0) == []
    assert order.arrived(datagram(7), 0.0) == []
    assert order.late == 3
    assert numbers(order.flush()) == [(10, 7)]


def test_a_device_that_started_anew_is_heard_again() -> None:
    order = DatagramOrder(16_000)
    order.arrived(datagram(100_000), 0.0)
    heard = [order.arrived(datagram(n), 0.02 * n) for n in range(LATE_IN_A_ROW + 5)]
    assert [bool(ready) for ready in heard] == [False] * (LATE_IN_A_ROW - 1) + [True] * 6


def test_a_jump_beyond_a_minute_is_another_count_and_no_gap() -> None:
    order = DatagramOrder(16_000)
    order.arrived(datagram(0, 320), 0.0)
    assert numbers(order.arrived(datagram(1_000_000, 320), 0.0)) == [(0, 1_000_000)]
    assert order.lost == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 700)), max_size=120), st.integers(0, WRAP - 1))
def test_whatever_comes_order_is_kept_and_nothing_is_held_for_long(
    arrivals: list[tuple[int, int]], start: int
) -> None:
    """Positions only grow; each datagram that was taken comes out once; held ones stay few."""
    order = DatagramOrder(16_000)
    ready: list[Ready] = []
    now = 0.0
    for step, samples in arrivals:
        now += 0.007
        ready += order.arrived(datagram(start + step, samples), now)
        assert len(order._held) <= MOST_HELD
    ready += order.waited(now + 1.01 * WAIT_S)
    assert order.flush() == []
    assert all(one.lost >= 0 for one in ready)
    if order.late < LATE_IN_A_ROW:
        places = np.array([(int.from_bytes(one.audio, "little") - start) % WRAP for one in ready])
        places[places > WRAP // 2] -= WRAP
        assert np.all(np.diff(places) > 0)
