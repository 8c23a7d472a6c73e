"""All tortures, one after another.

    python tests/torture/run.py [NAME ...] [--seed 1] [--rounds N]

Ends with status 1 if one of them failed. What cannot be tried here (power_cut needs root and a loop device)
is said, and is no failure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

NAMES = (
    "kill_while_keyed",
    "kill_the_recorder",
    "power_cut",
    "kill_the_broker",
    "cut_the_uplink",
    "kill_the_upgrade",
)
CANNOT = 77


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="default: as many as each one asks for")
    options = parser.parse_args()
    write = sys.stdout.write
    outcomes = {}
    for name in options.names or NAMES:
        began_s = time.monotonic()
        write(f"== {name}\n")
        sys.stdout.flush()
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), "--seed", str(options.seed)]
        if options.rounds is not None:
            command += ["--rounds", str(options.rounds)]
        status = subprocess.run(command, check=False).returncode
        words = {0: "passed", CANNOT: "not tried"}.get(status, "FAILED")
        outcomes[name] = (status, f"{name} {words} in {time.monotonic() - began_s:.0f} s")
        write("\n")
    write("torture: " + ", ".join(words for _, words in outcomes.values()) + "\n")
    return 0 if all(status in (0, CANNOT) for status, _ in outcomes.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
