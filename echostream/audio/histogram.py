"""A bounded histogram of milliseconds: percentiles over any length of time in constant memory."""

from __future__ import annotations

from typing import Final

import numpy as np

_STEP_MS: Final = 0.5
_MOST_MS: Final = 2000.0


class MsHistogram:
    """Counts values in steps of 0.5 ms up to 2 s; what lies above counts as 2 s, below 0 as 0."""

    def __init__(self) -> None:
        self._counts = np.zeros(int(_MOST_MS / _STEP_MS) + 1, np.int64)

    def add(self, value_ms: float) -> None:
        """Count one value."""
        self._counts[int(min(max(value_ms, 0.0), _MOST_MS) / _STEP_MS)] += 1

    def percentile_ms(self, percent: float) -> float:
        """The value that `percent` of all stay at or below, within 0.5 ms; 0 when there are none."""
        summed = np.cumsum(self._counts)
        if not summed[-1]:
            return 0.0
        at = int(np.searchsorted(summed, max(1.0, percent / 100.0 * float(summed[-1]))))
        return (at + 0.5) * _STEP_MS if at else 0.0
