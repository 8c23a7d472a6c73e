"""The one audio format inside the gateway: 48 kHz, mono, int16, frames of exact length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]
"""Shape (n,), int16, full scale ±32768."""

RATE_HZ: Final = 48_000
TICK_MS: Final = 20
"""Unit of the counted IV's clock; a frame of another length advances it by frame_ms / 20."""
TICK_SAMPLES: Final = RATE_HZ * TICK_MS // 1000
FRAME_MS_CHOICES: Final = (10, 20, 40, 60)
FULL_SCALE: Final = 32768.0


def samples_per_frame(frame_ms: int) -> int:
    """Samples in one frame of `frame_ms` at RATE_HZ; ValueError for a length that is not offered."""
    if frame_ms not in FRAME_MS_CHOICES:
        raise ValueError(f"frame_ms {frame_ms}: expected one of {FRAME_MS_CHOICES}")
    return RATE_HZ * frame_ms // 1000


def silence(count: int) -> Samples:
    """`count` samples of digital silence."""
    return np.zeros(count, np.int16)


@dataclass(slots=True)
class Frame:
    """One frame of captured audio. Nobody changes it; `frozen` would enforce that, at three times the price.

    samples: shape (samples_per_frame,), int16; nobody writes into it after it was handed on.
    index: counts one per frame period since the source was opened; frames that were lost are counted too.
    complete_at_s: monotonic seconds at which the last sample was in our hands.
    gap: audio was lost between the previous frame and this one.
    """

    samples: Samples
    index: int
    complete_at_s: float
    gap: bool = False
