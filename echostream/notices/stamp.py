"""When it happened."""

from __future__ import annotations

import time


def wall_us() -> int:
    """Unix microseconds."""
    return time.time_ns() // 1000
