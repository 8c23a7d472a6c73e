"""What MQTT, S3 and alerts cost a gateway that has them, beside the same one without: memory, CPU, start."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Final

from tests.bench.rows import Row, skipped

BENCH: Final = "publishers_cost"
WHAT: Final = "memory of a gateway with MQTT, S3 and alerts on"
RUN_S: Final = 20.0
"""A page is heard after 6 s; 5 s later its recording is in the bucket and everybody has been told."""
ROUNDS: Final = 2
MOST_MB: Final = 40.0


def run(long: bool = False) -> list[Row]:
    """Each run has a page that is published, uploaded and told. Least of two, one after another."""
    import mosquitto
    from publisher_site import ALL

    if mosquitto.binary() is None:
        return [skipped(BENCH, WHAT, "mosquitto is not installed")]
    pairs = [(_measured(()), _measured(ALL)) for _ in range(ROUNDS)]
    without_mb, with_mb = (min(pair[at][0] for pair in pairs) for at in (0, 1))
    without_s, with_s = (min(pair[at][1] for pair in pairs) for at in (0, 1))
    more_mb = with_mb - without_mb
    return [
        Row(
            BENCH,
            WHAT,
            f"{with_mb:.0f} MB (PSS), without {without_mb:.0f} MB",
            f"< {MOST_MB:.0f} MB more",
            more_mb < MOST_MB,
        ),
        Row(BENCH, f"CPU of {RUN_S:.0f} s with a page", f"{with_s:.1f} s, without {without_s:.1f} s"),
        *_imports(),
    ]


def _measured(on: tuple[str, ...]) -> tuple[float, float]:
    """(proportional set size in 10^6 bytes after 20 s, CPU seconds of the whole run)."""
    from publisher_site import Site

    with tempfile.TemporaryDirectory(prefix="publishers") as name:
        folder = Path(name)
        site = Site(folder)
        try:
            site.start()
            process = site.run("run", on)
            threading.Event().wait(RUN_S)
            memory_mb = _pss_mb(process.pid)
            process.terminate()
            process.wait(20)
            summary = json.loads((folder / "run.json").read_text("utf-8"))
            told = len(site.uploaded()) + len(site.receiver.told)
            assert told == (2 if on else 0), f"{told} told:\n{site.log('run')}"
        finally:
            site.close()
    return memory_mb, float(summary["cpu_s"])


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6


def _imports() -> list[Row]:
    """Of the libraries alone, each in an interpreter of its own."""
    return [_import(name) for name in ("paho.mqtt.client", "botocore.session", "apprise")]


def _import(name: str) -> Row:
    program = (
        "import time; memory = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6\n"
        f"before, began = memory(), time.perf_counter(); import {name}\n"
        "print(time.perf_counter() - began, memory() - before)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    ]
    took_s, more_mb = min(tuple(map(float, text.split())) for text in runs)
    return Row(BENCH, f"import {name}", f"{took_s * 1000:.0f} ms, {more_mb:.0f} MB", note="when it is used")
