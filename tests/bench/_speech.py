"""Recorded speech for the benchmarks: what the package ships, else what the system has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import echostream.simulator
from echostream.audio.format import RATE_HZ, Samples
from echostream.simulator.file_cards import read_wav

SHIPPED = Path(echostream.simulator.__file__).parent / "speech"
SYSTEM = Path("/usr/share/pocketsphinx/test/data/librivox")


def speech(least_s: float) -> Samples:
    """At least `least_s` of 48 kHz speech, one recording after another. FileNotFoundError without any."""
    for folder in (SHIPPED, SYSTEM):
        files = sorted(folder.glob("*.wav"))
        if files:
            recorded = np.concatenate([read_wav(file) for file in files])
            return np.tile(recorded, int(np.ceil(least_s * RATE_HZ / recorded.size)))
    raise FileNotFoundError(f"no recorded speech: neither {SHIPPED} nor {SYSTEM} holds a WAV file")


def active_blocks(
    samples: Samples | NDArray[np.float32], block: int, below_db: float = 25.0
) -> NDArray[np.bool_]:
    """Which blocks of `block` samples hold voice: within `below_db` of the loudest tenth's level."""
    level = block_rms(samples, block)
    loud = float(np.quantile(level, 0.9))
    active: NDArray[np.bool_] = level > loud * 10 ** (-below_db / 20)
    return active


def block_rms(samples: Samples | NDArray[np.float32], block: int) -> NDArray[np.float64]:
    """RMS of each whole block, shape (n // block,)."""
    whole = samples[: samples.size // block * block].astype(np.float64).reshape(-1, block)
    rms: NDArray[np.float64] = np.sqrt(np.mean(whole**2, axis=1))
    return rms
