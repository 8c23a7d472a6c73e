"""Memory that is there when a frame needs it: locked, in few pieces, and no more of it than is used.

Locked memory is never written to a swap file or dropped and read again from an SD card, which takes longer
than a frame. MCL_ONFAULT (mlockall(2)) locks each page when it is first used: of eight megabytes that are set
aside for a thread's stack it keeps the few pages that were touched.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from echostream.realtime.rights import IPC_LOCK, capable

_MCL_CURRENT: Final = 1
_MCL_FUTURE: Final = 2
_MCL_ONFAULT: Final = 4
_M_ARENA_MAX: Final = -8
_ARENAS: Final = 2
"""glibc gives every other thread a heap of its own; what one freed, another cannot use. Two are enough where
threads take turns anyway."""

LibraryCall = Callable[..., int]


@dataclass(frozen=True, slots=True)
class Locked:
    """Whether memory is locked; `why` not, in words."""

    locked: bool
    why: str = ""


def lock_memory(call: LibraryCall | None = None) -> Locked:
    """Lock what the process uses now and later. Never raises: where it is refused, the answer says why."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft != resource.RLIM_INFINITY and not capable(IPC_LOCK):
        # The kernel would count everything that is set aside later against the limit, and refuse it.
        return Locked(False, f"RLIMIT_MEMLOCK is {soft // 1024} kB: LimitMEMLOCK=infinity in the unit")
    if call is None:
        call = ctypes.CDLL(None, use_errno=True).mlockall
    if call(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        return Locked(False, f"memory is not locked: {os.strerror(ctypes.get_errno())}")
    return Locked(True)


def few_heaps() -> bool:
    """Keep the C library from making a heap for each thread. Before threads are started; glibc only."""
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS))
    except AttributeError:  # another C library, which has no such habit
        return False


def give_back() -> bool:
    """Return what was freed to the kernel. It holds every heap's lock meanwhile: not while audio runs."""
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except AttributeError:
        return False
