"""What of a stream is kept when only what is loud is: against a slow and simple model."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.gates import ActivityGate
from echostream.archive.source_tap import Edge
from echostream.archive.stream_time import StreamTime
from echostream.archive.vox_gate import VoxGate
from echostream.config.recording_models import RecordPolicy

RATE = 8000
WINDOW = 160
LOUD, HELD, QUIET = 8000, 2500, 30  # -12, -22 (held by hysteresis only at -20 + 3), -61 dBFS


def kept(levels: list[int], pre_ms: int, post_ms: int) -> np.ndarray:
    """Window by window: is it kept?"""
    pre, post = RATE * pre_ms // 1000, max(WINDOW, RATE * post_ms // 1000)
    mask = np.zeros(len(levels) * WINDOW, bool)
    until = -1
    for number, level in enumerate(levels):
        begin, end = number * WINDOW, (number + 1) * WINDOW
        rms = level
        if until >= 0 and begin >= until:
            until = -1
        if until < 0 and rms >= 32768 * 10 ** (-20 / 20):
            mask[max(0, begin - pre) : end] = True
            until = end + post
        elif until >= 0 and rms >= 32768 * 10 ** (-23 / 20):
            until = end + post
        if until >= 0:
            mask[begin : min(end, until)] = True
    return mask


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([LOUD, HELD, QUIET]), st.integers(1, 30)), min_size=1, max_size=15),
    st.lists(st.integers(1, 3000), min_size=1, max_size=10),
    st.sampled_from([0, 100, 1000]),
    st.sampled_from([0, 100, 500]),
)
def test_it_keeps_what_the_simple_model_keeps_however_it_is_cut(
    plan: list[tuple[int, int]], cuts: list[int], pre_ms: int, post_ms: int
) -> None:
    levels = [level for level, count in plan for _ in range(count)]
    samples = np.repeat(np.array(levels, np.int16), WINDOW)
    gate = VoxGate(-20.0, pre_ms, post_ms, RATE)
    mask = np.zeros(len(samples), bool)
    at, turn = 0, 0
    while at < len(samples):
        count = cuts[turn % len(cuts)]
        for begin, end in gate.update(samples[at : at + count], at):
            assert begin <= end
            mask[max(0, begin) : end] = True
        at, turn = at + count, turn + 1
    np.testing.assert_array_equal(mask, kept(levels, pre_ms, post_ms))


def test_a_gate_that_was_shut_by_a_gap_forgets_what_it_held() -> None:
    gate = VoxGate(-20.0, 0, 100, RATE)
    gate.update(np.full(250, LOUD, np.int16), 0)
    assert gate.open_until > 0
    gate.reset()
    assert gate.update(np.full(160, QUIET, np.int16), 10_000) == []


def test_a_place_before_the_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="position -1"):
        VoxGate(-20.0, 0, 100, RATE).update(np.zeros(1, np.int16), -1)


def test_transmissions_that_follow_each_other_within_the_post_roll_are_one() -> None:
    gate = ActivityGate(RecordPolicy(mode="transmissions", pre_roll_ms=100, post_roll_ms=500), RATE)
    time = StreamTime(RATE)
    spans = []
    for second in range(6):
        if second == 2:
            gate.edge(Edge(True, 2.0))
            gate.edge(Edge(False, 2.4))
            gate.edge(Edge(True, 2.7))
            gate.edge(Edge(False, 2.8))
        time.note((second + 1) * RATE, float(second + 1))
        spans += gate.update(np.zeros(RATE, np.int16), second * RATE, time)
    assert not gate.open
    assert spans[0][0] == 1.9 * RATE
    assert spans[-1][1] == 3.3 * RATE
    assert all(one[1] == two[0] for one, two in pairwise(spans))


def test_a_transmission_that_is_told_after_its_end_is_kept_all_the_same() -> None:
    gate = ActivityGate(RecordPolicy(mode="transmissions", pre_roll_ms=0, post_roll_ms=0), RATE)
    time = StreamTime(RATE)
    time.note(RATE, 1.0)
    gate.edge(Edge(True, 0.25))
    gate.edge(Edge(False, 0.5))
    assert gate.update(np.zeros(RATE, np.int16), 0, time) == [(0.25 * RATE, 0.5 * RATE)]
    assert not gate.open
