"""Leases of keyed lines: a hang, an over without end, and a gateway that stutters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.hardware.ptt_lease import EXPIRED, IDLE, KEYED, LATCHED, LEASE_S, Lease


def test_line_is_keyed_while_it_is_renewed() -> None:
    lease = Lease(60)
    for index in range(100):
        lease.key(index * 0.05)
        assert lease.wanted(index * 0.05 + 0.049)
    lease.unkey()
    assert not lease.wanted(5)
    assert lease.phase == IDLE


def test_line_that_is_not_renewed_drops_after_200_ms() -> None:
    lease = Lease(60)
    lease.key(1.0)
    assert lease.deadline() == pytest.approx(1.2)
    assert lease.wanted(1.199)
    assert not lease.wanted(1.2)
    assert lease.phase == EXPIRED
    assert lease.deadline() is None


def test_renewal_after_the_drop_keys_again() -> None:
    lease = Lease(60)
    lease.key(1.0)
    assert not lease.wanted(1.5)
    lease.key(1.6)
    assert lease.wanted(1.6)


def test_over_without_end_latches_until_it_is_unkeyed() -> None:
    lease = Lease(1.0)
    at = 0.0
    while at < 1.0:
        lease.key(at)
        at += 0.05
    assert not lease.wanted(1.0)
    assert lease.phase == LATCHED
    lease.key(5.0)
    assert not lease.wanted(5.0)
    lease.unkey()
    lease.key(6.0)
    assert lease.wanted(6.0)


def test_stutter_does_not_wind_the_time_out_timer_back() -> None:
    lease = Lease(2.0)
    for start in (0.0, 0.5, 1.0, 1.5):
        lease.key(start)
        assert not lease.wanted(start + 0.3)
    lease.key(2.0)
    assert lease.phase == LATCHED


def test_renewal_that_arrives_late_does_not_hide_the_time_out() -> None:
    lease = Lease(0.1)
    lease.key(0.0)
    lease.key(0.15)
    assert lease.phase == LATCHED


@given(st.lists(st.tuples(st.floats(0, 0.5), st.sampled_from(["key", "unkey", "look"])), max_size=80))
def test_no_history_keys_a_line_longer_than_its_limits(steps: list[tuple[float, str]]) -> None:
    lease = Lease(1.0)
    now, last_key, unkeyed = 0.0, -1.0, True
    for wait_s, step in steps:
        now += wait_s
        if step == "key":
            unkeyed, last_key = False, now
            lease.key(now)
        elif step == "unkey":
            unkeyed = True
            lease.unkey()
        if lease.wanted(now):
            assert lease.phase == KEYED
            assert not unkeyed
            assert now < last_key + LEASE_S
            deadline = lease.deadline()
            assert deadline is not None
            assert deadline <= last_key + LEASE_S + 1e-9
