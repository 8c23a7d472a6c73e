"""When is an edge a press? Pure: levels and times in, accepted states out.

The first edge is accepted at once, because key-up latency matters; the contact's bounce that follows is
locked out. What the line came to rest at is then read again, so an edge that was lost, in the lock-out or
anywhere else, never holds a channel open.
"""

from __future__ import annotations


class Debouncer:
    """One line. The owner reports edges, and reads the level again at `deadline()` and every now and then.

    debounce_ms: after an accepted change, edges are ignored for this long.
    confirm_ms: a change must last this long before it is accepted; 0 accepts the first edge (filters glitches
        of a noisy wire at the price of as much latency).
    state: the level to start from.
    """

    def __init__(self, debounce_ms: float, confirm_ms: float = 0.0, *, state: bool = False) -> None:
        if debounce_ms < 0 or confirm_ms < 0:
            raise ValueError(f"debounce_ms {debounce_ms}, confirm_ms {confirm_ms}: expected 0 or more")
        self._debounce_s = debounce_ms / 1000
        self._confirm_s = confirm_ms / 1000
        self._state = state
        self._locked_until: float | None = None
        self._confirm_at: float | None = None
        self._known_at: float | None = None

    @property
    def state(self) -> bool:
        """The accepted state."""
        return self._state

    def edge(self, level: bool, now: float) -> bool | None:
        """An edge to `level` at `now` (the edge's own time). Returns the new accepted state, or None.

        An edge that is older than the last reading is stale: that reading already saw what it led to.
        """
        if self._known_at is not None and now < self._known_at:
            return None
        if self._locked_until is not None:
            if now < self._locked_until:
                return None
            self._locked_until = None
        return self._weigh(level, now)

    def reread(self, level: bool, now: float) -> bool | None:
        """The level as read at `now`, at the deadline or on the slow poll. Returns the new state, or None."""
        if self._locked_until is not None:
            if now < self._locked_until:
                return None
            self._locked_until = None
        self._known_at = now if self._known_at is None else max(now, self._known_at)
        return self._weigh(level, now)

    def deadline(self) -> float | None:
        """When the level must be read again; None when nothing is pending."""
        if self._locked_until is not None:
            return self._locked_until
        return self._confirm_at

    def _weigh(self, level: bool, now: float) -> bool | None:
        if level == self._state:
            self._confirm_at = None
            return None
        if self._confirm_s > 0:
            if self._confirm_at is None:
                self._confirm_at = now + self._confirm_s
            if now < self._confirm_at:
                return None
        self._confirm_at = None
        self._state = level
        if self._debounce_s > 0:
            self._locked_until = now + self._debounce_s
        return level
