"""When to look at a card again, and what was lost meanwhile. Pure: `now` is an argument, nothing waits."""

from __future__ import annotations

from typing import Final

_STEP_S: Final = 0.001
"""Between two looks while a frame is due: what the reader may be late."""
_CREEP_S: Final = 0.0002
"""After a look that succeeded at once the next comes this much earlier; one that fails costs a wake-up."""
_GUARD_S: Final = 0.0004
"""The first look comes this much before the frame is expected: the estimate stays on the early side."""
_IDLE_AFTER_FRAMES: Final = 3
_IDLE_STEP_S: Final = 0.005
"""Between two looks at a card that has stopped."""


class Pacer:
    """Follows the rhythm in which a card becomes ready, one `period_s` after another.

    A card moves in steps of its own clock; looking at a fixed distance from the last look would let the
    reader drift up to a whole frame behind it. So each success tells where the card's step was: after a
    look that failed it lies within one step before now, else earlier, and the next first look moves up.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due_s: float | None = None
        self._failed = False

    def missed(self, now: float) -> float:
        """The card is not ready at `now`: seconds to wait before looking again."""
        if self._due_s is None:
            self._due_s = now
        self._failed = True
        early_s = self._due_s - now
        if early_s > 0:
            return max(_STEP_S, early_s)
        return _IDLE_STEP_S if -early_s > _IDLE_AFTER_FRAMES * self._period_s else _STEP_S

    def ready(self, now: float) -> None:
        """The card was ready at `now`: expect the next step one period on."""
        if self._failed or self._due_s is None:
            self._due_s = now + self._period_s - _GUARD_S
        else:
            self._due_s = max(now, self._due_s + self._period_s - _CREEP_S)
        self._failed = False

    def wait_s(self, now: float) -> float:
        """Seconds until the next look is worthwhile; 0 when it is time."""
        return 0.0 if self._due_s is None else max(0.0, self._due_s - now)


class OverrunMeter:
    """Sees a capture ring overflow, which PyAudio does not report, from how full it is at each look.

    PortAudio empties the ring when it overflowed. So when the reader was away for longer than the ring
    lasts, and the ring then holds less than what came in meanwhile, the difference is lost. A ring behind
    which something else keeps audio (PulseAudio) holds it all, and a card that just stood still for a while
    did not let the reader be late: neither is an overrun.
    """

    def __init__(self, capacity: int, rate_hz: int) -> None:
        """`capacity`: samples per channel in the ring."""
        self._capacity = capacity
        self._rate_hz = rate_hz
        self._seen_at_s: float | None = None
        self._left = 0

    def look(self, available: int, now: float) -> int:
        """`available` samples are in the ring at `now`: how many were lost since the last look."""
        lost = 0
        if self._seen_at_s is not None:
            expected = self._left + (now - self._seen_at_s) * self._rate_hz
            if expected >= self._capacity and available < self._capacity * 0.75:
                lost = round(expected) - available
        self._seen_at_s = now
        self._left = available
        return lost

    def took(self, count: int) -> None:
        """`count` samples were read."""
        self._left = max(0, self._left - count)
