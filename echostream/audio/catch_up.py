"""How fast, and how roughly, a talk-spurt that begins with a backlog is shortened: by a deadline.

A sender hands over its pre-roll faster than real time, and what it said before the key is then delay. Voice
is shortened at good splices first; what the voice does not give in time is taken at worse ones.
"""

from __future__ import annotations

from typing import Final

GENTLE_PART: Final = 0.2
"""Part of the samples left out without hurry, on average: speech 25 % faster."""
MOST_PART: Final = 0.34
"""The same in the greatest hurry: 50 % faster."""
_DONE_AFTER_MS: Final = 620.0
"""Aimed at, counted from the talk-spurt's first sound: 200 ms of pre-roll must be gone 1 s after the key."""
_WHOLE_AFTER_MS: Final = 400.0
"""Until then the backlog may still show: the first arrivals of a burst hide how late they are."""
_GOOD_ALIKE, _FAIR_ALIKE = 0.7, 0.5
_URGENT_MS: Final = 60.0


class CatchUp:
    """The pace of draining: begin() at each talk-spurt, update() at each pull, then `part` and `alike`."""

    def __init__(self) -> None:
        self._since_begin_ms: float | None = None
        self.part = GENTLE_PART
        """Part of the samples to leave out."""
        self.alike = _GOOD_ALIKE
        """Least normalised correlation of the two sides of a splice; 0: any splice will do."""

    def begin(self) -> None:
        """A talk-spurt begins to sound."""
        self._since_begin_ms = 0.0

    def update(self, excess_ms: float, spare_ms: float, draining: bool, elapsed_ms: float) -> None:
        """excess_ms above the target, of which spare_ms may stay; elapsed_ms since the last call."""
        self.part = GENTLE_PART
        self.alike = _FAIR_ALIKE if excess_ms > _URGENT_MS else _GOOD_ALIKE
        if self._since_begin_ms is None:
            return
        self._since_begin_ms += elapsed_ms
        if not draining and self._since_begin_ms > _WHOLE_AFTER_MS:
            self._since_begin_ms = None
            return
        surplus_ms = max(0.0, excess_ms - spare_ms)
        left_ms = max(0.0, _DONE_AFTER_MS - self._since_begin_ms)
        needed = surplus_ms / (surplus_ms + left_ms) if surplus_ms else 0.0
        self.part = min(MOST_PART, max(GENTLE_PART, needed))
        # Gentle pace: good splices only. As hurried as may be: any.
        calm = (MOST_PART - self.part) / (MOST_PART - GENTLE_PART)
        self.alike = min(self.alike, _GOOD_ALIKE * calm)
