"""`python -m tests.bench_tones [NAME ...] [--json] [--quick] [--workers N]`."""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import platform
import sys
import time

from tests.bench.__main__ import print_table
from tests.bench.rows import Row
from tests.bench_tones.corpora import music, speech
from tests.bench_tones.pool import Options

BENCHES = {
    "two_tone": "two-tone pages from +20 to -14 dB, wrong definitions, how soon",
    "hazards": "close pairs, weak tones, holes, speech over them, stacked pages",
    "impaired": "Opus, FM, vocoder grid, weak, hum, clocks, short pages, gaps",
    "range": "6 Hz means 6 Hz",
    "talk_off": "what speech, music, alarms and wind are mistaken for",
    "dtmf": "digits in noise, and every row of ITU-T Q.24",
    "five_tone": "five-tone calls in noise",
    "cpu": "CPU of one channel at real time",
}


def main(argv: list[str] | None = None) -> int:
    """Run the benches that are named (default: all); 1 when a goal was missed."""
    listing = "\n".join(f"  {name:11} {what}" for name, what in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench_tones",
        description=f"How good the ear is:\n{listing}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    parser.add_argument("--workers", type=int, default=0, help="processes (default: one a core)")
    args = parser.parse_args(argv)
    options = Options(quick=args.quick, workers=args.workers)
    missing = (*speech().missing, *music().missing)
    rows: list[Row] = []
    for name in args.names or BENCHES:
        began_s = time.monotonic()
        print(f"{name}: {BENCHES[name]} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"tests.bench_tones.{name}").run(options)
        print(f"{name}: {time.monotonic() - began_s:.0f} s", file=sys.stderr, flush=True)
    if args.json:
        listed = [{**row.as_dict(), "command": _command(row.bench, options)} for row in rows]
        print(json.dumps({"host": _host(), "rows": listed}, indent=2))
    else:
        _print_tables(rows, options)
    for name in missing:
        print(f"{name}: not to be had here, so its recordings are missing from the figures", file=sys.stderr)
    return 1 if any(row.met is False for row in rows) else 0


def _print_tables(rows: list[Row], options: Options) -> None:
    for bench, group in itertools.groupby(rows, key=lambda row: row.bench):
        print(f"\n$ {_command(bench, options)}")
        print_table(list(group))


def _command(bench: str, options: Options) -> str:
    quick = " --quick" if options.quick else ""
    return f'make bench-tones ARGS="{bench}{quick}"'


def _host() -> dict[str, object]:
    return {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}


if __name__ == "__main__":
    sys.exit(main())
