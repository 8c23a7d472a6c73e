"""Who held up whom: times at which processes under test wanted a processor and had to wait for it.

A card that ran dry while its feeder waited for a processor proves nothing against the feeder. The kernel
counts these waits for each thread (`schedstat`, second field: nanoseconds on the run queue).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

EVERY_S: Final = 0.04
LONG_S: Final = 0.015
"""A thread that waited for so long between two looks was held up; a loudspeaker's cushion is 0.04 s."""
SPAN_S: Final = 0.25
"""A wait explains what happened within this long of it."""


class ProcessorWaits:
    """Thread `processor-waits`: looks at every thread of some processes, in a with block."""

    def __init__(self, processes: Sequence[int]) -> None:
        self._processes = processes
        self._held_up: list[tuple[float, float]] = []
        self._worst_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="processor-waits")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2)

    @property
    def worst_s(self) -> float:
        """The longest that one thread waited between two looks."""
        return self._worst_s

    @property
    def count(self) -> int:
        """Looks that found a thread held up."""
        return len(self._held_up)

    def explain(self, at_s: float) -> bool:
        """Whether somebody was held up around that time (monotonic seconds)."""
        return any(begin_s - SPAN_S <= at_s <= end_s + SPAN_S for begin_s, end_s in self._held_up)

    def _run(self) -> None:
        before_s, before = time.monotonic(), self._look()
        while not self._stop.wait(EVERY_S):
            now_s, now = time.monotonic(), self._look()
            longest_s = max((waited - before.get(task, 0) for task, waited in now.items()), default=0) / 1e9
            self._worst_s = max(self._worst_s, longest_s)
            if longest_s >= LONG_S:
                self._held_up.append((before_s, now_s))
            before_s, before = now_s, now

    def _look(self) -> dict[str, int]:
        waits = {}
        for process in self._processes:
            with contextlib.suppress(OSError):  # it ended
                for task in os.listdir(f"/proc/{process}/task"):
                    place = f"/proc/{process}/task/{task}/schedstat"
                    waits[place] = int(Path(place).read_text("ascii").split()[1])
        return waits
