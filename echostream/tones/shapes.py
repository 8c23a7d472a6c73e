"""Second-order sections for the filters in front of the ear (bilinear transform, prewarped at the corner)."""

from __future__ import annotations

import math

from echostream.audio.filters import Biquad


def high_pass(hz: float, rate_hz: int, q: float) -> Biquad:
    """12 dB an octave below hz; q 0.7071 is Butterworth's."""
    k, norm = _corner(hz, rate_hz, q)
    return Biquad(norm, -2 * norm, norm, 2 * (k * k - 1) * norm, (1 - k / q + k * k) * norm)


def low_pass(hz: float, rate_hz: int, q: float) -> Biquad:
    """12 dB an octave above hz."""
    k, norm = _corner(hz, rate_hz, q)
    gain = k * k * norm
    return Biquad(gain, 2 * gain, gain, 2 * (k * k - 1) * norm, (1 - k / q + k * k) * norm)


def notch(hz: float, half_width_hz: float, rate_hz: int) -> Biquad:
    """Nothing at hz, -3 dB at hz ± half_width_hz."""
    k, norm = _corner(hz, rate_hz, q := hz / (2 * half_width_hz))
    turn = 2 * (k * k - 1) * norm
    return Biquad((1 + k * k) * norm, turn, (1 + k * k) * norm, turn, (1 - k / q + k * k) * norm)


def _corner(hz: float, rate_hz: int, q: float) -> tuple[float, float]:
    k = math.tan(math.pi * hz / rate_hz)
    return k, 1 / (1 + k / q + k * k)
