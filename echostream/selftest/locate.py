"""Where a known piece stands in what came back, to a fraction of a sample. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from echostream.selftest.signal import Float

SURE: Final = 10.0
"""So far above the rest of the correlation: of 10 million samples of noise none reaches 6."""
_TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Place:
    """at: sample at which the piece begins. sharpness: its correlation, over the rest's."""

    at: float
    sharpness: float
    inverted: bool

    @property
    def sure(self) -> bool:
        return self.sharpness >= SURE


def locate(heard: Float, piece: Float, begin: int = 0, end: int | None = None) -> Place | None:
    """The best place of `piece` that begins at `begin` to `end` of `heard`; None where none can be."""
    end = len(heard) - len(piece) + 1 if end is None else min(end, len(heard) - len(piece) + 1)
    begin = max(0, begin)
    if end <= begin:
        return None
    stretch = heard[begin : end + len(piece) - 1]
    size = 1 << (len(stretch) + len(piece) - 1).bit_length()
    product = np.fft.rfft(stretch, size) * np.conj(np.fft.rfft(piece, size))
    correlation = np.fft.irfft(product, size)[: end - begin]
    height = np.abs(correlation)
    top = int(np.argmax(height))
    if height[top] < _TINY:
        return None
    # The median: neither the other chirp nor the sweep that runs through the band counts as the rest.
    rest = float(np.median(height)) * 1.4826 + _TINY
    return Place(begin + top + _between(height, top), float(height[top]) / rest, bool(correlation[top] < 0))


def _between(height: Float, top: int) -> float:
    """How far beside sample `top` the peak of the parabola through it and its neighbours is, -0.5 to 0.5."""
    if not 0 < top < len(height) - 1:
        return 0.0
    left, middle, right = height[top - 1], height[top], height[top + 1]
    bend = left - 2 * middle + right
    return float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5)) if bend < 0 else 0.0
