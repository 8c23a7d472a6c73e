"""How long a keyed line stays keyed. Pure: times in, verdict out.

A line is keyed on lease: it drops when nobody renews it, and it drops for good, until it is unkeyed, when it
was keyed for longer than any over may last.
"""

from __future__ import annotations

from typing import Final

LEASE_S: Final = 0.2
"""A keyed line that is not renewed for this long drops: the gateway hangs."""
RELAPSE_S: Final = 1.0
"""A line that is keyed again so soon after its lease ran out goes on in the same over: a gateway that
stutters must not wind the time-out timer back."""

IDLE: Final = 0
KEYED: Final = 1
EXPIRED: Final = 2
LATCHED: Final = 3


class Lease:
    """One line. `phase`: IDLE, KEYED, EXPIRED (not renewed in time) or LATCHED (timed out)."""

    def __init__(self, max_key_s: float) -> None:
        self.phase = IDLE
        self._max_key_s = max_key_s
        self._lapses_at = 0.0
        self._ends_at = 0.0
        self._dropped_at = 0.0

    def key(self, now: float) -> None:
        """Key, or renew. A latched line stays off."""
        self.wanted(now)
        if self.phase == LATCHED:
            return
        fresh = self.phase == IDLE or (self.phase == EXPIRED and now - self._dropped_at > RELAPSE_S)
        if fresh:
            self._ends_at = now + self._max_key_s
        self.phase = KEYED
        self._lapses_at = now + LEASE_S
        self.wanted(now)

    def unkey(self) -> None:
        """End the over; also what releases the latch."""
        self.phase = IDLE

    def wanted(self, now: float) -> bool:
        """Must the line be active at `now`?"""
        if self.phase == KEYED:
            if now >= self._ends_at:
                self.phase = LATCHED
            elif now >= self._lapses_at:
                self.phase = EXPIRED
                self._dropped_at = now
        return self.phase == KEYED

    def deadline(self) -> float | None:
        """When a keyed line drops if nothing happens; None when it is not keyed."""
        if self.phase != KEYED:
            return None
        return min(self._lapses_at, self._ends_at)
