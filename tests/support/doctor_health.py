"""What a running gateway writes of itself, made up: of this process and this moment."""

from __future__ import annotations

import os
import time
from typing import Any

from echostream.service.health import Health, boot_id, since_boot_s


def health(age_s: float = 0.0, **fields: Any) -> Health:
    """A healthy gateway without channels, but for what is given."""
    now_us = time.time_ns() // 1000
    known: dict[str, Any] = {
        "version": "0.2.0",
        "pid": os.getpid(),
        "instance": "echostream",
        "boot_id": boot_id(),
        "started_us": now_us - 60_000_000,
        "at_us": now_us - round(age_s * 1e6),
        "at_boot_s": since_boot_s() - age_s,
        "ready": True,
        "healthy": True,
    }
    return Health(**{**known, **fields})
