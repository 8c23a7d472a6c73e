"""A day of 104 streams on simulated time: files, index, retention, memory. --long: three days.

The recorder, filing, index and retention are the gateway's; only the coder is left out (see the process). Two
rules of keeping hold at once: bytes for all, and an age of two hours for four of the sources.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from tests.bench._recorder_day_process import (
    FILE_BYTES,
    KEPT_FILES,
    ROUND_S,
    SEGMENT_S,
    SHORT_DAYS,
    STREAMS,
)
from tests.bench.rows import Row, skipped

DAY_H, LONG_H = 24.0, 72.0
TIMEOUT_S = 3600.0
SETTLED_H = 8
"""Memory is compared with what it is after so long: by then files are deleted as fast as they are made."""
FLAT_MB = 8.0


def run(long: bool = False) -> list[Row]:
    """In a process of its own, for its memory."""
    hours = LONG_H if long else DAY_H
    what = f"{STREAMS} streams, {hours:.0f} h of simulated time"
    with tempfile.TemporaryDirectory(prefix="es-day-") as folder:
        command = [sys.executable, "-m", "tests.bench._recorder_day_process", folder, str(hours)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        return [skipped("recorder_day", what, f"it ended with {done.returncode}")]
    told = json.loads(done.stdout)
    expected = STREAMS * round(hours * 3600 / SEGMENT_S)
    good = told["made"] == expected and told["there"] == told["files"] and not told["gaps"] + told["failures"]
    most_bytes = KEPT_FILES * FILE_BYTES + STREAMS * FILE_BYTES * 2
    short_h = 24 * SHORT_DAYS + (SEGMENT_S + ROUND_S) / 3600
    bounds = told["most_bytes"] <= most_bytes and told["short_lived_h"] <= short_h
    rss = told["rss_mb"]
    growth_mb = rss[-1] - rss[SETTLED_H]
    return [
        Row(
            "recorder_day",
            f"{what}: recordings made",
            str(told["made"]),
            str(expected),
            good,
            f"{told['there']} there at the end, {told['files']} files, {told['gaps']} gaps; "
            f"took {told['took_s']:.0f} s, without the coder",
        ),
        Row(
            "recorder_day",
            "retention: most bytes at any time; oldest of four sources kept for two hours",
            f"{told['most_bytes'] / 1e6:.2f} MB, {told['short_lived_h']:.2f} h",
            f"<= {most_bytes / 1e6:.2f} MB, {short_h:.2f} h",
            bounds,
            f"{told['deleted']} deleted; oldest of the others {told['oldest_h']:.1f} h",
        ),
        Row(
            "recorder_day",
            "index on disk at the end",
            f"{told['index_bytes'] / 1e6:.1f} MB",
            note=f"{told['index_bytes'] / max(1, told['there']):.0f} bytes a recording that is there",
        ),
        Row(
            "recorder_day",
            f"memory from hour {SETTLED_H + 1} on: growth",
            f"{growth_mb:+.1f} MB",
            f"<= {FLAT_MB:.0f} MB",
            growth_mb <= FLAT_MB,
            f"{rss[SETTLED_H]:.0f} MB then, {rss[-1]:.0f} MB at the end",
        ),
    ]
