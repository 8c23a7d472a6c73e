"""Kill the gateway, hang it, kill its guard, while radios are keyed; measure how long the lines stay up.

    python tests/torture/kill_while_keyed.py [--rounds 100] [--seed 1] [--json FILE]

Real gateway and guard processes and the kernel's real GPIO interface over a simulated chip, once with a chip
that keeps released outputs at their last level (as Raspberry Pi kernels do), once with one that frees them.
Ends with status 1 if a line was ever up 250 ms after the blow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

import kill_bench  # noqa: E402 - after the path

LIMIT_S = 0.25


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    write = sys.stdout.write
    write(f"{'blow':28}{'released output':18}{'rounds':>7}{'median ms':>11}{'max ms':>9}{'late':>6}\n")
    rows, late_in_all = [], 0
    for name in kill_bench.TRIALS:
        for persist in (True, False):
            with tempfile.TemporaryDirectory() as directory:
                seconds = kill_bench.run(name, options.rounds, Path(directory), persist, options.seed)
            median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
            late = sum(value > LIMIT_S for value in seconds)
            late_in_all += late
            kept = "keeps its level" if persist else "becomes an input"
            write(f"{name:28}{kept:18}{len(seconds):>7}{median:>11.1f}{worst:>9.1f}{late:>6}\n")
            sys.stdout.flush()
            row = {"blow": name, "persist": persist, "rounds": len(seconds), "late": late}
            rows.append(row | {"median_ms": round(median, 2), "max_ms": round(worst, 2)})
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if late_in_all else 0


if __name__ == "__main__":
    sys.exit(main())
