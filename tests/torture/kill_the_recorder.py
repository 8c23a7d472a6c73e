"""Kill the gateway while it records, at moments of chance; see what it costs, and that all is whole again.

    python tests/torture/kill_the_recorder.py [--rounds 200] [--seed 1] [--json FILE] [--keep DIRECTORY]

Three real gateways at once, one that writes WAV, one FLAC, one Opus, each with five devices of different
rates, formats and firmware, and a channel. Each is killed (SIGKILL) again and again, also while it starts and
repairs what the kill before left. Of every connection: all is there that the device had handed over two
seconds before, bit for bit as it was sent; every file opens in libsndfile, ffprobe and sox (where they are);
ten seconds after the next start all is repaired and indexed, with a gap that says "killed". At the end the
index is thrown away and made again of the files. Ends with status 1 if anything of that was not so.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from torn_archive import Form, Lane, finish, in_threads  # noqa: E402 - after the path
from torn_report import say, tell  # noqa: E402

FORMS: tuple[Form, ...] = ("wav", "flac", "opus")
SHORTEST_S, START_S, LONGEST_S = 0.2, 2.0, 7.0
EARLY = 0.2
"""Share of the blows that fall while a gateway starts, or repairs."""
JUDGE_EACH = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="kills in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="leave recordings and logs there")
    options = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        work = options.keep or Path(scratch)
        lanes = []
        for form in FORMS:
            (work / form).mkdir(parents=True)
            lanes.append(Lane(form, work / form, work, options.seed))
        shares = {lane.form: len(range(at, options.rounds, len(lanes))) for at, lane in enumerate(lanes)}
        say(f"{options.rounds} kills of three recording gateways (seed {options.seed})")
        in_threads(lanes, lambda lane: torture(lane, shares[lane.form]))
    verdicts = {lane.form: lane.verdict for lane in lanes}
    good = tell("kill -9", verdicts, time.monotonic() - began_s)
    if options.json is not None:
        rows = {form: {"lost_s": one.lost_s, "faults": one.faults} for form, one in verdicts.items()}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if good else 1


def torture(lane: Lane, rounds: int) -> None:
    """One gateway's lives."""
    torn: dict[str, str] = {}
    lane.devices.start()
    try:
        for number in range(1, rounds + 1):
            lane.start()
            early = lane.random.random() < EARLY and number % JUDGE_EACH
            lives_s = (
                lane.random.uniform(SHORTEST_S, START_S) if early else lane.random.uniform(START_S, LONGEST_S)
            )
            strike_s = lane.rounds[-1].began_s + lives_s
            if number % JUDGE_EACH == 0:
                lane.settle(torn)
                torn = {}
            time.sleep(max(0.0, strike_s - time.monotonic()))
            lane.ended(lane.kill())
            torn |= lane.look_at_torn()
            if number % JUDGE_EACH == 0:
                say(f"  {lane.form:4} {number:3} of {rounds}, {len(lane.verdict.faults)} faults")
        lane.start()
        lane.settle(torn)
        time.sleep(1.0)
    finally:
        lane.devices.stop()
        finish(lane)


if __name__ == "__main__":
    sys.exit(main())
