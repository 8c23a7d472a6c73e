"""How late threads are woken: a histogram that costs a microsecond a wake-up.

The edges double, so 26 counters reach from a microsecond to 17 seconds and each figure is right within a
factor of two; within a bucket percentiles are interpolated on the logarithm.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from echostream.realtime.scheduling import Scheduling

BUCKETS: Final = 26
EDGES_US: Final = tuple(2**number for number in range(BUCKETS - 1))
"""Upper edges of all buckets but the last: 1 µs to 16.8 s. The first holds what was not late at all."""


@dataclass(frozen=True, slots=True)
class WakeupSnapshot:
    """`counts`: one for each bucket of EDGES_US, and one beyond. max_us: exact."""

    counts: tuple[int, ...]
    max_us: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def percentile_us(self, share: float) -> float:
        """What `share` (0 to 1) of the wake-ups were at most late; 0 where there were none."""
        total = self.count
        if not total:
            return 0.0
        wanted, seen = share * total, 0
        for number, count in enumerate(self.counts):
            if count and seen + count >= wanted:
                upper = float(EDGES_US[number]) if number < len(EDGES_US) else max(self.max_us, EDGES_US[-1])
                lower = upper / 2 if number else 0.0
                part = max(0.0, (wanted - seen) / count)
                inside = lower * (upper / lower) ** part if lower else upper * part
                return min(inside, self.max_us)
            seen += count
        return self.max_us

    def share_beyond(self, late_us: float) -> float:
        """Share of wake-ups that were later than `late_us`, by whole buckets (those surely later)."""
        total = self.count
        if not total:
            return 0.0
        first = next((n for n, edge in enumerate(EDGES_US) if edge >= late_us), len(EDGES_US))
        return sum(self.counts[first + 1 :]) / total

    def since(self, earlier: WakeupSnapshot) -> WakeupSnapshot:
        """Those between two looks; `max_us` is then the upper edge of the last bucket that has any."""
        pairs = zip(self.counts, earlier.counts, strict=True)
        counts = tuple(max(0, now - then) for now, then in pairs)
        if self.max_us > earlier.max_us:
            return WakeupSnapshot(counts, self.max_us)
        last = max((number for number, count in enumerate(counts) if count), default=None)
        if last is None:
            return WakeupSnapshot(counts, 0.0)
        return WakeupSnapshot(counts, min(self.max_us, float((*EDGES_US, self.max_us)[last])))

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "count": self.count,
            "p50_us": round(self.percentile_us(0.5), 1),
            "p99_us": round(self.percentile_us(0.99), 1),
            "max_us": round(self.max_us, 1),
            "edges_us": list(EDGES_US),
            "counts": list(self.counts),
        }


NO_WAKEUPS: Final = WakeupSnapshot((0,) * BUCKETS, 0.0)


class Wakeups:
    """Of one thread, which alone notes; anybody may look."""

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._max_s = 0.0

    def note(self, late_s: float) -> None:
        """A wait ended `late_s` seconds after it should have."""
        late_us = int(late_s * 1e6)
        self._counts[min(late_us.bit_length(), BUCKETS - 1) if late_us > 0 else 0] += 1
        if late_s > self._max_s:
            self._max_s = late_s

    @property
    def snapshot(self) -> WakeupSnapshot:
        return WakeupSnapshot(tuple(self._counts), self._max_s * 1e6)


def together(snapshots: Iterable[WakeupSnapshot]) -> WakeupSnapshot:
    """Of several threads."""
    counts, worst_us = [0] * BUCKETS, 0.0
    for one in snapshots:
        counts = [a + b for a, b in zip(counts, one.counts, strict=True)]
        worst_us = max(worst_us, one.max_us)
    return WakeupSnapshot(tuple(counts), worst_us)


def from_counts(counts: Sequence[int], max_us: float) -> WakeupSnapshot:
    """As read from JSON. ValueError where it is not a histogram of ours."""
    if len(counts) != BUCKETS or not math.isfinite(max_us) or min(counts) < 0:
        raise ValueError(f"a histogram of wake-ups has {BUCKETS} counts, this one {len(counts)}")
    return WakeupSnapshot(tuple(int(count) for count in counts), max_us)


def measure(
    duration_s: float,
    period_s: float = 0.02,
    enter: Callable[[], Scheduling] | None = None,
) -> tuple[WakeupSnapshot, Scheduling]:
    """Wake up every `period_s` for `duration_s` on a thread `wakeups`, and see how late it is.

    enter: how that thread is scheduled (take_priority); by itself it is an ordinary one. The caller waits.
    """
    wakeups = Wakeups()
    found = [Scheduling("other", 0)]
    shut = threading.Lock()  # waited for as the cards' gates are (hardware.gate)
    shut.acquire()

    def run() -> None:
        if enter is not None:
            found[0] = enter()
        due_s = time.monotonic() + period_s
        end_s = due_s + duration_s
        while due_s < end_s:
            shut.acquire(timeout=max(0.0, due_s - time.monotonic()))
            late_s = time.monotonic() - due_s
            wakeups.note(late_s)
            due_s += period_s * (1 + int(late_s / period_s))  # what was slept over is one late wake-up

    thread = threading.Thread(target=run, name="wakeups", daemon=True)
    thread.start()
    thread.join(2 * duration_s + 5.0)
    return wakeups.snapshot, found[0]
