"""Several talkers at once. The sum may exceed full scale: the limiter behind it brings that down."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import Samples

Float32 = NDArray[np.float32]


def mix(parts: Sequence[Samples | Float32], count: int | None = None) -> Float32:
    """Sum of `parts`, each of shape (n,) in int16 units, as float32; one part passes through unchanged.

    count: length of the result when there are no parts (it must agree with them otherwise).
    Raises ValueError for parts of different length, or for none without a count.
    """
    if count is None:
        if not parts:
            raise ValueError("mix: no parts and no count: the length of the silence is unknown")
        count = parts[0].size
    for part in parts:
        if part.shape != (count,):
            raise ValueError(f"mix: a part of shape {part.shape} among frames of ({count},)")
    total = np.zeros(count, np.float32)
    for part in parts:
        total += part
    return total
