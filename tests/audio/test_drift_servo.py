"""The servo against clocks that disagree, over a simulated day."""

from __future__ import annotations

import numpy as np
import pytest

from echostream.audio.drift_servo import MOST_SLEW, DriftServo

DAY_S = 86_400
TARGET_MS = 30.0


def run(
    servo: DriftServo, ppm: float, seconds: int, noise_ms: float = 0.0, start_ms: float = TARGET_MS
) -> np.ndarray:
    """Depth at each second while the sender's clock is `ppm` faster than ours; noise is on its measure."""
    rng = np.random.default_rng(1)
    measured_with = rng.normal(0, noise_ms, seconds) if noise_ms else np.zeros(seconds)
    depth = start_ms
    depths = np.empty(seconds)
    for second in range(seconds):
        ratio = servo.update(depth + measured_with[second], TARGET_MS, 1.0)
        depth += 1000.0 * ((1 + ppm * 1e-6) - 1 / ratio)
        depths[second] = depth
    return depths


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_day_at_200_ppm_wanders_at_most_ten_ms(ppm: int) -> None:
    servo = DriftServo()
    depths = run(servo, ppm, DAY_S, noise_ms=3.0)
    assert np.ptp(depths) <= 10
    assert depths.min() > 20  # never near empty: nothing is dropped or concealed
    assert depths[600:].std() < 1.0
    assert servo.ppm == pytest.approx(ppm, abs=60)


def test_drift_is_learned_and_leaves_no_error() -> None:
    servo = DriftServo()
    depths = run(servo, 150, 1200)
    assert servo.ppm == pytest.approx(150, abs=3)
    assert depths[-1] == pytest.approx(TARGET_MS, abs=0.1)


def test_without_learning_the_error_stays_small() -> None:
    servo = DriftServo(learns=False)
    assert run(servo, 200, 600)[-1] == pytest.approx(TARGET_MS + 2, abs=0.2)
    assert servo.ppm == 0


def test_speed_never_changes_by_more_than_is_inaudible() -> None:
    servo = DriftServo()
    for depth in (0.0, 5000.0, -5000.0):
        for _ in range(50):
            assert abs(1 / servo.update(depth, TARGET_MS, 0.02) - 1) <= MOST_SLEW + 1e-12


def test_large_error_teaches_nothing() -> None:
    servo = DriftServo()
    for _ in range(500):
        servo.update(TARGET_MS + 80, TARGET_MS, 0.02)
    assert servo.ppm == 0


def test_hold_keeps_what_was_learned() -> None:
    servo = DriftServo()
    run(servo, 100, 1200)
    assert 1 / servo.hold() - 1 == pytest.approx(100e-6, abs=3e-6)


def test_excess_is_gone_without_undershoot() -> None:
    depths = run(DriftServo(), 0, 120, start_ms=TARGET_MS + 10)
    assert abs(depths[60] - TARGET_MS) < 1.5
    assert depths.min() > TARGET_MS - 3
