"""How late the gateway's audio threads are woken: under SCHED_FIFO and as ordinary threads, idle and loaded.

Four channels on virtual cards, all talking. The load is twice as many busy processes as there are cores, of
the same priority as an ordinary gateway, as an upgrade of the system or a backup would be. The figures are
the gateway's own (its health file): from the end of each wait for a card to the next line of Python, so
with the wait for the interpreter. Beside it a thread that does nothing else, as the doctor measures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from echostream.errors import EchoStreamError
from echostream.realtime.scheduling import AUDIO_PRIORITY, take_priority
from echostream.realtime.wakeups import NO_WAKEUPS, WakeupSnapshot, from_counts, measure
from tests.bench._processes import stop
from tests.bench._site import Site, document
from tests.bench.rows import Row, skipped

BENCH: Final = "wakeups"
WARM_UP_S: Final = 5.0
WINDOW_S: Final = 10.0
LONG_WINDOW_S: Final = 60.0
BARE_S: Final = 4.0
LATE_MS: Final = 16
"""Nearly a frame: by then a loudspeaker's cushion of 40 ms is half gone."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Of one gateway over the window."""

    wakeups: WakeupSnapshot
    trouble: int
    scheduling: str


def run(long: bool = False) -> list[Row]:
    """Ordinary and real time take turns."""
    window_s = LONG_WINDOW_S if long else WINDOW_S
    taken = take_priority_here()
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="es-wake-")))
        try:
            site = Site(folder, stack)
        except EchoStreamError as error:
            return [skipped(BENCH, "wake-ups of a whole gateway", str(error))]
        site.talk()
        for loaded in (False, True):
            when = "all cores busy" if loaded else "nothing else runs"
            for realtime in (False, True):
                what = f"{'SCHED_FIFO' if realtime else 'ordinary'}, {when}"
                if realtime and taken:
                    rows.append(skipped(BENCH, what, taken))
                    continue
                seen = _watch(site, realtime, loaded, window_s)
                rows.append(_row(what, seen, _bare(realtime, loaded)))
    return rows


def take_priority_here() -> str:
    """Why SCHED_FIFO is refused here, or "": asked on a thread that ends at once."""
    found = []
    thread = threading.Thread(target=lambda: found.append(take_priority(AUDIO_PRIORITY).why), name="asks")
    thread.start()
    thread.join()
    return found[0]


def _row(what: str, seen: _Seen, bare: WakeupSnapshot) -> Row:
    late, beyond = seen.wakeups, 100 * seen.wakeups.share_beyond(1000 * LATE_MS)
    figure = (
        f"p50 {late.percentile_us(0.5):.0f}, p99 {late.percentile_us(0.99):.0f}, max {late.max_us:.0f} µs"
    )
    return Row(
        BENCH,
        what,
        figure,
        note=f"{late.count} wake-ups, {beyond:.2f} % later than {LATE_MS} ms, xruns {seen.trouble}; "
        f"a bare thread: p50 {bare.percentile_us(0.5):.0f}, p99 {bare.percentile_us(0.99):.0f}, "
        f"max {bare.max_us:.0f} µs",
    )


def _bare(realtime: bool, loaded: bool) -> WakeupSnapshot:
    with _load(loaded):
        return measure(BARE_S, enter=(lambda: take_priority(AUDIO_PRIORITY)) if realtime else None)[0]


def _watch(site: Site, realtime: bool, loaded: bool, window_s: float) -> _Seen:
    settings = document(site.server.url, site.folder)
    settings["gateway"]["realtime"] = realtime
    process = site.gateway(settings, site.folder / "gateway.log")
    pause = threading.Event()
    try:
        pause.wait(WARM_UP_S)
        before = _health(site)
        with _load(loaded):
            pause.wait(window_s)
            after = _health(site)
    finally:
        stop(process)
    if before is None or after is None:
        raise RuntimeError(
            f"no health file of the gateway: {(site.folder / 'gateway.log').read_text()[-2000:]}"
        )
    trouble = _trouble(after) - _trouble(before)
    return _Seen(_wakeups(after).since(_wakeups(before)), trouble, after["realtime"]["scheduling"])


def _health(site: Site) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((site.folder / "echostream.health.json").read_text("utf-8"))
    except OSError:
        return None
    return found


def _wakeups(health: dict[str, Any]) -> WakeupSnapshot:
    told = health.get("wakeups")
    return NO_WAKEUPS if not told else from_counts(told["counts"], told["max_us"])


def _trouble(health: dict[str, Any]) -> int:
    return sum(one["overruns"] + one["underruns"] for one in health["channels"].values())


@contextmanager
def _load(wanted: bool) -> Iterator[None]:
    """Twice as many busy processes as there are cores."""
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * len(os.sched_getaffinity(0)) if wanted else 0)
    ]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()
