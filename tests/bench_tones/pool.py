"""Cases go through all cores, each in a process; results come back in order, whatever the number of cores."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

Case = TypeVar("Case")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Options:
    """quick: a tenth of the cases, to see whether all is well. workers: processes."""

    quick: bool = False
    workers: int = 0

    def count(self, full: int) -> int:
        """How many cases of `full` to run."""
        return max(20, full // 10) if self.quick else full


def each(work: Callable[[Case], Result], cases: Iterable[Case], options: Options, what: str) -> list[Result]:
    """work(case) of every case. An error in a case is an error here."""
    listed = list(cases)
    results: dict[int, Result] = {}
    began_s = time.monotonic()
    workers = min(options.workers or os.cpu_count() or 1, len(listed)) or 1
    with ProcessPoolExecutor(workers) as pool:
        waiting = {pool.submit(work, case): number for number, case in enumerate(listed)}
        for done in as_completed(waiting):
            results[waiting[done]] = done.result()
            _show(what, len(results), len(listed), time.monotonic() - began_s)
    return [results[number] for number in range(len(listed))]


def _show(what: str, done: int, of: int, took_s: float) -> None:
    if not sys.stderr.isatty():
        if done == of:
            print(f"{what}: {of} in {took_s:.0f} s", file=sys.stderr, flush=True)
        return
    left_s = took_s / done * (of - done)
    end = "\n" if done == of else ""
    print(f"\r{what}: {done} of {of}, {left_s:.0f} s left   ", end=end, file=sys.stderr, flush=True)
