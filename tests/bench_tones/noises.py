"""What is no page: alarms as machines make them, and wind. Long sounds, 8 kHz, ±1.0, fixed by their seed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, lfilter, sosfilt

from tests.bench_tones.scenes import RATE_HZ, Sound

EACH_S: Final = 45.0
"""How long one alarm goes on."""

Phase = NDArray[np.float64]


def alarms(seed: int, length_s: float) -> Sound:
    """One alarm after another, each a little off, at -18 dBFS, with some noise."""
    rng = np.random.default_rng(seed)
    kinds = list(ALARMS.values())
    parts = []
    for number in range(math.ceil(length_s / EACH_S)):
        off = 1 + float(rng.uniform(-0.03, 0.03))
        time_s = np.arange(round(EACH_S * RATE_HZ)) / RATE_HZ
        parts.append(kinds[number % len(kinds)](time_s, off))
    sound = np.concatenate(parts)[: round(length_s * RATE_HZ)]
    sound = sound * (10 ** (-18 / 20) / math.sqrt(float(np.mean(sound**2))))
    return np.asarray(sound + 0.003 * rng.standard_normal(sound.size), np.float32)


def wind(seed: int, length_s: float) -> Sound:
    """Low noise that swells and falls, and whistling: narrow noise whose pitch wanders. -20 dBFS."""
    rng = np.random.default_rng(seed)
    count = round(length_s * RATE_HZ)
    low = lfilter([0.02], [1.0, -0.98], rng.standard_normal(count)) * _swelling(rng, count, 0.3)
    pitch_hz = 350 + 500 * np.abs(_slow(rng, count, 0.15))
    whistle = sosfilt(butter(1, 12.0, fs=RATE_HZ, output="sos"), rng.standard_normal(count))
    whistle *= np.cos(np.cumsum(2 * math.pi * pitch_hz / RATE_HZ)) * _swelling(rng, count, 0.5)
    sound = low / np.std(low) + 0.7 * whistle / np.std(whistle)
    return np.asarray(sound * (0.1 / np.std(sound)), np.float32)


def _slow(rng: np.random.Generator, count: int, corner_hz: float) -> NDArray[np.float64]:
    """Unit noise below corner_hz."""
    step = RATE_HZ // 20
    knots = lfilter(
        [1.0], [1.0, -math.exp(-2 * math.pi * corner_hz / 20)], rng.standard_normal(count // step + 2)
    )
    slow = np.interp(np.arange(count), np.arange(knots.size) * step, knots / np.std(knots))
    return np.asarray(slow, np.float64)


def _swelling(rng: np.random.Generator, count: int, corner_hz: float) -> NDArray[np.float64]:
    return np.asarray(10 ** (6 * _slow(rng, count, corner_hz) / 20), np.float64)


# ---- machines


def _turn(hz: Phase) -> Phase:
    return np.sin(np.cumsum(2 * math.pi * hz / RATE_HZ))


def _tone(time_s: Phase, *hz: float) -> Phase:
    total = np.zeros(time_s.size)
    for each in hz:
        total += np.sin(2 * math.pi * each * time_s) / len(hz)
    return total


def _beats(time_s: Phase, on_s: float, off_s: float, times: int = 1, rest_s: float = 0.0) -> Phase:
    """1 while it sounds: `times` beats of on_s and off_s, then a rest."""
    round_s = times * (on_s + off_s) + rest_s
    within = time_s % round_s
    return ((within < times * (on_s + off_s)) & (within % (on_s + off_s) < on_s)).astype(np.float64)


def _two_pitches(time_s: Phase, low_hz: float, high_hz: float, each_s: float) -> Phase:
    """A hi-lo horn, with overtones."""
    high = (time_s % (2 * each_s) >= each_s).astype(np.float64)
    hz = low_hz + (high_hz - low_hz) * high
    phase = np.cumsum(2 * math.pi * hz / RATE_HZ)
    return np.sin(phase) + 0.4 * np.sin(2 * phase) + 0.2 * np.sin(3 * phase)


def _sweep(time_s: Phase, low_hz: float, high_hz: float, period_s: float) -> Phase:
    swing = 0.5 - 0.5 * np.cos(2 * math.pi * time_s / period_s)
    return _turn(low_hz * (high_hz / low_hz) ** swing)


ALARMS: Final[dict[str, Callable[[Phase, float], Phase]]] = {
    "German hi-lo horn": lambda t, off: _two_pitches(t, 440 * off, 585 * off, 0.75),
    "British two-tone horn": lambda t, off: _two_pitches(t, 660 * off, 880 * off, 0.5),
    "French hi-lo horn": lambda t, off: _two_pitches(t, 435 * off, 651 * off, 1.1),
    "wail": lambda t, off: _sweep(t, 600 * off, 1500 * off, 5.5),
    "yelp": lambda t, off: _sweep(t, 600 * off, 1500 * off, 0.32),
    "air raid siren": lambda t, off: _sweep(t, 250 * off, 470 * off, 20.0),
    "smoke alarm, 3.1 kHz": lambda t, off: _tone(t, 3100 * off) * _beats(t, 0.5, 0.5, 3, 1.0),
    "smoke alarm, 520 Hz": lambda t, off: np.sign(_tone(t, 520 * off)) * _beats(t, 0.5, 0.5, 3, 1.0),
    "carbon monoxide alarm": lambda t, off: _tone(t, 3150 * off) * _beats(t, 0.1, 0.1, 4, 5.0),
    "back-up beeper": lambda t, off: _tone(t, 1250 * off) * _beats(t, 0.5, 0.5),
    "slow back-up beeper": lambda t, off: _tone(t, 1000 * off) * _beats(t, 1.0, 1.0),
    "car horn": lambda t, off: _tone(t, 400 * off, 500 * off) * _beats(t, 1.2, 1.8),
    "dial tone": lambda t, off: _tone(t, 350 * off, 440 * off) * _beats(t, 9.0, 2.0),
    "ringing": lambda t, off: _tone(t, 440 * off, 480 * off) * _beats(t, 2.0, 4.0),
    "busy": lambda t, off: _tone(t, 480 * off, 620 * off) * _beats(t, 0.5, 0.5),
    "fax": lambda t, off: _tone(t, 1100 * off) * _beats(t, 0.5, 3.0),
    "modem": lambda t, off: _tone(t, 2100 * off) * _beats(t, 3.3, 2.0),
    "emergency broadcast": lambda t, off: _tone(t, 853 * off, 960 * off) * _beats(t, 8.0, 4.0),
    "courtesy beeps": lambda t, off: _tone(t, 660 * off) * _beats(t, 0.1, 0.9, 4, 1.0),
    "heterodyne": lambda t, off: _turn(900 * off + 250 * np.sin(2 * math.pi * t / 12)),
}
"""By name: of the time and a factor for all frequencies."""
