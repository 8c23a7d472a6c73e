"""Which recordings go when there are too many: decided here, done elsewhere. Pure.

Fair between sources: whoever has most loses first, its oldest first, until all that lose have equally much
left. A microphone that hears something twice a year keeps it beside one that is never quiet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BYTES_A_RECORDING: Final = 6_000
"""What a recording takes beside its audio: two small files, rounded up to the disk's blocks, its rows."""
BYTES_A_SECOND: Final = 40
"""Of its waveform."""
MARGIN: Final = 0.005
"""So much more than must be is freed, so that the bound holds until it is next looked at."""
TRUSTED_AFTER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Use:
    """What one source has. total: of all of it; may_go: of what is neither protected, open nor to be sent."""

    total: int
    may_go: int


def to_free(used: int, most: int | None, free: int, disk: int, min_free_percent: float) -> int:
    """Bytes that must go: above `most` (None: no bound), or missing to the free space left to others."""
    over = 0 if most is None or used <= most else used - round(most * (1 - MARGIN))
    least_free = round(disk * min_free_percent / 100)
    if free < least_free:
        over = max(over, round(least_free * (1 + MARGIN)) - free)
    return over


def shares(uses: Mapping[int, Use], free: int) -> dict[int, int]:
    """Bytes that each source gives so that together they give `free`, or all that may go.

    The level is found at which the totals above it make up the sum.
    """
    low, high = 0, max((use.total for use in uses.values()), default=0)
    while low < high:  # the highest level that gives enough
        level = (low + high + 1) // 2
        if sum(_above(use, level) for use in uses.values()) >= free:
            low = level
        else:
            high = level - 1
    given = {source: _above(use, low) for source, use in uses.items()}
    return {source: share for source, share in given.items() if share > 0}


def _above(use: Use, level: int) -> int:
    return min(use.may_go, max(0, use.total - level))


class ClockTrust:
    """Whether the wall clock may decide that a recording is too old.

    A clock that was set wrong would delete everything at once: one that nobody has synchronised must have run
    for a day without a step.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._steady_since_s = 0.0

    def may_judge(self, now_s: float, monotonic_s: float, synchronised: bool) -> bool:
        """now_s: the wall clock. A step of more than an hour begins the day anew."""
        offset_s = now_s - monotonic_s
        if self._offset_s is None or abs(offset_s - self._offset_s) > 3600:
            self._offset_s = offset_s
            self._steady_since_s = monotonic_s
        return synchronised or monotonic_s - self._steady_since_s >= TRUSTED_AFTER_S
