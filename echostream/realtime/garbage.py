"""Garbage is collected when nobody talks.

Python's collector runs in whichever thread makes the object that is one too many, and holds all others
up: in the middle of a frame, and with a large heap for longer than a frame lasts. So it is switched off, and
a thread looks every few seconds whether there is something to collect and whether anybody talks. Only cycles
of references wait for it; all else is freed at once, as ever.
"""

from __future__ import annotations

import gc
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

PERIOD_S: Final = 5.0
ENOUGH: Final = 700
"""So many objects that may be in cycles are worth a collection when nobody talks: Python's own threshold."""
TOO_MANY: Final = 50_000
"""So many are collected although somebody talks: some ten megabytes."""
QUIET_EVERY_S: Final = 60.0
"""Between two collections of everything while nobody talks."""
BUSY_EVERY_S: Final = 3600.0
"""And while somebody always does, as with a microphone that is never off the air: what grew old as part of a
cycle is found by nothing less, and would pile up for as long as the gateway runs."""
TOLD_S: Final = 0.01
"""A collection that took longer is told: half a frame."""
LOADED: Final = 10
"""So many modules more than before: a library was loaded, and what it made lives to the end. It is set aside
unwalked: a hundred thousand objects take 30 ms, and 150 ms on a small machine."""
STOP_S: Final = 2.0


@dataclass(slots=True)
class CollectionPlan:
    """Which generation to collect, if any. Pure: `now` is monotonic seconds."""

    all_at_s: float
    """When all generations were collected last."""

    def generation(self, now: float, new_objects: int, busy: bool) -> int | None:
        """None: nothing now; 1: what is young; 2: everything."""
        if now - self.all_at_s >= (BUSY_EVERY_S if busy else QUIET_EVERY_S):
            self.all_at_s = now
            return 2
        return 1 if new_objects >= (TOO_MANY if busy else ENOUGH) else None


class Housekeeper:
    """Thread `housekeeper`. busy(): whether somebody talks; also(): what else is to be seen to each time.
    Both are called on that thread."""

    def __init__(
        self, busy: Callable[[], bool], also: Callable[[], object], period_s: float = PERIOD_S
    ) -> None:
        self._busy = busy
        self._also = also
        self._period_s = period_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper")
        self._was_enabled = True
        self._modules = 0
        self.collections = 0
        self.longest_s = 0.0

    def start(self) -> None:
        """Switch Python's own collection off and begin."""
        self._was_enabled = gc.isenabled()
        gc.disable()
        self.set_aside()
        self._thread.start()

    def set_aside(self) -> None:
        """What is there now lives to the end: no collection walks it. Takes no time."""
        gc.freeze()
        self._modules = len(sys.modules)

    def stop(self) -> None:
        """Python collects by itself again, everything. Bounded."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
            if self._was_enabled:
                gc.enable()
            gc.unfreeze()

    def _run(self) -> None:
        try:
            self._keep_house()
        except Exception:
            # Nobody would collect any more: memory would grow until the kernel ends the gateway.
            log.exception("the housekeeper failed: this is a bug; Python collects garbage by itself again")
            if self._was_enabled:
                gc.enable()

    def _keep_house(self) -> None:
        plan = CollectionPlan(time.monotonic())
        while not self._stopping.wait(self._period_s):
            self._also()
            if len(sys.modules) >= self._modules + LOADED:
                self.set_aside()
                continue
            generation = plan.generation(time.monotonic(), gc.get_count()[0], self._busy())
            if generation is not None:
                self._collect(generation)

    def _collect(self, generation: int) -> None:
        began_s = time.perf_counter()
        found = gc.collect(generation)
        took_s = time.perf_counter() - began_s
        self.collections += 1
        self.longest_s = max(self.longest_s, took_s)
        if took_s > TOLD_S:
            log.debug("collecting garbage took %.0f ms (%d objects)", took_s * 1000, found)
