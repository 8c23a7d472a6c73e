"""Sounds for the tests of the ear, made without the product's own generator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection, Heard, NearMiss
from echostream.tones.plan import ListenPlan

RATE_HZ = 8000
Sound = NDArray[np.float64]
LEVEL_DBFS = -24.0
"""RMS of the tones."""


def tone(
    *hz: float, s: float = 1.0, level_dbfs: float = LEVEL_DBFS, rate_hz: int = RATE_HZ, phase: float = 0.3
) -> Sound:
    """Sines at once, each with this RMS."""
    at = np.arange(round(s * rate_hz)) / rate_hz
    peak = np.sqrt(2) * 10 ** (level_dbfs / 20)
    sines: Sound = np.sum([peak * np.sin(2 * np.pi * f * at + phase) for f in hz], axis=0)
    return sines


def pause(s: float, rate_hz: int = RATE_HZ) -> Sound:
    """Silence."""
    return np.zeros(round(s * rate_hz))


def scene(*parts: Sound, snr_db: float | None = 20.0, seed: int = 1, rate_hz: int = RATE_HZ) -> Sound:
    """Half a second of silence on both sides, and white noise over all (against tones at LEVEL_DBFS, 0-4
    kHz)."""
    whole = np.concatenate([pause(0.5, rate_hz), *parts, pause(0.5, rate_hz)])
    if snr_db is None:
        return whole
    spread = 10 ** ((LEVEL_DBFS - snr_db) / 20) * np.sqrt(rate_hz / RATE_HZ)
    return whole + np.random.default_rng(seed).normal(0, spread, whole.size)


def listen(plan: ListenPlan, sound: NDArray[Any], rate_hz: int = RATE_HZ, block: int = 160) -> list[Heard]:
    """All that is heard of a sound, fed in blocks."""
    detector = ToneDetector(plan, rate_hz)
    heard: list[Heard] = []
    samples = sound if sound.dtype == np.int16 else sound.astype(np.float32)
    for at in range(0, samples.size, block):
        heard += detector.feed(samples[at : at + block])
    return heard + detector.finish()


def ids(heard: Sequence[Heard]) -> list[str]:
    """Of the detections."""
    return [item.tone_id for item in heard if isinstance(item, Detection)]


def detections(heard: Sequence[Heard]) -> list[Detection]:
    """Without the near misses."""
    return [item for item in heard if isinstance(item, Detection)]


def misses(heard: Sequence[Heard]) -> list[NearMiss]:
    """The near misses."""
    return [item for item in heard if isinstance(item, NearMiss)]
