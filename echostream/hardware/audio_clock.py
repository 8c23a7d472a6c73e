"""The clock that sound cards are waited for on, so that a simulated card can run on a simulated one."""

from __future__ import annotations

import threading
import time
from typing import Final, Protocol


class Waitable(Protocol):
    """An event, or a gate."""

    def wait(self, timeout_s: float) -> bool: ...


class Clock(Protocol):
    """Monotonic seconds, and a wait that ends early when an event is set."""

    def now(self) -> float: ...

    def wait(self, event: Waitable, duration_s: float) -> None: ...


class RealClock:
    """The machine's monotonic clock."""

    now = staticmethod(time.monotonic)

    def wait(self, event: Waitable, duration_s: float) -> None:
        event.wait(duration_s)


class SteppedClock:
    """A clock that moves only when someone waits, and then at once: an hour of audio takes no time.

    Deterministic while one thread uses it. After IDLE_S without `moved()` it waits for real, so that a card
    that hangs does not turn into a busy loop.
    """

    IDLE_S: Final = 10.0
    _REAL_STEP_S: Final = 0.01

    def __init__(self, start_s: float = 1000.0) -> None:
        self._lock = threading.Lock()
        self._now_s = start_s
        self._moved_at_s = start_s

    def now(self) -> float:
        with self._lock:
            return self._now_s

    def wait(self, event: Waitable, duration_s: float) -> None:
        with self._lock:
            self._now_s += duration_s
            idle = self._now_s - self._moved_at_s > self.IDLE_S
        if idle:
            event.wait(self._REAL_STEP_S)

    def advance(self, duration_s: float) -> None:
        """Let time pass while nobody looks."""
        with self._lock:
            self._now_s += duration_s
            self._moved_at_s = self._now_s

    def moved(self) -> None:
        """Audio went through a card."""
        with self._lock:
            self._moved_at_s = self._now_s


REAL: Final = RealClock()
