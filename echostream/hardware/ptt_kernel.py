"""What the guard asks of the kernel: to end it when it hangs, to keep it in memory, to let it run first.

Each is taken where it is permitted; the guard works without. By ctypes (0.5 MB), because Python has none.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Final

DEAD_MAN_S: Final = 0.35
"""A guard that keys lines and takes longer for one turn hangs. A turn comes 200 ms after the last at the
latest, because leases end then."""
PRIORITY: Final = 30
"""Real-time priority: above the gateway's audio, below the kernel's interrupt threads (50)."""

_CLOCK_MONOTONIC: Final = 1
_SIGEV_SIGNAL: Final = 0
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


class _SigEvent(ctypes.Structure):
    """struct sigevent of timer_create(2): 64 bytes on every architecture."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("rest", ctypes.c_char * (64 - ctypes.sizeof(ctypes.c_void_p) - 8)),
    )


class _TimerSpec(ctypes.Structure):
    """struct itimerspec: interval, then time to go."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_s", "every_ns", "in_s", "in_ns"))


class DeadMan:
    """A timer of the kernel that kills this process unless it is wound up again in time.

    SIGKILL, so that it also ends a process that is stopped or frozen, which no other signal does. The end of
    the process is what everybody else sees: the gateway, which then drives the lines inactive itself, and the
    service manager. `works` is False where the kernel has no such timer.
    """

    def __init__(self, seconds: float = DEAD_MAN_S) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._timer = ctypes.c_void_p()
        self._armed = False
        whole = int(seconds)
        self._wound = _TimerSpec(0, 0, whole, round((seconds - whole) * 1e9))
        event = _SigEvent(None, signal.SIGKILL, _SIGEV_SIGNAL, b"")
        create = getattr(self._libc, "timer_create", None)  # in librt before glibc 2.34
        self.works = create is not None and not create(
            _CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)
        )

    def wind(self, keyed: bool) -> None:
        """Once a turn. keyed: a line is up, so the next turn must come in time."""
        if not self.works or not (keyed or self._armed):
            return
        spec = self._wound if keyed else _TimerSpec()
        self._libc.timer_settime(self._timer, 0, ctypes.byref(spec), None)
        self._armed = keyed


def run_first() -> bool:
    """Real-time scheduling for this process, where RLIMIT_RTPRIO or a capability permits it."""
    allowed = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
    for priority in (PRIORITY, min(PRIORITY, allowed)):  # by the capability, then by the limit
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:  # not permitted, or RT_GROUP_SCHED without a budget
            continue
        return True
    return False


def stay_in_memory() -> bool:
    """Lock what is used of this process into memory. Only where there is no limit: under one, a later
    allocation would fail."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] != resource.RLIM_INFINITY:
        return False
    return bool(ctypes.CDLL(None).mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0)
