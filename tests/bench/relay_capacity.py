"""How many microphones this machine records straight to FLAC before the first sample is lost.

With one process, and with a process for each core (`relay.workers`). The simulated microphones run on the
same machine and take their part of it: the figure is what both can do together. A level counts as carried
when every device got everything out in time, and the files hold every sample of it.
"""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench._relay_bench import Fleet, compare, gateway, job
from tests.bench.rows import Row

GOAL = 1000
LEVELS = (100, 200, 300, 450, 600, 800, 1000, 1250, 1500)
HOLD_S, LONG_S = 10.0, 30.0
SPREAD_S = 2.0
SETTLE_S = 3.0
CHUNK_BYTES = 8192
WAITED = 0.5
LATE_MS = 500.0
"""A simulator that is so late does not send what it should."""
TRIES = 2
"""A miss may be the fault of something else on the machine."""


@dataclass(frozen=True, slots=True)
class _Held:
    """why: what was wrong; "" when nothing was. busy: cores that the gateway took; waited: seconds a second
    that its threads were ready and got none."""

    devices: int
    why: str
    busy: float
    waited: float
    rss_mb: float
    late_ms: float


def run(long: bool = False) -> list[Row]:
    """One row for one process, one for all cores where there is more than one."""
    cores = len(os.sched_getaffinity(0))
    return [_row(workers, LONG_S if long else HOLD_S) for workers in sorted({1, cores})]


def _row(workers: int, hold_s: float) -> Row:
    carried: _Held | None = None
    failed: _Held | None = None
    for devices in LEVELS:
        held = [_hold(devices, workers, hold_s)]
        while held[-1].why and len(held) < TRIES:
            held.append(_hold(devices, workers, hold_s))
        if held[-1].why:
            failed = held[-1]
            break
        carried = held[-1]
    what = f"microphones recorded straight to FLAC before the first lost sample, {workers} process(es)"
    note = f"levels {', '.join(map(str, LEVELS))}; {hold_s:.0f} s each, simulator on the same machine"
    if carried is not None:
        note += f"; at {carried.devices}: {carried.busy:.2f} cores, {carried.rss_mb:.0f} MB"
    if failed is not None:
        note += f"; at {failed.devices}: {failed.why}"
        if failed.waited > WAITED:
            note += f" (its threads waited {failed.waited:.1f} s a second for a core: others were busy)"
    count = 0 if carried is None else carried.devices
    all_cores = workers == len(os.sched_getaffinity(0))
    return Row(
        "relay_capacity",
        what,
        str(count),
        f">= {GOAL} with all cores" if all_cores else "",
        count >= GOAL if all_cores else None,
        note,
    )


def _hold(devices: int, workers: int, hold_s: float) -> _Held:
    with tempfile.TemporaryDirectory(prefix="es-relay-") as directory:
        folder = Path(directory)
        task = job(folder, form="flac", workers=workers, most=devices + 16, segment_s=3600.0)
        with gateway(task, folder) as process:
            options = ["--devices", str(devices), "--chunk", str(CHUNK_BYTES), "--spread", str(SPREAD_S)]
            fleet = Fleet(task.port, *options, "--for", str(hold_s + SPREAD_S))
            time.sleep(SPREAD_S + 1.5)
            began_s, busy_s, ready_s = time.monotonic(), process.cpu_s(), process.waited_s()
            time.sleep(hold_s - 2.0)
            took_s = time.monotonic() - began_s
            busy, waited = (process.cpu_s() - busy_s) / took_s, (process.waited_s() - ready_s) / took_s
            rss_mb = process.rss_mb()
            sent, late_ms = fleet.sent(120.0)
            time.sleep(SETTLE_S)  # what is counted is what comes in, not how a stop is survived
            dropped_s = process.ask()["lost_s"]
            ended = process.close()
        compared = compare(Path(task.directory), sent)
    why = "; ".join(
        words
        for words, bad in (
            (f"{compared.samples_lost} samples lost", compared.samples_lost),
            (f"{len(compared.wrong)} devices not as sent, gaps {dict(compared.gaps)}", compared.wrong),
            (f"the simulator was {late_ms:.0f} ms late", late_ms > LATE_MS),
            (f"{devices - len(sent)} did not connect", len(sent) < devices),
            (f"{dropped_s:.1f} s dropped", dropped_s),
            ("the gateway did not end in time", not ended),
        )
        if bad
    )
    return _Held(devices, why, busy, waited, rss_mb, late_ms)
