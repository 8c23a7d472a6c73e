"""Levels between two looks, silence, and the clock of a card."""

from __future__ import annotations

import numpy as np
import pytest

from echostream.audio.format import Samples
from echostream.audio.levels import FLOOR_DBFS, LevelMeter
from echostream.vitals.card_clock import CardClock
from echostream.vitals.heard import Heard, Held, Quiet

FRAME = 960


def sine(amplitude: float) -> Samples:
    return np.rint(amplitude * np.sin(2 * np.pi * np.arange(FRAME) / 48)).astype(np.int16)


def test_a_shout_between_two_looks_is_not_missed() -> None:
    """The last frame is silent; a level of that moment would say nothing happened."""
    meter, heard = LevelMeter(), Heard()
    heard.look(meter)
    for frame in [sine(16_384)] * 10 + [sine(0)] * 40:
        meter.update(frame)
    assert heard.look(meter)
    assert heard.level_dbfs == pytest.approx(-9.03 + 10 * np.log10(0.2), abs=0.05)
    assert heard.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    for _ in range(50):
        meter.update(sine(0))
    assert heard.look(meter)
    assert (heard.level_dbfs, heard.peak_dbfs) == (FLOOR_DBFS, FLOOR_DBFS)


def test_the_quietest_input_is_told_from_none_after_a_year_of_noise() -> None:
    """Sums over everything since the start: what a second adds must not drown in them."""
    meter, heard = LevelMeter(), Heard()
    meter.energy, meter.samples = 48_000 * 86_400 * 365 * 1e6, 48_000 * 86_400 * 365
    heard.look(meter)
    for _ in range(50):
        meter.update(sine(6))
    heard.look(meter)
    assert heard.level_dbfs == pytest.approx(20 * np.log10(6 / 32_768 / np.sqrt(2)), abs=0.5)


def test_clipping_is_a_share_of_the_frames_since_the_last_look() -> None:
    meter, heard = LevelMeter(), Heard()
    for _ in range(50):
        meter.update(sine(40_000.0).clip(-32_768, 32_767))
    heard.look(meter)
    for number in range(50):
        meter.update(sine(1000) if number % 5 else np.full(FRAME, 32_767, np.int16))
    heard.look(meter)
    assert heard.clipped == pytest.approx(0.2)


def test_without_a_frame_nothing_is_told_as_heard() -> None:
    meter, heard = LevelMeter(), Heard()
    meter.update(sine(1000))
    assert heard.look(meter)
    assert not heard.look(meter)
    assert (heard.level_dbfs, heard.clipped) == (FLOOR_DBFS, 0.0)


def test_quiet_is_counted_from_the_first_quiet_look_and_ends_with_any_sound() -> None:
    quiet = Quiet()
    assert quiet.look(-50.0, 0.0) == 0
    assert quiet.look(-95.0, 1.0) == 0
    assert quiet.look(-80.0, 61.0) == 60
    assert quiet.look(-79.0, 62.0) == 0
    assert quiet.look(-120.0, 63.0) == 0
    assert quiet.look(None, 90.0) == 0  # nobody listens: what comes after is counted anew
    assert quiet.look(-120.0, 91.0) == 0


def test_held_counts_from_each_change() -> None:
    held = Held()
    assert held.look(True, 5.0) == 0
    assert held.look(True, 8.0) == 3
    assert held.look(False, 9.0) == 0
    assert held.look(False, 19.0) == 10


# ---- the clock of a card


def run(clock: CardClock, ppm: float, duration_s: float, seed: int = 1) -> list[float]:
    """Looks once a second at a card with frames of 20 ms, read a little late; what it said each time."""
    rng = np.random.default_rng(seed)
    now, told = 100.0, []
    while now < 100.0 + duration_s:
        now += 1.0 + float(rng.uniform(-0.02, 0.02))
        frames = int((now - 100.0) * (1 + 1e-6 * ppm) / 0.02)
        came_s = 100.0 + frames * 0.02 / (1 + 1e-6 * ppm) + float(rng.exponential(0.003))
        clock.look(frames * FRAME, came_s)
        told.append(clock.ppm)
    return told


@pytest.mark.parametrize("ppm", [-180.0, 0.0, 90.0, 400.0])
def test_a_card_is_measured_within_a_quarter_of_an_hour(ppm: float) -> None:
    clock = CardClock(48_000)
    run(clock, ppm, 900)
    assert clock.ppm_error < 100
    assert abs(clock.ppm - ppm) <= clock.ppm_error


def test_a_good_card_is_never_told_to_be_off() -> None:
    for seed in range(5):
        assert max(map(abs, run(CardClock(48_000), 0.0, 900, seed))) < 30


def test_a_card_that_was_pulled_is_measured_anew() -> None:
    clock = CardClock(48_000)
    run(clock, 300.0, 900)
    assert clock.ppm > 200
    clock.look(10**9, 1020.0)
    assert clock.ppm == 0.0


def test_frames_that_nobody_read_are_no_drift() -> None:
    """100 ms lost every five minutes: as a slope that would be 300 ppm."""
    clock = CardClock(48_000)
    worst = 0.0
    for second in range(1, 3000):
        lost = second // 300
        clock.look(second * 48_000 - lost * 4800, 100.0 + second + 0.002 * (second % 3), lost)
        worst = max(worst, abs(clock.ppm))
    assert worst < 30
