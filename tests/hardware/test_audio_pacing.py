"""When a card is looked at: near its own steps, seldom, and never a frame behind. And what was lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.hardware.audio_pacing import OverrunMeter, Pacer

PERIOD_S = 0.02


def follow(
    pacer: Pacer, ppm: float, late_s: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> list[tuple[float, int]]:
    """A card whose steps come every PERIOD_S * (1 + ppm), a reader that wakes late: (lag, looks) per step."""
    period = PERIOD_S * (1 + ppm * 1e-6)
    now, found = 0.0, []
    for step in range(1, len(late_s)):
        due, looks = step * period, 0
        now += pacer.wait_s(now) + (late_s[step] if pacer.wait_s(now) else 0)
        while now < due:
            looks += 1
            now += pacer.missed(now) + late_s[step]
        pacer.ready(now)
        found.append((now - due, looks + 1))
    return found


@given(st.floats(-300, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_reader_stays_within_moments_of_the_card(ppm: float, seed: int) -> None:
    late_s = np.random.default_rng(seed).exponential(0.0001, 400)
    found = follow(Pacer(PERIOD_S), ppm, late_s)[50:]
    lags, looks = np.array([lag for lag, _ in found]), np.array([count for _, count in found])
    assert lags.max() < 0.0035
    assert np.median(lags) < 0.0012
    assert looks.mean() < 2.6


def test_reader_that_was_late_once_is_back_at_once() -> None:
    late_s = np.full(200, 0.0001)
    late_s[100] = 0.015
    found = follow(Pacer(PERIOD_S), 0, late_s)
    assert found[99][0] > 0.01
    assert max(lag for lag, _ in found[125:]) < 0.002


def test_card_that_stopped_is_looked_at_less() -> None:
    pacer = Pacer(PERIOD_S)
    pacer.ready(0.0)
    assert pacer.missed(0.021) == pytest.approx(0.001)
    assert pacer.missed(0.2) == pytest.approx(0.005)


def test_overrun_is_what_came_and_is_not_there() -> None:
    meter = OverrunMeter(5760, 48_000)
    assert meter.look(960, 1.0) == 0
    meter.took(960)
    assert meter.look(0, 1.5) == 24_000


@pytest.mark.parametrize(
    ("available", "after_s"),
    [(960, 0.02), (5000, 0.1), (24_000, 0.5), (5760, 0.5), (0, 0.1)],
    ids=["on time", "late", "held behind the ring", "ring full", "card stood still"],
)
def test_no_overrun_is_made_up(available: int, after_s: float) -> None:
    meter = OverrunMeter(5760, 48_000)
    meter.look(0, 1.0)
    assert meter.look(available, 1.0 + after_s) == 0
