"""`python -m tests.bench [NAME ...] [--json] [--long]`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from pathlib import Path

from tests.bench.rows import Row

SUPPORT = Path(__file__).parents[1] / "support"
"""What tests share, by their own names."""
BENCHES = {
    "key_up": "button edge to first datagram; pre-roll over 1,000 key-ups",
    "delay": "one-way delay added between microphone frame and loudspeaker frame",
    "cpu": "CPU of the transmit path against GStreamer; our own part of a frame; channels a core",
    "loss": "5 % loss with jitter: gaps and recovery; 20 % loss: speech quality with and without FEC",
    "drift": "±200 ppm over a simulated 24 h",
    "cold_start": "start to the first frame on the wire",
    "files": "WAV, FLAC and Opus: CPU for a source's second beside ffmpeg, conversion, repair of 100 files",
    "relay": "a hundred microphones and four radio channels: loss, CPU, memory, delay",
    "relay_capacity": "microphones recorded straight to FLAC before the first lost sample",
    "relay_cpu": "CPU of a second of a recorded microphone against ffmpeg",
    "recorder_day": "a day of 104 streams on simulated time: files, index, retention, memory",
    "index": "a million recordings: a page and a search, in SQLite and in PostgreSQL",
    "publishers": "audio with publishers whose broker hangs, bucket resets and disk is full, beside without",
    "publishers_cost": "memory and CPU of a gateway with MQTT, S3 and alerts on, beside without",
    "idle": "the whole gateway with four channels: memory, CPU while nobody talks and while all do",
    "start": "process start to READY=1 and to on the air, files in memory and not; where imports spend it",
    "wakeups": "how late audio threads are woken: SCHED_FIFO beside ordinary, idle and under load",
    "soak": "four channels full duplex through real PortAudio (60 s; --long: 10 minutes)",
}


def main(argv: list[str] | None = None) -> int:
    """Run the benches that are named (default: all); 1 when a goal was missed."""
    listing = "\n".join(f"  {name:14} {what}" for name, what in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=f"EchoStream's benchmarks:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--long", action="store_true", help="ten minutes of soak and relay, three days")
    args = parser.parse_args(argv)
    sys.path.insert(0, str(SUPPORT))
    rows: list[Row] = []
    for name in args.names or BENCHES:
        began_s = time.monotonic()
        print(f"{name}: {BENCHES[name]} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"tests.bench.{name}")
        rows += module.run(long=args.long)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    if args.json:
        machine = {
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        }
        print(json.dumps({"host": machine, "rows": [row.as_dict() for row in rows]}, indent=2))
    else:
        print_table(rows)
    return 1 if any(row.met is False for row in rows) else 0


def print_table(rows: list[Row]) -> None:
    """For people."""
    header = Row("bench", "what", "figure", "goal")
    widths = [
        max(len(getattr(row, field)) for row in [header, *rows])
        for field in ("bench", "what", "figure", "goal")
    ]
    for row in [header, *rows]:
        cells = [row.bench, row.what, row.figure, row.goal]
        mark = {True: "met", False: "MISSED", None: ""}[row.met]
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(f"{line}  {mark}  {row.note}".rstrip())


if __name__ == "__main__":
    sys.exit(main())
