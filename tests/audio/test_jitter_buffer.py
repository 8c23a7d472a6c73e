"""The jitter buffer, hazard by hazard; the packets are the smallest that Opus allows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.audio.jitter_buffer import (
    BURST_MS,
    QUIET_PAUSE_TICKS,
    Empty,
    JitterBuffer,
    Lost,
    Packet,
    Verdict,
    tick_distance,
)

PLAIN = bytes([0xF8, 1, 2, 3])
"""CELT, 20 ms."""
WITH_FEC = bytes([0x08, 0xC0, 2, 3])
"""SILK, 20 ms, voice and LBRR flags set."""
OF_100_MS = bytes([0xFB, 5, 1, 2, 3, 4, 5])
"""Code 3: five frames of 20 ms."""
WRAP = 1 << 48


def drain(buffer: JitterBuffer, most: int = 100) -> list[Verdict]:
    """All verdicts up to the first Empty."""
    out: list[Verdict] = []
    while len(out) < most:
        verdict = buffer.next()
        if isinstance(verdict, Empty):
            break
        out.append(verdict)
    return out


def played(verdicts: list[Verdict]) -> list[int]:
    return [verdict.tick for verdict in verdicts if isinstance(verdict, Packet)]


def filled(ticks: list[int], payload: bytes = PLAIN) -> JitterBuffer:
    """A buffer that got these ticks on time (20 ms apart by tick), and whose talk-spurt has begun."""
    buffer = JitterBuffer()
    for tick in ticks:
        buffer.push(tick, payload, 1.0 + 0.02 * tick)
    buffer.begin()
    return buffer


def test_reordered_packets_come_out_in_order() -> None:
    buffer = filled([10, 12, 11, 14, 13])
    assert played(drain(buffer)) == [0, 1, 2, 3, 4]
    assert buffer.counters.lost == buffer.counters.late == 0


def test_earlier_packet_before_the_start_is_still_first() -> None:
    assert played(drain(filled([11, 10, 12]))) == [-1, 0, 1]


def test_duplicates_are_dropped_and_counted_before_and_after_playing() -> None:
    buffer = filled([5, 5, 6])
    drain(buffer)
    assert not buffer.push(7 - 1, PLAIN, 1.2)
    assert buffer.counters.duplicate == 2
    assert buffer.counters.late == 0


def test_ticks_wrap_at_48_bits() -> None:
    buffer = JitterBuffer()
    for k in range(6):
        buffer.push((WRAP - 3 + k) % WRAP, PLAIN, 0.02 * k)
    buffer.begin()
    assert played(drain(buffer)) == [0, 1, 2, 3, 4, 5]
    assert buffer.counters.lost == 0


@given(st.integers(0, WRAP - 1), st.integers(-(1 << 47), (1 << 47) - 1))
def test_tick_distance_is_signed_on_the_circle(start: int, step: int) -> None:
    assert tick_distance((start + step) % WRAP, start) == step


def test_gap_with_redundancy_behind_it_is_lost_with_fec() -> None:
    verdicts = drain(filled([0, 1, 3], WITH_FEC))
    assert verdicts[2] == Lost(2, 1, WITH_FEC)
    assert played(verdicts) == [0, 1, 3]


def test_gap_without_redundancy_is_lost_without_fec() -> None:
    assert drain(filled([0, 2]))[1] == Lost(1, 1, None)


def test_burst_loss_has_fec_for_its_last_packet_only() -> None:
    buffer = filled([0, 1, 6], WITH_FEC)
    lost = [verdict for verdict in drain(buffer) if isinstance(verdict, Lost)]
    assert [one.tick for one in lost] == [2, 3, 4, 5]
    assert [one.fec is not None for one in lost] == [False, False, False, True]
    assert buffer.counters.lost == 4


def test_may_wait_prefers_empty_until_redundancy_is_there() -> None:
    assert isinstance(filled([0, 2]).next(), Packet)
    buffer = filled([0, 2])
    buffer.next()
    assert isinstance(buffer.next(may_wait=True), Empty)
    assert buffer.counters.lost == 0
    buffer = filled([0, 2], WITH_FEC)
    buffer.next()
    assert isinstance(buffer.next(may_wait=True), Lost)


def test_late_packet_is_late_and_no_longer_lost() -> None:
    buffer = filled([0, 1, 3])
    drain(buffer)
    assert buffer.counters.lost == 1
    assert not buffer.push(2, PLAIN, 1.5)
    assert (buffer.counters.lost, buffer.counters.late) == (0, 1)
    assert not buffer.push(2, PLAIN, 1.5)
    assert (buffer.counters.late, buffer.counters.duplicate) == (1, 1)


def test_late_packet_that_nobody_missed_yet_is_played() -> None:
    buffer = filled([0, 1])
    drain(buffer)
    buffer.push(2, PLAIN, 1.5)
    assert played(drain(buffer)) == [2]


def test_pause_is_not_loss() -> None:
    buffer = filled([0, 1])
    drain(buffer)
    buffer.push(500, PLAIN, 11.0)
    assert isinstance(buffer.next(), Empty)
    assert buffer.begin() == 500
    assert played(drain(buffer)) == [500]
    assert (buffer.counters.lost, buffer.counters.spurts) == (0, 2)


def test_short_pause_after_silence_is_not_loss_but_after_speech_it_is() -> None:
    for pause_ticks, lost in ((QUIET_PAUSE_TICKS, 0), (10, 6)):
        buffer = filled([0, 1])
        buffer.pause_ticks = pause_ticks
        drain(buffer)
        buffer.push(8, PLAIN, 1.2)
        drain(buffer)
        if buffer.start_in_ms(2.0) is not None:
            buffer.begin()
        assert buffer.counters.lost == lost


def test_packets_of_100_ms_advance_five_ticks() -> None:
    buffer = filled([0, 5, 15], OF_100_MS)
    assert drain(buffer) == [
        Packet(0, 5, OF_100_MS, 1.0),
        Packet(5, 5, OF_100_MS, 1.1),
        Lost(10, 5, None),
        Packet(15, 5, OF_100_MS, 1.3),
    ]
    assert buffer.counters.lost == 1


def test_overflow_moves_the_window_to_the_newest() -> None:
    buffer = JitterBuffer(max_ms=320)
    fits = BURST_MS // 20
    for tick in range(fits + 24):
        buffer.push(tick, PLAIN, 1.0)
    assert buffer.held_ms == BURST_MS
    assert buffer.counters.dropped == 24
    buffer.begin()
    assert played(drain(buffer)) == list(range(24, fits + 24))
    assert buffer.counters.lost == 0


def test_rubbish_is_counted_and_changes_nothing() -> None:
    buffer = filled([0, 1])
    for rubbish in (b"", b"\xfb", b"\xfb\x00", b"\xff\x7f"):
        assert not buffer.push(2, rubbish, 1.04)
    assert buffer.counters.malformed == 4
    assert played(drain(buffer)) == [0, 1]


def test_a_talk_spurt_waits_for_its_depth_from_the_first_arrival() -> None:
    buffer = JitterBuffer()
    assert buffer.start_in_ms(5.0) is None
    buffer.push(0, PLAIN, 5.0)
    assert buffer.start_in_ms(5.0) == pytest.approx(buffer.target_ms)
    assert buffer.start_in_ms(5.01) == pytest.approx(buffer.target_ms - 10)
    assert buffer.start_in_ms(5.2) == 0
    assert 20 <= buffer.target_ms <= 40


def arrive(buffer: JitterBuffer, first: int, count: int, jitter_ms: float, rng: np.random.Generator) -> None:
    """Packets 20 ms apart with uniform jitter, played as they come."""
    for tick in range(first, first + count):
        buffer.push(tick, PLAIN, 0.02 * tick + rng.uniform(0, jitter_ms) / 1000)
        if tick == 0:
            buffer.begin()
        buffer.next()


def test_target_grows_at_once_under_jitter_and_shrinks_within_ten_seconds() -> None:
    rng = np.random.default_rng(3)
    buffer = JitterBuffer()
    arrive(buffer, 0, 250, 3, rng)
    base = buffer.target_ms
    assert base <= 40
    arrive(buffer, 250, 25, 80, rng)
    assert buffer.target_ms > base + 40
    arrive(buffer, 275, 300, 80, rng)
    assert 90 < buffer.target_ms < 125
    arrive(buffer, 575, 400, 3, rng)
    assert buffer.target_ms < base + 10


def test_one_straggler_in_four_seconds_does_not_raise_the_delay() -> None:
    rng = np.random.default_rng(4)
    buffer = JitterBuffer()
    arrive(buffer, 0, 200, 3, rng)
    before = buffer.target_ms
    buffer.push(200, PLAIN, 4.2)
    arrive(buffer, 201, 20, 3, rng)
    assert buffer.target_ms < before + 5


def test_burst_sent_to_catch_up_is_not_taken_for_jitter() -> None:
    buffer = JitterBuffer()
    for tick in range(10):
        buffer.push(tick, PLAIN, 1.0)
    for tick in range(10, 60):
        buffer.push(tick, PLAIN, 1.0 + 0.02 * (tick - 9))
    assert buffer.target_ms <= 40


def test_second_talk_spurt_with_pre_roll_keeps_the_known_base() -> None:
    rng = np.random.default_rng(5)
    buffer = JitterBuffer()
    arrive(buffer, 0, 200, 3, rng)
    for tick in range(400, 410):
        buffer.push(tick, PLAIN, 0.02 * 410)
    # 200 ms behind already: nothing to wait for.
    assert buffer.start_in_ms(0.02 * 410) == 0
    assert buffer.target_ms <= 40


def test_taken_packet_leaves_no_gap() -> None:
    buffer = filled([0, 1, 2])
    taken = buffer.take(1)
    assert taken is not None
    assert taken.payload == PLAIN
    assert buffer.take(1) is None
    assert played(drain(buffer)) == [0, 2]
    assert buffer.counters.lost == 0


def test_speech_that_was_interrupted_goes_on_at_once_but_not_after_a_clear() -> None:
    buffer = filled([0, 1])
    drain(buffer)
    buffer.push(3, PLAIN, 1.3)
    assert buffer.goes_on
    assert buffer.start_in_ms(1.3) == 0
    buffer.clear()
    buffer.push(4, PLAIN, 1.08)
    assert not buffer.goes_on
    assert buffer.start_in_ms(1.08) == pytest.approx(buffer.target_ms)


def test_taking_the_last_packet_empties_the_buffer() -> None:
    buffer = JitterBuffer()
    assert buffer.take(4) is None
    buffer.push(4, PLAIN, 1.0)
    assert buffer.take(4) is not None
    assert buffer.start_in_ms(2.0) is None
    assert buffer.held_ms == 0


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, WRAP - 1),
    st.lists(
        st.tuples(
            st.integers(-30, 60), st.sampled_from([PLAIN, WITH_FEC, OF_100_MS, b"", b"\xfb"]), st.booleans()
        ),
        max_size=80,
    ),
)
def test_every_packet_is_accounted_for_once(start: int, steps: list[tuple[int, bytes, bool]]) -> None:
    buffer = JitterBuffer()
    begun, order, at, now = False, [], start, 100.0
    for step, payload, ask in steps:
        at = (at + step) % WRAP
        now += 0.013
        buffer.push(at, payload, now)
        assert buffer.held_ms <= BURST_MS
        if ask:
            if not begun and buffer.start_in_ms(now) is not None:
                buffer.begin()
                begun = True
            verdict = buffer.next()
            if isinstance(verdict, Packet):
                order.append(verdict.tick)
            begun = begun and not isinstance(verdict, Empty)
    assert order == sorted(set(order))
    counters = buffer.counters
    held = 0
    while buffer.start_in_ms(now) is not None:
        buffer.begin()
        held += len(played(drain(buffer, 1000)))
    rejected = counters.duplicate + counters.late + counters.dropped + counters.malformed
    assert counters.received == len(steps) == len(order) + held + rejected
    assert counters.lost >= 0
