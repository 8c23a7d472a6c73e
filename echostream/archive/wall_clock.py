"""From monotonic seconds to Unix microseconds, and how far the wall clock can be trusted.

Everything inside runs on the monotonic clock; a recording says when it was in UTC. Both clocks are slewed
together by the kernel, so what lies between them changes only when somebody sets the wall clock.
"""

from __future__ import annotations

import ctypes
import errno
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from echostream.archive.recording import ClockState

STEP_S: Final = 0.02
"""A change of the wall clock by less is taken up without a word: it is far within a start-time error."""
_READINGS: Final = 5
_STA_UNSYNC: Final = 0x0040
_TIME_ERROR: Final = 5
_UNKNOWN_ERROR_MS: Final = 16_000.0
"""The kernel's own figure for "no idea" (NTP_PHASE_LIMIT, 16 s)."""


class ClockQuality(NamedTuple):
    """error_ms: the kernel's bound on how far the wall clock may be off."""

    state: ClockState
    error_ms: float


@dataclass(frozen=True, slots=True)
class ClockStep:
    """The wall clock was set. by_s: forward is positive. trusted: from an unsynchronised clock to one that
    is: what was written down under the old one is known to be off by by_s."""

    by_s: float
    trusted: bool


class WallClock:
    """`look` is called about once a second by its owner; the rest from any thread."""

    def __init__(
        self,
        monotonic: Callable[[], float] = time.monotonic,
        unix: Callable[[], float] = time.time,
        quality: Callable[[], ClockQuality] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._unix = unix
        self._quality_of_kernel = kernel_clock if quality is None else quality
        self._offset_s = self._measure()
        self.quality = self._quality_of_kernel()
        self.steps = 0

    @property
    def offset_s(self) -> float:
        """Unix seconds at monotonic 0."""
        return self._offset_s

    def now(self) -> float:
        """Monotonic seconds."""
        return self._monotonic()

    def unix_us(self, at_s: float) -> int:
        """Unix microseconds of a monotonic moment, by the wall clock as it is set now."""
        return round((at_s + self._offset_s) * 1e6)

    def monotonic_s(self, unix_us: int) -> float:
        """The other way."""
        return unix_us / 1e6 - self._offset_s

    def look(self) -> ClockStep | None:
        """Take up where the wall clock stands; what it was set by, if it was."""
        before, self.quality = self.quality, self._quality_of_kernel()
        offset_s = self._measure()
        by_s = offset_s - self._offset_s
        self._offset_s = offset_s
        if abs(by_s) < STEP_S:
            return None
        self.steps += 1
        trusted = before.state == "unsynchronised" and self.quality.state == "synchronised"
        return ClockStep(by_s, trusted)

    def _measure(self) -> float:
        """The tightest of a few readings: a thread may lose the processor between the two clocks."""
        best, width = 0.0, math.inf
        for _ in range(_READINGS):
            before_s = self._monotonic()
            unix_s = self._unix()
            after_s = self._monotonic()
            if after_s - before_s < width:
                best, width = unix_s - (before_s + after_s) / 2, after_s - before_s
        return best


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    ]


def kernel_clock() -> ClockQuality:
    """What the kernel knows of the wall clock: adjtimex(2), read only."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return ClockQuality("unknown", _UNKNOWN_ERROR_MS)
    if state < 0:
        # A sandbox may forbid even reading it (EPERM), an odd kernel not have it (ENOSYS).
        assert ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.EINVAL, errno.EFAULT)
        return ClockQuality("unknown", _UNKNOWN_ERROR_MS)
    error_ms = min(_UNKNOWN_ERROR_MS, timex.maxerror / 1000)
    if state == _TIME_ERROR or timex.status & _STA_UNSYNC:
        return ClockQuality("unsynchronised", error_ms)
    return ClockQuality("synchronised", error_ms)
