"""Share of pages heard against noise, by the benchmark's own pages: `python docs/tones/measure_heard.py`.

Writes docs/tones/heard.json, which `make_pictures.py` draws. Takes some minutes; needs `make bench-tones`'
environment and, for the speech around the pages, what that installs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from tests.bench_tones.pool import Options, each  # noqa: E402
from tests.bench_tones.two_tone import batches, hear  # noqa: E402

STEPS_DB: Final = (20, 10, 5, 0, -5, -8, -10, -12, -13, -14, -15, -16, -17, -18, -19, -20, -22, -24)
PAGES: Final = 400
SEEDS: Final = 300
"""Rows from here on are no row of the benchmark's."""


def main() -> None:
    """Measure and write."""
    options = Options(quick=False, workers=int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    rows = []
    for number, snr_db in enumerate(STEPS_DB):
        what = f"{snr_db:+d} dB"
        cases = batches(SEEDS + number, PAGES, float(snr_db))
        outcomes = [outcome for batch in each(hear, cases, options, what) for outcome in batch]
        heard = sum(outcome.hit for outcome in outcomes)
        wrong = sum(outcome.wrong for outcome in outcomes)
        rows.append({"snr_db": snr_db, "pages": len(outcomes), "heard": heard, "wrong": wrong})
    (HERE / "heard.json").write_text(
        json.dumps(rows, indent=0).replace("\n", " ").replace("}, ", "},\n") + "\n"
    )


if __name__ == "__main__":
    main()
