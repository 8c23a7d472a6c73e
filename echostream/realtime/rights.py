"""What the kernel permits this process, beyond its limits (capabilities(7))."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SYS_NICE: Final = 23
"""CAP_SYS_NICE: any scheduling, whatever RLIMIT_RTPRIO says."""
IPC_LOCK: Final = 14
"""CAP_IPC_LOCK: any amount of locked memory, whatever RLIMIT_MEMLOCK says."""


def capable(number: int, root: Path = Path("/")) -> bool:
    """Whether that capability is effective now: a container's root may lack it."""
    try:
        lines = (root / "proc/self/status").read_text("ascii", errors="replace").splitlines()
        effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
        return bool(int(effective, 16) >> number & 1)
    except (OSError, StopIteration, ValueError, IndexError):
        return False
