"""The clock of a device against streams that burst, stall, drift and lose audio."""

from __future__ import annotations

from echostream.audio.device_clock import DeviceClock


def test_the_first_sample_was_taken_up_before_the_burst_arrived() -> None:
    clock = DeviceClock(16_000)
    for block in range(3, 200):
        assert clock.arrived(16_000 * block, 100.0 + block) == []
    assert abs(clock.time_of(0) - 100.0) < 0.1
