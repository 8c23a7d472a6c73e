"""How long to wait before the next attempt to reach the control server. Pure: no clock, no thread."""

from __future__ import annotations

import random
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

HELD_S: Final = 30.0  # a connection that held this long proves the server healthy
OF_USE_S: Final = 3.0  # one that held this long carried speech
AFTER_USE_S: Final = 2.0
MIN_PAUSE_S: Final = 0.1  # between knocks, however long the last one took


class Attempt(Enum):
    """How far an attempt to connect came."""

    UNANSWERED = auto()
    """Nobody there: refused, unreachable, no such name, connect timeout, a proxy's "bad gateway"."""
    ANSWERED = auto()
    """Somebody accepted, then it ended: handshake refused or silent, certificate wrong, connection lost."""


class Backoff:
    """Two rhythms, because two different things protect the server.

    A server that *answers and then fails* is overloaded, misconfigured or refuses us: every further attempt
    costs it a handshake. Those attempts back off: `min_s` doubling to `max_s`, each drawn from [0, limit]
    ("full jitter", so that a fleet of gateways that lost the same server does not return in step). A
    connection that held 30 s sets it back. One that held 3 s was of use: it does not count as a failure, and
    the wait after it is 2 s at most, for a server that is restarted now and then is not a server that fails.

    A server that *does not answer at all* costs nothing to try: one SYN, and no process to be overloaded by
    it. Backing off there would only keep radios off the air after the server is back. So we knock with a
    period drawn from [probe_s / 2, probe_s], the time the attempt itself took included: with 2 s we are back
    within 3 s of the server's return. Silence also sets the back-off back: who answers next was just started.
    For the same reason a long back-off is interrupted by knocks that open and close a TCP connection and
    nothing more: a server that went away meanwhile is then waited for in the second rhythm.
    """

    def __init__(
        self, min_s: float, max_s: float, probe_s: float, rng: Callable[[], float] = random.random
    ) -> None:
        """`rng` returns floats in [0, 1)."""
        self._min_s = min_s
        self._max_s = max(min_s, max_s)
        self._probe_s = probe_s
        self._rng = rng
        self._failures = 0

    def wait_s(self, attempt: Attempt, took_s: float = 0.0, held_s: float = 0.0) -> float:
        """Seconds until the next attempt.

        `took_s`: how long the unanswered attempt took; `held_s`: how long the connection was open.
        """
        if attempt is Attempt.UNANSWERED:
            self._failures = 0
            return max(MIN_PAUSE_S, self.knock_s() - took_s)
        if held_s >= HELD_S:
            self._failures = 0
        limit_s = min(self._max_s, self._min_s * 2.0 ** min(self._failures, 32))
        if held_s >= OF_USE_S:
            limit_s = min(limit_s, AFTER_USE_S)
        else:
            self._failures += 1
        return limit_s * self._rng()

    def knock_s(self) -> float:
        """Seconds between two knocks."""
        return self._probe_s * (0.5 + 0.5 * self._rng())
