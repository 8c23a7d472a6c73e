"""The clock of a device against streams that burst, stall, drift and lose audio."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from echostream.audio.device_clock import START_ERROR_MS, DeviceClock, Missing

RATE = 16_000

CONNECTS_AT = 1000.0
"""Monotonic seconds at which the connection is there."""
PATH_S = 0.005
DAY_S = 86_400


@dataclass
class Device:
    """A device and its path. Seconds are ours, from the connection on; losses are at stalls or between."""

    seconds: float = 60.0
    chunk_bytes: int = 1024
    ppm: float = 0.0
    burst_s: float = 0.0
    over_s: float = 0.0
    jitter_ms: float = 2.0
    tail: float = 0.8
    """Sigma of the log-normal delay: at 2, one in a hundred is late by 100 times the usual."""
    stalls: tuple[tuple[float, float], ...] = ()
    catch_up: float = 20.0
    """How much faster than real time it sends what it has kept."""
    losses: tuple[tuple[float, float], ...] = ()
    round_s: float = 0.02
    """The relay reads at most this often."""
    rate: int = RATE
    seed: int = 1
    edges: list[tuple[int, int]] = field(default_factory=list)
    """Of each loss: samples before it, samples lost."""

    def __post_init__(self) -> None:
        true_rate = self.rate * (1 + 1e-6 * self.ppm)
        lost = sum(seconds for _, seconds in self.losses)
        chunk = max(1, self.chunk_bytes // 2)
        total = np.arange(chunk, int((self.seconds + self.burst_s - lost) * true_rate), chunk)
        taken = CONNECTS_AT - self.burst_s + total / true_rate
        for at_s, lost_s in sorted(self.losses):
            first = int(np.searchsorted(taken, CONNECTS_AT + at_s))
            before = int(total[first - 1]) if first else 0
            taken[first:] += lost_s
            self.edges.append((before, round(lost_s * true_rate)))
        self.total, self.taken = total, taken
        self.starts_at = CONNECTS_AT - self.burst_s
        self.arrives = self._arrivals(chunk / (true_rate * self.catch_up))

    def _arrivals(self, chunk_s: float) -> np.ndarray:
        rng = np.random.default_rng(self.seed)
        share = np.clip((self.taken - self.starts_at) / max(self.burst_s, 1e-9), 0, 1)
        packet = (self.taken / max(0.02, self.chunk_bytes / 2 / self.rate)).astype(int)
        delays = 0.001 * self.jitter_ms * rng.lognormal(0, self.tail, int(np.ptp(packet)) + 1)
        delay = delays[packet - packet[0]]
        at = np.maximum(self.taken, CONNECTS_AT + self.over_s * share) + PATH_S + delay
        for start_s, length_s in self.stalls:
            from_s = CONNECTS_AT + start_s
            at = np.where((at >= from_s) & (at < from_s + length_s), from_s + length_s, at)
        busy_s = np.where(self.taken < CONNECTS_AT, 0.0, chunk_s)
        before = np.cumsum(busy_s)
        arrives: np.ndarray = np.maximum.accumulate(at - before) + before
        return arrives

    def reads(self) -> tuple[list[int], list[float]]:
        """Samples so far and time of each round that finds some."""
        rounds = np.ceil(self.arrives / self.round_s)
        last = np.append(np.flatnonzero(np.diff(rounds)), rounds.size - 1)
        return self.total[last].tolist(), (rounds[last] * self.round_s).tolist()

    def play(self, clock: DeviceClock) -> list[Missing]:
        """All of it into the clock: what that found missing."""
        totals, times = self.reads()
        return [one for total, now in zip(totals, times, strict=True) for one in clock.arrived(total, now)]

    def head_error_s(self, clock: DeviceClock) -> float:
        """How late the clock has the newest sample."""
        return float(clock.time_of(int(self.total[-1]) + clock.missing) - self.taken[-1])

    def start_error_s(self, clock: DeviceClock) -> float:
        """How late it has the first."""
        return clock.time_of(0) - self.starts_at


CHUNKS = st.sampled_from([2, 64, 512, 1024, 1460, 4096, 8192, 19_200])
PPM = st.floats(-500, 500)
ROUNDS = st.sampled_from([0.001, 0.02, 0.04])
JITTER = st.sampled_from([(0.5, 0.5), (2.0, 0.8), (5.0, 1.0), (10.0, 0.8)])
CATCH_UP = st.sampled_from([1.5, 3.0, 20.0, 100.0])


@st.composite
def stalls(draw: st.DrawFn, apart_s: float = 1.0) -> tuple[tuple[float, float], ...]:
    """Up to three stalls of up to 10 s."""
    found, at_s = [], draw(st.floats(3, 12))
    for _ in range(draw(st.integers(1, 3))):
        length_s = draw(st.floats(0.2, 10))
        found.append((at_s, length_s))
        at_s += length_s + draw(st.floats(apart_s, apart_s + 20))
    return tuple(found)


@settings(max_examples=200)
@given(CHUNKS, PPM, st.floats(0, 3), st.floats(0, 1), JITTER, ROUNDS, st.integers(0, 99))
def test_a_burst_does_not_spoil_the_start(
    chunk: int, ppm: float, burst: float, over: float, jitter: tuple[float, float], every: float, seed: int
) -> None:
    device = Device(12, chunk, ppm, burst, over, *jitter, round_s=every, seed=seed)
    clock = DeviceClock(RATE, every)
    assert device.play(clock) == []
    assert clock.settled
    assert abs(device.start_error_s(clock)) <= 0.1
    assert abs(device.head_error_s(clock)) <= min(0.1, 0.001 * clock.error_ms)


@settings(max_examples=200)
@given(stalls(), CHUNKS, PPM, st.floats(0, 3), JITTER, CATCH_UP, ROUNDS, st.integers(0, 99))
def test_a_stall_that_catches_up_is_no_gap(
    waits: tuple[tuple[float, float], ...],
    chunk: int,
    ppm: float,
    burst: float,
    jitter: tuple[float, float],
    catch_up: float,
    every: float,
    seed: int,
) -> None:
    last_s = sum(waits[-1])
    assume(chunk > 2)  # a read takes many of them; the next test has such a device
    device = Device(last_s + 40, chunk, ppm, burst, 0.5, *jitter, waits, catch_up, round_s=every, seed=seed)
    clock = DeviceClock(RATE, every)
    assert device.play(clock) == []
    assert clock.missing == 0
    assert abs(device.start_error_s(clock)) <= 0.1
    assert abs(device.head_error_s(clock)) <= 0.1


def test_sample_by_sample_is_as_good_as_in_blocks() -> None:
    device = Device(40, 2, 300, 3.0, 1.0, stalls=((8, 6),), losses=((8, 2.5),))
    clock = DeviceClock(RATE)
    (found,) = device.play(clock)
    ((before, lost),) = device.edges
    assert abs(found.samples - lost) <= 0.05 * RATE
    assert abs(found.at - before) <= 0.1 * RATE
    assert abs(device.start_error_s(clock)) <= 0.1


@settings(max_examples=200)
@given(
    stalls(apart_s=40.0),
    st.data(),
    CHUNKS,
    PPM,
    st.floats(0, 3),
    JITTER,
    CATCH_UP,
    ROUNDS,
    st.integers(0, 99),
)
def test_lost_audio_is_found_sized_and_placed(
    waits: tuple[tuple[float, float], ...],
    data: st.DataObject,
    chunk: int,
    ppm: float,
    burst: float,
    jitter: tuple[float, float],
    catch_up: float,
    every: float,
    seed: int,
) -> None:
    assume(chunk > 2)
    lost = tuple((at, data.draw(st.floats(0.2, max(0.2, length)))) for at, length in waits)
    seconds = sum(waits[-1]) + 60
    device = Device(seconds, chunk, ppm, burst, 0.5, *jitter, waits, catch_up, lost, every, seed=seed)
    clock = DeviceClock(RATE, every)
    found = device.play(clock)
    assert len(found) == len(device.edges)
    so_far = 0
    for one, (before, samples) in zip(found, device.edges, strict=True):
        assert abs(one.samples - samples) <= 0.05 * RATE
        assert abs(one.at - so_far - before) <= max(chunk / 2, 0.2 * RATE)
        so_far += one.samples
    assert clock.missing == so_far
    assert abs(device.start_error_s(clock)) <= 0.1
    assert abs(device.head_error_s(clock)) <= 0.1


@pytest.mark.parametrize(("lost_s", "chunk"), [(0.2, 1024), (0.25, 4096), (0.3, 19_200), (1.0, 512)])
def test_a_loss_without_a_stall_is_placed_where_the_next_block_came_late(lost_s: float, chunk: int) -> None:
    device = Device(60, chunk, 100, 1.0, 0.2, losses=((20, lost_s),))
    (found,) = device.play(DeviceClock(RATE))
    ((before, samples),) = device.edges
    assert abs(found.at - before) <= chunk / 2
    assert abs(found.samples - samples) <= 0.05 * RATE


def test_two_losses_before_the_first_is_sure_are_two() -> None:
    waits = ((20.0, 3.0), (26.0, 4.0))
    device = Device(70, 1024, stalls=waits, losses=((20, 2.0), (26, 3.0)))
    found = device.play(DeviceClock(RATE))
    (first, second), (one, two) = found, device.edges
    assert abs(first.samples - one[1]) <= 0.05 * RATE
    assert abs(second.samples - two[1]) <= 0.05 * RATE
    assert abs(first.at - one[0]) <= 0.1 * RATE
    assert abs(second.at - first.samples - two[0]) <= 0.1 * RATE


def test_a_path_that_is_never_still_has_no_gaps() -> None:
    """One packet in a hundred is late by two thirds of a second, and all behind it wait."""
    waits = ((3.5, 6.9), (47.0, 0.4), (80.9, 7.3), (141.6, 3.8), (167.1, 2.4), (190.0, 5.5))
    for seed in range(3090, 3100):
        device = Device(300, 64, 129, 1.6, 0.7, 20.0, 1.5, waits, 3.0, round_s=0.001, seed=seed)
        assert device.play(DeviceClock(RATE, 0.001)) == []


@pytest.mark.parametrize("seed", range(2000, 2006))
def test_a_late_packet_just_before_a_loss_is_part_of_it(seed: int) -> None:
    waits = ((8.7, 8.4), (61.8, 7.8))
    device = Device(110, 1024, 68, 2.8, 0.7, 20.0, 1.0, waits, 3.0, ((61.8, 2.48),), round_s=0.001, seed=seed)
    (found,) = device.play(DeviceClock(RATE, 0.001))
    assert abs(found.samples - device.edges[0][1]) <= 0.05 * RATE


@pytest.mark.parametrize("ppm", [-433, 433, -60, 60])
def test_rounds_that_beat_with_the_blocks_are_no_gaps(ppm: float) -> None:
    """Blocks of 600 ms and rounds of 40 ms: a wrong clock shows as a saw of 40 ms."""
    device = Device(4 * 3600, 19_200, ppm, jitter_ms=0.01)
    clock = DeviceClock(RATE, 0.04)
    device.round_s = 0.04
    assert device.play(clock) == []
    assert abs(device.head_error_s(clock)) <= 0.06
    assert abs(device.start_error_s(clock)) <= 0.1


def test_small_losses_are_told_when_they_add_up() -> None:
    """An ESP32 that drops one DMA buffer of 64 ms now and then."""
    drops = tuple((40.0 + 30 * drop, 0.1) for drop in range(6))
    device = Device(260, 1024, losses=drops)
    clock = DeviceClock(RATE)
    found = device.play(clock)
    assert 2 <= len(found) <= 4
    assert 0.35 * RATE <= clock.missing <= 0.65 * RATE
    assert abs(device.head_error_s(clock)) <= 0.1


def test_a_path_that_is_slower_for_a_while_is_no_gap() -> None:
    clock = DeviceClock(RATE)
    for block in range(2, 9000):
        slower_s = 0.12 if 2000 < block < 6000 else 0.0
        assert clock.arrived(1000 * block, CONNECTS_AT + block / 16 + slower_s) == []
    assert abs(clock.time_of(9_000_000) - CONNECTS_AT - 9000 / 16) < 0.02


def test_a_gap_that_proves_false_is_made_good_by_the_next() -> None:
    """What is late for a minute comes after all: the silence that was put in for it must come out again."""
    clock = DeviceClock(RATE)
    found = []
    for block in range(2, 4000):
        late_s = 1.0 if 500 < block < 1500 else 1.5 if block > 3000 else 0.0
        found += clock.arrived(1000 * block, CONNECTS_AT + block / 16 + late_s)
        if block == 2999:
            assert abs(clock.time_of(3_000_000 + clock.missing) - CONNECTS_AT - 3000 / 16) < 0.02
    assert [round(one.samples / RATE, 1) for one in found] == [1.0, 0.5]
    assert abs(clock.time_of(4_000_000 + clock.missing) - CONNECTS_AT - 4000 / 16 - 1.5) < 0.02


def test_a_start_that_was_late_is_put_right_when_the_backlog_comes() -> None:
    """Two seconds stay in the device for the first half minute; then it catches up."""
    clock = DeviceClock(RATE)
    for block in range(2, 3000):
        late_s = 2.0 if block < 500 else 0.0
        assert clock.arrived(1000 * block, CONNECTS_AT + block / 16 + late_s) == []
    assert abs(clock.time_of(0) - CONNECTS_AT) < 0.02


@pytest.mark.parametrize(
    ("ppm", "chunk_s", "every_s"), [(500, 0.9, 0.001), (-500, 0.9, 0.04), (433, 1.3, 0.04), (-20, 0.6, 0.04)]
)
def test_a_day_of_a_wrong_clock(ppm: float, chunk_s: float, every_s: float) -> None:
    chunk = int(2 * chunk_s * RATE)
    waits = tuple((3600.0 * hour, 8.0) for hour in range(1, 24))
    lost = ((3 * 3600.0, 5.0), (20 * 3600.0, 0.5))
    device = Device(DAY_S, chunk, ppm, 3.0, 0.5, 5.0, 1.0, waits, 3.0, lost, every_s)
    clock = DeviceClock(RATE, every_s)
    found = device.play(clock)
    assert [round(2 * one.samples / RATE) / 2 for one in found] == [5.0, 0.5]
    assert abs(device.head_error_s(clock)) <= 0.1
    assert abs(device.start_error_s(clock)) <= 0.1
    assert clock.ppm == pytest.approx(ppm, abs=25)
    for hour in (1, 7, 23):
        at = int(np.searchsorted(device.taken, CONNECTS_AT + 3600 * hour + 1800))
        position = int(device.total[at]) + sum(one.samples for one in found if one.at < device.total[at])
        assert abs(clock.time_of(position) - device.taken[at]) <= 0.1
    assert len(pickle.dumps(clock)) < 20_000


@pytest.mark.parametrize("ppm", [-10_000, 10_000])
def test_a_careless_sample_rate_is_a_clock_and_no_gap(ppm: float) -> None:
    device = Device(3600, 4096, ppm, jitter_ms=1.0)
    clock = DeviceClock(RATE)
    assert device.play(clock) == []
    assert clock.ppm == pytest.approx(ppm, abs=50)
    assert abs(device.head_error_s(clock)) <= 0.1


def test_a_rate_that_is_a_lie_keeps_the_time_by_gaps() -> None:
    """44.1 kHz by name, 40 kHz by nature: the count is made to fit the time."""
    clock = DeviceClock(44_100)
    for second in range(1, 1800):
        clock.arrived(40_000 * second, CONNECTS_AT + second)
    total = 40_000 * 1799 + clock.missing
    assert abs(clock.time_of(total) - CONNECTS_AT - 1799) < 30.0
    assert len(pickle.dumps(clock)) < 20_000


def test_doubt_is_said_while_it_lasts() -> None:
    device = Device(60, 1024, stalls=((20, 5.0),), losses=((20, 2.0),))
    clock = DeviceClock(RATE)
    doubtful = []
    for total, now in zip(*device.reads(), strict=True):
        found = clock.arrived(total, now)
        if found:
            break
        error_ms = clock.error_ms
        doubtful.append((clock.undecided_from, now))
    assert found
    since = [(at, now) for at, now in doubtful if at is not None]
    assert all(at <= found[0].at for at, _ in since)
    assert len(since) > 50
    assert error_ms > 1900
    assert now - since[0][1] < 15.0
    assert clock.undecided_from is None


def test_what_is_not_known_is_not_claimed() -> None:
    clock = DeviceClock(RATE)
    with pytest.raises(ValueError, match="nothing has arrived"):
        clock.time_of(0)
    assert clock.arrived(1000, CONNECTS_AT) == []
    assert clock.error_ms == START_ERROR_MS
    assert clock.ppm is None
    assert not clock.settled


def test_positions_count_what_is_missing() -> None:
    device = Device(120, 1024, stalls=((20, 4.0), (70, 4.0)), losses=((20, 2.0), (70, 3.0)))
    clock = DeviceClock(RATE)
    first, second = device.play(clock)
    assert clock.missing == first.samples + second.samples
    assert abs(clock.time_of(first.at) - CONNECTS_AT - 20) <= 0.15
    assert abs(clock.time_of(first.at + first.samples) - CONNECTS_AT - 22) <= 0.15
    assert abs(clock.time_of(second.at) - CONNECTS_AT - 70) <= 0.15


def test_an_arrival_costs_next_to_nothing() -> None:
    """1,000 devices bring 50,000 arrivals a second: at most as long as 60 calls of nothing each."""
    totals, times = Device(400, 640, 100, round_s=0.02, stalls=((100, 5),)).reads()

    class Nothing:
        def arrived(self, total: int, now: float) -> list[Missing]:
            return []

    def least_s(make: Callable[[], DeviceClock | Nothing]) -> float:
        spans = []
        for _ in range(7):
            arrived = make().arrived
            begun_s = time.perf_counter()
            for total, now in zip(totals, times, strict=True):
                arrived(total, now)
            spans.append(time.perf_counter() - begun_s)
        return min(spans)

    assert least_s(lambda: DeviceClock(RATE, 0.02)) < 60 * least_s(Nothing)


def test_a_burst_is_placed_with_its_first_arrivals() -> None:
    """Who is killed, or closes a file, a moment after the device connected knows the times all the same."""
    clock = DeviceClock(RATE)
    kept_s, begun_s, sent = 1.5, 100.0, 0
    for number in range(12):  # 1.5 s of audio within 60 ms, in pieces of 125 ms
        sent += RATE // 8
        clock.arrived(sent, begun_s + 0.005 * number)
    assert clock.time_of(0) == pytest.approx(begun_s + 0.055 - kept_s, abs=0.05)
    assert clock.error_ms >= 1000.0


def test_what_was_lost_is_told_when_the_stream_ends_soon_afterwards() -> None:
    """8 s of time, of which 2.4 s were lost in a stall of 3 s: the end tells what nothing else would."""
    clock = DeviceClock(RATE)
    sent, told = 0, 0
    for number in range(80):
        now_s = number / 10
        if 30 <= number < 60:
            continue
        sent += RATE // 10
        if number == 60:
            sent += int(0.6 * RATE)  # what its memory held
        told += sum(one.samples for one in clock.arrived(sent, now_s))
    told += sum(one.samples for one in clock.finish())
    assert told / RATE == pytest.approx(2.4, abs=0.1)


def test_a_stream_that_ends_while_it_catches_up_has_lost_nothing() -> None:
    clock = DeviceClock(RATE)
    sent = 0
    for number in range(80):
        now_s = number / 10
        if 30 <= number < 60:
            continue
        sent += RATE // 10 if number < 30 else RATE // 10 + RATE // 15
        assert clock.arrived(sent, now_s) == []
    assert clock.finish() == []


@pytest.mark.parametrize(("first_s", "second_s"), [(1.1, 5.0), (5.6, 9.7), (2.6, 9.3)])
def test_two_losses_are_told_each_in_its_place_when_the_stream_ends(first_s: float, second_s: float) -> None:
    """Also where the first came before the burst could be known to be over."""
    clock = DeviceClock(RATE)
    told: list[Missing] = []
    sent = kept = 0
    for number in range(139):
        now_s = number / 10
        if any(at <= now_s < at + 2 for at in (first_s, second_s)):
            kept = min(kept + RATE // 10, RATE)  # what its memory holds: a second
            continue
        sent, kept = sent + kept + RATE // 10, 0
        told += clock.arrived(sent, now_s)
    told += clock.finish()
    assert [one.samples / RATE for one in told] == pytest.approx([1.0, 1.0], abs=0.1)
    assert [one.at / RATE for one in told] == pytest.approx([first_s, second_s], abs=0.15)
