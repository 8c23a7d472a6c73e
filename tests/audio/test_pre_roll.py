"""No sample of the pre-roll is missing, whatever the phase of the key-up."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from echostream.audio.format import Frame
from echostream.audio.pre_roll import PreRoll

FRAME_S = 0.02


def frame(index: int) -> Frame:
    return Frame(np.full(960, index % 30000, np.int16), index, (index + 1) * FRAME_S)


@given(
    pre_roll_ms=st.integers(0, 1000),
    phase=st.floats(0.0, 1.0, exclude_max=True),
    late_frames=st.integers(0, 2),
)
def test_every_sample_since_the_pre_roll_began_is_there(
    pre_roll_ms: int, phase: float, late_frames: int
) -> None:
    ring = PreRoll(pre_roll_ms, 20)
    pressed_after = 100
    at_s = (pressed_after + phase) * FRAME_S
    for index in range(pressed_after + late_frames):
        ring.push(frame(index))
    ring.arm(at_s)
    for index in range(pressed_after + late_frames, pressed_after + 5):
        ring.push(frame(index))
    taken = []
    while (waiting := ring.take()) is not None:
        taken.append(waiting.index)
    assert taken == list(range(taken[0], pressed_after + 5))
    first_sample_s = taken[0] * FRAME_S
    assert first_sample_s <= at_s - pre_roll_ms / 1000 + 1e-9
    assert first_sample_s > at_s - pre_roll_ms / 1000 - FRAME_S - 1e-9


def test_a_network_that_takes_nothing_bounds_the_queue_and_counts() -> None:
    ring = PreRoll(200, 20, limit_ms=100)
    ring.arm(0.0)
    for index in range(100):
        ring.push(frame(index))
    assert len(ring) == 13 + 5
    assert ring.dropped == 100 - 18


def test_what_was_sent_is_not_the_next_pre_roll() -> None:
    ring = PreRoll(200, 20)
    for index in range(50):
        ring.push(frame(index))
    ring.arm(50 * FRAME_S)
    while ring.take() is not None:
        pass
    ring.disarm()
    ring.push(frame(50))
    ring.arm(51 * FRAME_S)
    first = ring.take()
    assert first is not None
    assert first.index == 50


def test_clear_forgets_what_the_loudspeaker_said() -> None:
    ring = PreRoll(200, 20)
    ring.push(frame(0))
    ring.clear()
    ring.arm(0.0)
    assert ring.take() is None
