"""From monotonic to Unix time: what a step is, what the kernel says, what a lost processor must not do."""

from __future__ import annotations

import time

import pytest

from echostream.archive.wall_clock import STEP_S, ClockQuality, WallClock, kernel_clock


class Clocks:
    def __init__(self) -> None:
        self.mono = 500.0
        self.offset = 1_700_000_000.0
        self.quality = ClockQuality("synchronised", 2.0)
        self.delays: list[float] = []

    def unix(self) -> float:
        read = self.mono + self.offset
        self.mono += self.delays.pop(0) if self.delays else 0.0
        return read

    def wall(self) -> WallClock:
        return WallClock(lambda: self.mono, self.unix, lambda: self.quality)


def test_there_and_back_is_exact_to_a_microsecond() -> None:
    wall = Clocks().wall()
    assert wall.unix_us(500.25) == 1_700_000_500_250_000
    assert wall.monotonic_s(wall.unix_us(512.125)) == pytest.approx(512.125, abs=1e-6)


def test_a_clock_that_goes_on_is_no_step() -> None:
    clocks = Clocks()
    wall = clocks.wall()
    for _ in range(100):
        clocks.mono += 1.0
        assert wall.look() is None
    assert wall.steps == 0


@pytest.mark.parametrize("by_s", [3600.0, -3600.0, 0.05, -0.05, 1.7e9])
def test_a_clock_that_is_set_is_a_step_of_that_length(by_s: float) -> None:
    clocks = Clocks()
    wall = clocks.wall()
    clocks.offset += by_s
    step = wall.look()
    assert step is not None
    assert step.by_s == pytest.approx(by_s, abs=1e-6)
    assert not step.trusted
    assert wall.look() is None


def test_a_small_correction_is_taken_up_without_a_word() -> None:
    clocks = Clocks()
    wall = clocks.wall()
    clocks.offset += STEP_S / 2
    assert wall.look() is None
    assert wall.offset_s == pytest.approx(clocks.offset)


def test_only_a_clock_that_becomes_synchronised_says_that_the_old_one_was_wrong() -> None:
    clocks = Clocks()
    clocks.quality = ClockQuality("unsynchronised", 16_000.0)
    wall = clocks.wall()
    clocks.offset += 100.0
    step = wall.look()
    assert step is not None
    assert not step.trusted  # set by hand, by nobody who knows
    clocks.offset += 100.0
    clocks.quality = ClockQuality("synchronised", 3.0)
    step = wall.look()
    assert step is not None
    assert step.trusted
    assert wall.quality.error_ms == 3.0


def test_losing_the_processor_between_the_two_clocks_is_no_step() -> None:
    clocks = Clocks()
    wall = clocks.wall()
    clocks.delays = [0.3, 0.2, 0.0, 0.5]  # one of five readings is tight
    assert wall.look() is None
    assert wall.offset_s == pytest.approx(clocks.offset, abs=1e-6)


def test_the_kernels_own_word_is_read() -> None:
    quality = kernel_clock()
    assert quality.state in ("synchronised", "unsynchronised", "unknown")
    assert 0 <= quality.error_ms <= 16_000
    wall = WallClock()
    assert wall.unix_us(time.monotonic()) == pytest.approx(time.time() * 1e6, abs=50_000)
