"""Frames between two cards whose clocks differ: bounded, ordered, and in step for as long as it takes."""

from __future__ import annotations

import numpy as np
import pytest

from echostream.audio.format import Samples
from echostream.channels.frame_bridge import BOUND_MS, FrameBridge


def frame(value: int) -> Samples:
    return np.full(960, value, np.int16)


def test_what_goes_in_comes_out_in_order_after_a_short_lead() -> None:
    bridge = FrameBridge(20)
    out: list[int] = []
    for number in range(1, 40):
        bridge.push(frame(number))
        got = bridge.pull()
        out += [int(got[0])] if got is not None else [0]
    assert out == [0, 0, *range(1, 38)]


def test_a_target_that_stands_still_loses_the_oldest() -> None:
    bridge = FrameBridge(20)
    for number in range(100):
        bridge.push(frame(number))
    assert bridge.dropped == 100 - BOUND_MS // 20
    got = bridge.pull()
    assert got is not None
    assert got[0] == bridge.dropped


def test_a_source_that_stops_is_silence_and_not_a_stuck_frame() -> None:
    bridge = FrameBridge(20)
    for number in range(3):
        bridge.push(frame(1000 + number))
    assert [bridge.pull() is not None for _ in range(5)] == [True, True, True, False, False]
    bridge.push(frame(7))
    assert bridge.pull() is None  # it leads again before it goes on


def test_the_end_is_heard_after_what_was_said() -> None:
    bridge = FrameBridge(20, opening=[frame(9)])
    for number in (1, 2):
        bridge.push(frame(number))
    bridge.finish([frame(3), frame(4)])
    bridge.push(frame(99))
    got = [bridge.pull() for _ in range(6)]
    assert [int(one[0]) if one is not None else None for one in got] == [9, 1, 2, 3, 4, None]


@pytest.mark.parametrize("ppm", [-300.0, -100.0, 100.0, 300.0])
def test_clocks_that_differ_cost_a_quiet_frame_now_and_then_and_no_word(ppm: float) -> None:
    """An hour, three seconds of speech and one of a pause: no frame of speech is lost or torn."""
    bridge = FrameBridge(20)
    spoken, pause = frame(8000), frame(3)
    pushed = given = silent = 0
    source = target = 0.0
    loud_in = loud_out = 0
    while target < 3600.0:
        if source <= target:
            loud = pushed % 200 < 150
            loud_in += loud
            bridge.push(spoken if loud else pause)
            pushed += 1
            source += 0.02 * (1 + ppm * 1e-6)
        else:
            got = bridge.pull()
            given += 1
            silent += got is None
            loud_out += got is not None and int(got[0]) == 8000
            target += 0.02
    assert bridge.dropped == 0
    assert silent <= 4  # the lead at the beginning
    assert loud_in - loud_out <= 12  # what is still queued
    corrections = abs(bridge.left_out - bridge.put_in)
    assert corrections == pytest.approx(abs(ppm) * 1e-6 * 3600 / 0.02, rel=0.3, abs=3)
