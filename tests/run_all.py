"""All tests: first those that only compute, on all cores; then those that mostly wait for servers, several at
once; then those that keep real time, one after another.

    python tests/run_all.py [OPTIONS OF PYTEST]     all; an option and its value in one word (--durations=5)
    python tests/run_all.py ... tests/audio ...     just pytest

The second half needs cores that are free: cards, radios and servers run in it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
COMPUTE: Final = frozenset(
    {
        *("audio", "wire", "tones", "config", "console", "coordinator", "notices", "vitals", "spool"),
        *("archive", "archive_cli", "index", "tones_cli", "event_log", "event_tools", "reports"),
        *("deploy", "realtime"),
    }
)
WAIT: Final = frozenset(
    {
        *("alerts", "channels", "doctor", "mqtt", "network", "service", "simulator", "uploads"),
        *("hwtests_played", "selftest", "tune"),
    }
)
WAIT_TOO: Final = tuple(
    f"tests/gateway/test_{name}.py"
    for name in ("event_log_of_a_gateway", "ordered_over_mqtt", "publishers_end_to_end", "what_is_loaded")
)
"""Whole gateways of which no sound is judged."""
COMPUTING, WAITING = 2, 4
"""Processes for each."""
NO_TESTS: Final = 5


def main() -> int:
    options = sys.argv[1:]
    if any(not option.startswith("-") for option in options):
        return _pytest(*options)
    rooms = sorted(path.name for path in HERE.iterdir() if path.is_dir() and any(path.glob("test_*.py")))
    compute = [f"tests/{room}" for room in rooms if room in COMPUTE]
    wait = [f"tests/{room}" for room in rooms if room in WAIT]
    alone = [f"tests/{room}" for room in rooms if room not in COMPUTE | WAIT]
    began_s = time.monotonic()
    top = sorted(f"tests/{path.name}" for path in HERE.glob("test_*.py"))
    left_out = [f"--ignore={path}" for path in WAIT_TOO]
    codes = [
        _pytest("-n", str(COMPUTING), "--dist", "loadfile", *options, *compute),
        _pytest("-n", str(WAITING), "--dist", "loadfile", *options, *wait, *WAIT_TOO),
        _pytest(*options, *left_out, *top, *alone),
    ]
    failed = [code for code in codes if code not in (0, NO_TESTS)]
    verdict = "FAILED" if failed else "passed"
    sys.stdout.write(f"tests: {verdict} in {time.monotonic() - began_s:.0f} s\n")
    return max(codes) if failed else 0


def _pytest(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
