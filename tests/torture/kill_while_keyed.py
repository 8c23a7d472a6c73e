"""Kill the gateway, hang it, crash it, its guard, or all at once, while radios are keyed; measure how long
the lines stay up.

    python tests/torture/kill_while_keyed.py [--rounds 32] [--kind child|unit] [--blow WORDS] [--seed 1]

Real gateway and guard processes and the kernel's real GPIO interface over a simulated chip; the guard as a
child of the gateway and as a service; once with a chip that keeps released outputs at their last level (as
Raspberry Pi kernels do), once with one that frees them. 32 rounds of each are 1,024 trials. Ends with status
1 if a line was ever up 500 ms after the blow; where gateway, guard and its heir are killed in one instant
2 s, because the service manager has to start a program then.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

import kill_bench  # noqa: E402 - after the path


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=32, help="of each blow, guard and chip (default: 32)")
    parser.add_argument("--kind", choices=kill_bench.KINDS, help="only a guard of this kind")
    parser.add_argument("--blow", default="", help="only blows with these words in their name")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sys.stdout.write(
        f"{'guard':6} {'blow':24}{'released':9}{'rounds':>7}{'median ms':>11}{'max ms':>9}{'late':>6}\n"
    )
    rows = []
    for kind in [options.kind] if options.kind else kill_bench.KINDS:
        for blow in kill_bench.BLOWS:
            if options.blow in blow:
                rows += [_measure(kind, blow, persist, options) for persist in (True, False)]
    trials, late = (sum(int(str(row[name])) for row in rows) for name in ("rounds", "late"))
    sys.stdout.write(f"{trials - late} of {trials} trials: every line down in time\n")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if late else 0


def _measure(kind: str, blow: str, persist: bool, options: argparse.Namespace) -> dict[str, object]:
    """A row of the table, written as it is known."""
    with tempfile.TemporaryDirectory() as directory:
        seconds = kill_bench.run(blow, options.rounds, Path(directory), persist, options.seed, kind)
    median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
    late = sum(value > kill_bench.BLOWS[blow].limit_s for value in seconds)
    kept = "kept" if persist else "freed"
    sys.stdout.write(f"{kind:6} {blow:24}{kept:9}{len(seconds):>7}{median:>11.1f}{worst:>9.1f}{late:>6}\n")
    sys.stdout.flush()
    row = {"guard": kind, "blow": blow, "persist": persist, "rounds": len(seconds), "late": late}
    return row | {
        "median_ms": round(median, 2),
        "max_ms": round(worst, 2) if math.isfinite(worst) else None,
    }


if __name__ == "__main__":
    sys.exit(main())
