"""A closing gate: an Event for the two waits a frame that every channel makes.

`Event.wait` with a time-out makes a lock and runs a dozen Python calls; woken fifty times a second with cold
caches that was a tenth of what a channel costs. A lock that is held until the gate closes needs one call.
"""

from __future__ import annotations

import threading


class Gate:
    """The part of threading.Event that a closing device needs; once set it stays so."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._set = False

    def set(self) -> None:
        """From any thread; idempotent."""
        if not self._set:
            self._set = True
            self._let_through()

    def is_set(self) -> bool:
        return self._set

    def wait(self, timeout_s: float) -> bool:
        """Until set, or for `timeout_s`; whether it is set."""
        if not self._set and self._lock.acquire(timeout=max(0.0, timeout_s)):
            self._let_through()
        return self._set

    def _let_through(self) -> None:
        # Whoever waits next takes the lock and gives it back. Two threads may both set: the second release
        # of a free lock is an error that means nothing here.
        try:
            self._lock.release()
        except RuntimeError:
            return
