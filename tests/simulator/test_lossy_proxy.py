"""The bad network: deterministic, and as bad as it was asked to be."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.simulator.lossy_proxy import MAX_WAITING, LossModel, LossRules, LossyProxy


def arrivals(rules: LossRules, seed: int = 1, count: int = 2000) -> list[tuple[float, int]]:
    """(when, which) for `count` datagrams sent every 20 ms, in order of arrival."""
    model = LossModel(rules, seed)
    arrived = []
    for number in range(count):
        model.push(number * 0.02, number.to_bytes(4, "big"))
    while (due := model.next_due) is not None:
        arrived += [(due, int.from_bytes(data, "big")) for data in model.pop(due)]
    return arrived


def test_a_clean_network_delivers_everything_at_once_and_in_order() -> None:
    assert arrivals(LossRules(), count=50) == [(number * 0.02, number) for number in range(50)]


@given(st.integers(0, 2**32), st.floats(0, 1), st.floats(0, 1), st.floats(0, 100))
def test_the_same_seed_gives_the_same_network(
    seed: int, loss: float, reorder: float, jitter_ms: float
) -> None:
    rules = LossRules(loss=loss, reorder=reorder, jitter_ms=jitter_ms, duplicate=0.1, burst_start=0.05)
    assert arrivals(rules, seed, 100) == arrivals(rules, seed, 100)


def test_another_seed_gives_another_network() -> None:
    assert arrivals(LossRules(loss=0.5), 1) != arrivals(LossRules(loss=0.5), 2)


def test_changing_one_rule_leaves_the_fate_the_others_gave() -> None:
    plain = {number for _, number in arrivals(LossRules(loss=0.2))}
    worse = {number for _, number in arrivals(LossRules(loss=0.2, jitter_ms=40, duplicate=0.3))}
    assert plain == worse


def test_random_loss_is_as_asked() -> None:
    assert 0.045 < 1 - len(arrivals(LossRules(loss=0.05), count=4000)) / 4000 < 0.055


def test_bursts_have_the_mean_length_that_was_asked_for() -> None:
    heard = {number for _, number in arrivals(LossRules(burst_start=0.02, burst_end=0.25), count=4000)}
    lengths, run = [], 0
    for number in range(4000):
        if number not in heard:
            run += 1
        elif run:
            lengths.append(run)
            run = 0
    assert 3.0 < sum(lengths) / len(lengths) < 5.0


def test_jitter_stays_within_its_bounds_and_reorders_unless_order_is_kept() -> None:
    free = arrivals(LossRules(delay_ms=60, jitter_ms=40))
    assert all(0.02 - 1e-9 <= when - number * 0.02 <= 0.1 + 1e-9 for when, number in free)
    assert [number for _, number in free] != sorted(number for _, number in free)
    kept = [number for _, number in arrivals(LossRules(delay_ms=60, jitter_ms=40, keep_order=True))]
    assert kept == sorted(kept)


def test_duplicates_and_reordering() -> None:
    twice = [number for _, number in arrivals(LossRules(duplicate=1.0), count=10)]
    assert twice == sorted([*range(10), *range(10)])
    late = [number for _, number in arrivals(LossRules(reorder=0.1, reorder_ms=50))]
    assert late != sorted(late)
    assert sorted(late) == list(range(2000))


@given(st.binary(min_size=1, max_size=50), st.integers(0, 1000))
def test_corruption_flips_exactly_one_bit(data: bytes, seed: int) -> None:
    model = LossModel(LossRules(corrupt=1.0), seed)
    model.push(0.0, data)
    (changed,) = model.pop(0.0)
    assert sum((a ^ b).bit_count() for a, b in zip(data, changed, strict=True)) == 1


def test_an_empty_datagram_cannot_be_corrupted() -> None:
    model = LossModel(LossRules(corrupt=1.0), 1)
    model.push(0.0, b"")
    assert model.pop(0.0) == [b""]


def test_what_is_under_way_is_bounded() -> None:
    model = LossModel(LossRules(delay_ms=1000), 1)
    for _ in range(MAX_WAITING + 10):
        model.push(0.0, b"x")
    assert model.counters.overflowed == 10


def test_rules_can_change_under_way() -> None:
    model = LossModel(LossRules(loss=1.0), 1)
    model.push(0.0, b"a")
    model.rules = LossRules()
    model.push(0.0, b"b")
    assert model.pop(0.0) == [b"b"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_the_proxy_carries_datagrams_there_and_back_with_delay(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as target, socket.socket(family, socket.SOCK_DGRAM) as user:
        for sock in (target, user):
            sock.bind((host, 0))
            sock.settimeout(2.0)
        proxy = LossyProxy((host, target.getsockname()[1]), LossRules(delay_ms=30), seed=1)
        proxy.start()
        began = time.monotonic()
        user.sendto(b"there", proxy.address)
        data, way_back = target.recvfrom(100)
        target.sendto(b"back", way_back)
        answer, answered_by = user.recvfrom(100)
        took_s = time.monotonic() - began
        assert (data, answer, answered_by[:2]) == (b"there", b"back", proxy.address)
        assert 0.06 <= took_s < 0.5
        proxy.set_rules(LossRules(loss=1.0))
        user.sendto(b"lost", proxy.address)
        target.settimeout(0.1)
        with pytest.raises(TimeoutError):
            target.recvfrom(100)
        up, down = proxy.counters()
        assert (up[0].taken, up[0].lost, down[0].delivered) == (2, 1, 1)
        assert proxy.stop()
        assert proxy.stop()
