"""For how long the oldest one has waited, whatever the wall clock does meanwhile. Pure."""

from __future__ import annotations


class Lag:
    """The wall clock is asked once for each oldest one; from then on the monotonic clock counts."""

    def __init__(self, now: float) -> None:
        """now: monotonic seconds of the start."""
        self._started = now
        self._newest_before = -1
        self._number = 0
        self._age_s = 0.0
        self._at = now

    def found(self, number: int) -> None:
        """The last row that was there at the start: what comes later is not older than we are."""
        self._newest_before = max(self._newest_before, number)

    def oldest(self, number: int, since_us: int, now_us: int, now: float) -> None:
        """number: of the row that waits longest, 0 for none; since_us, now_us: Unix microseconds."""
        if number == self._number:
            return
        self._number, self._at = number, now
        self._age_s = max(0.0, (now_us - since_us) / 1e6) if number else 0.0
        if number > self._newest_before:
            self._age_s = min(self._age_s, now - self._started)

    def age_s(self, now: float) -> float:
        """0 where none waits."""
        return self._age_s + now - self._at if self._number else 0.0
