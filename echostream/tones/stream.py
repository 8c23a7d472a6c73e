"""The one audio format inside the ear: 8 kHz float32, in blocks of exactly 512 samples (64 ms).

Whoever feeds a detector may use blocks of any size at any rate; `ToneDetector` brings them to this form, and
so every ear sees the same numbers whatever the blocks were.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.tones.heard import Heard

Signal = NDArray[np.float32]
"""Shape (n,), float32, ±1.0 is full scale (int16 / 32768)."""

EAR_RATE_HZ: Final = 8000
BLOCK_SAMPLES: Final = 512
BLOCK_S: Final = BLOCK_SAMPLES / EAR_RATE_HZ


class Ear(Protocol):
    """One kind of listening, on the stream of one channel."""

    def hear(self, block: Signal) -> list[Heard]:
        """What the next block (shape (512,), float32) decided. Positions count from the stream's first
        sample."""
        ...

    def finish(self) -> list[Heard]:
        """The stream is over: what only waited for its end. Nothing may follow but `reset`."""
        ...

    @property
    def pressing(self) -> bool:
        """Something is under way that may be decided with one of the next blocks: do not let them wait."""
        ...

    def reset(self, position: int) -> None:
        """Audio was lost: forget what is under way; the next block begins at sample `position` (of 8 kHz)."""
        ...
