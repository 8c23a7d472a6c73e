"""SCHED_FIFO for the threads that move audio, where the system permits it.

A thread of the ordinary class shares its core with whatever else runs: an `apt upgrade` on the Pi makes it
wait for some milliseconds at a time. One of SCHED_FIFO runs as soon as it is ready (sched(7)). The kernel
permits it up to RLIMIT_RTPRIO (LimitRTPRIO= of systemd), or with CAP_SYS_NICE. What it starts is ordinary
again (SCHED_RESET_ON_FORK), so that neither a thread of a sound library nor a child inherits it by accident.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from echostream.realtime.rights import SYS_NICE, capable

AUDIO_PRIORITY: Final = 20
"""Below the kernel's own interrupt threads (50), without which no sample arrives, and below the PTT guard:
who takes a radio off the air must not wait for those who talk on it."""

SERVICE_PRIORITY: Final = 10
"""Of the threads that audio may have to wait for, because they hold the interpreter."""

Policy = Literal["fifo", "other"]
SetScheduler = Callable[[int, int, os.sched_param], None]


@dataclass(frozen=True, slots=True)
class Scheduling:
    """How a thread is scheduled now; `why`: in words, where that is not what it asked for."""

    policy: Policy
    priority: int
    why: str = ""


def take_priority(
    priority: int, thread_id: int = 0, set_scheduler: SetScheduler = os.sched_setscheduler
) -> Scheduling:
    """Put a thread of this process (0: the calling one) under SCHED_FIFO. Never raises: where it is refused,
    the answer says why."""
    try:
        set_scheduler(thread_id, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return Scheduling("other", 0, refusal(error, priority))
    return Scheduling("fifo", priority)


def refusal(error: OSError, priority: int, root: Path = Path("/")) -> str:
    """Why the kernel refused, with the remedy."""
    if error.errno != errno.EPERM:
        return f"SCHED_FIFO refused: {error.strerror or error}"
    soft, _hard = resource.getrlimit(resource.RLIMIT_RTPRIO)
    if 0 <= soft < priority and not capable(SYS_NICE, root):
        return (
            f"SCHED_FIFO is not permitted: RLIMIT_RTPRIO is {soft}, {priority} is needed "
            "(LimitRTPRIO= in the unit, or rtprio in /etc/security/limits.d)"
        )
    if (root / "proc/sys/kernel/sched_rt_runtime_us").exists() and group_scheduling(root):
        return (
            "SCHED_FIFO is not permitted: this kernel shares real time out among control groups "
            "(CONFIG_RT_GROUP_SCHED), and ours has none; boot with rt_group_sched=0"
        )
    return "SCHED_FIFO is not permitted here (a container, or a seccomp filter)"


def group_scheduling(root: Path = Path("/")) -> bool:
    """Whether the kernel gives each control group a share of real time of its own, as far as it tells."""
    places = ("sys/fs/cgroup/cpu.rt_runtime_us", "sys/fs/cgroup/cpu/cpu.rt_runtime_us")
    if any((root / place).exists() for place in places):
        return True
    try:
        made = (root / f"boot/config-{os.uname().release}").read_text("ascii", errors="replace")
    except OSError:
        return False
    return "\nCONFIG_RT_GROUP_SCHED=y\n" in made
