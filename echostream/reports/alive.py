"""When the gateway ran, also where a power cut left no word: a small file that is renewed every minute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from echostream.reports.folder import put, reports_directory

PERIOD_S: Final = 60.0
MOST_RUNS: Final = 500
_NAME: Final = "alive.txt"


class Alive:
    """One run of the gateway. Not thread-safe."""

    def __init__(self, events: Path) -> None:
        self._folder = reports_directory(events)
        self._before: list[int] | None = None

    def renew(self, now_us: int) -> None:
        """It runs now. OSError."""
        if self._before is None:
            self._before = signs(self._folder.parent)[-MOST_RUNS:]
        put(self._folder, _NAME, lambda out: json.dump([*(self._before or ()), now_us], out))


def signs(events: Path) -> list[int]:
    """The last moment at which each run was alive, oldest first: Unix microseconds; [] where nothing says."""
    try:
        read = json.loads((reports_directory(events) / _NAME).read_text("utf-8"))
    except (OSError, ValueError):
        return []
    if not isinstance(read, list):
        return []
    return sorted(one for one in read if isinstance(one, int) and not isinstance(one, bool) and one > 0)
