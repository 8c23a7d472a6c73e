"""What a torture of the recorder tells at its end."""

from __future__ import annotations

import sys

from torn_archive import LOST_S, WHOLE_S, Form, Verdict

MOST_FAULTS = 12


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def tell(blow: str, verdicts: dict[Form, Verdict], took_s: float) -> bool:
    """A table, the faults, and one last line; True when there was no fault."""
    say(f"\n{'form':6}{'rounds':>7}{'connections':>13}{'recordings':>12}{'lost, median':>14}{'most':>8}")
    for form, one in verdicts.items():
        lost = sorted(one.lost_s) or [0.0]
        say(
            f"{form:6}{one.rounds:>7}{one.connections:>13}{one.recordings:>12}"
            f"{lost[len(lost) // 2]:>12.2f} s{lost[-1]:>6.2f} s"
        )
    faults = [fault for one in verdicts.values() for fault in one.faults]
    for one in verdicts.values():
        for fault in one.faults[:MOST_FAULTS]:
            say(f"FAULT {fault}")
        if len(one.faults) > MOST_FAULTS:
            say(f"      and {len(one.faults) - MOST_FAULTS} more")
    rounds = sum(one.rounds for one in verdicts.values())
    most_s = max((lost for one in verdicts.values() for lost in one.lost_s), default=0.0)
    whole_s = max((taken for one in verdicts.values() for taken in one.whole_s), default=0.0)
    off_ms = sorted(error for one in verdicts.values() for error in one.start_error_ms) or [0.0]
    gaps = sum(one.gap_rows for one in verdicts.values())
    outcome = "FAILED" if faults else "passed"
    say(
        f"{blow}: {outcome}, {rounds} rounds in {took_s:.0f} s; "
        f"what came {most_s:.2f} s before the blow is lost at most (limit {LOST_S:.0f} s), "
        f"whole and indexed {whole_s:.1f} s after the start (limit {WHOLE_S:.0f} s), "
        f"starts {off_ms[len(off_ms) // 2]:.0f} ms off in the middle, {gaps} gap rows, {len(faults)} faults"
    )
    return not faults and rounds > 0
