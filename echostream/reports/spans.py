"""Something that is on or off, followed over one day. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

MOST_SPANS: Final = 1000
"""That are kept of one signal, for the picture; its sum goes on beyond it."""


HOUR_US: Final = 3_600_000_000


class Span(NamedTuple):
    """[begin, end) in Unix microseconds."""

    begin_us: int
    end_us: int

    @property
    def length_us(self) -> int:
        return self.end_us - self.begin_us


class Signal:
    """Off at first. Times in Unix microseconds; what lies outside the day is cut off."""

    def __init__(self, begin_us: int, end_us: int) -> None:
        self._begin_us = begin_us
        self._end_us = end_us
        self._on_since_us: int | None = None
        self._counted_us = begin_us
        self.spans: list[Span] = []
        self.total_us = 0
        self.began = 0
        """Times that it went on, within the day."""
        self.ended = 0
        self._last_end_us: int | None = None
        self.by_hour = [0.0] * hours_of(begin_us, end_us)
        """Seconds that it was on, in each hour of the day."""

    @property
    def on(self) -> bool:
        return self._on_since_us is not None

    def set(self, on: bool, at_us: int) -> None:
        """What is told twice changes nothing."""
        if on == self.on:
            return
        within = self._begin_us <= at_us < self._end_us
        if on:
            self._on_since_us = at_us
            self.began += within
            return
        self.ended += within
        self._last_end_us = at_us if within else None
        self._keep(at_us)

    def forgive(self, since_us: int) -> None:
        """Its last end, if it was then or later, was meant: it does not count as one."""
        if not self.on and self._last_end_us is not None and self._last_end_us >= since_us:
            self._last_end_us = None
            self.ended -= 1

    def finish(self, at_us: int) -> None:
        """The day has come so far, or the gateway ends: it was on until then, and nothing failed."""
        if self.on:
            self._keep(at_us)

    def _keep(self, at_us: int) -> None:
        assert self._on_since_us is not None
        # Not before what is counted: a clock that was set back comes by the same hours twice.
        begin_us, end_us = max(self._on_since_us, self._counted_us), min(at_us, self._end_us)
        self._on_since_us = None
        if end_us <= begin_us:
            return  # of another day, or all of it is counted
        self._counted_us = end_us
        span = Span(begin_us, end_us)
        self.total_us += span.length_us
        share_out(span, self._begin_us, self.by_hour)
        if len(self.spans) < MOST_SPANS:
            self.spans.append(span)


class AnyOf:
    """On while at least one of several is: a channel on which anybody talks."""

    def __init__(self, begin_us: int, end_us: int) -> None:
        self.signal = Signal(begin_us, end_us)
        self._active = set[str]()

    def set(self, who: str, on: bool, at_us: int) -> None:
        if on:
            self._active.add(who)
        else:
            self._active.discard(who)
        self.signal.set(bool(self._active), at_us)

    def finish(self, at_us: int) -> None:
        """As Signal.finish; none of them is on any more."""
        self._active.clear()
        self.signal.finish(at_us)


def hours_of(begin_us: int, end_us: int) -> int:
    """24; on the days on which the clocks change 23 or 25."""
    return max(1, round((end_us - begin_us) / HOUR_US))


def share_out(span: Span, begin_us: int, seconds: list[float]) -> None:
    """Add a span to the seconds of each hour from begin on. What lies outside is left out."""
    first = max(0, (span.begin_us - begin_us) // HOUR_US)
    last = min(len(seconds) - 1, (span.end_us - 1 - begin_us) // HOUR_US)
    for hour in range(first, last + 1):
        from_us = begin_us + hour * HOUR_US
        shared_us = min(span.end_us, from_us + HOUR_US) - max(span.begin_us, from_us)
        seconds[hour] += max(0, shared_us) / 1e6


def merged(spans: Sequence[Span], apart_us: int) -> list[Span]:
    """In order; those less than `apart_us` from the one before are one with it."""
    found: list[Span] = []
    for span in sorted(spans):
        if found and span.begin_us - found[-1].end_us < apart_us:
            found[-1] = Span(found[-1].begin_us, max(found[-1].end_us, span.end_us))
        else:
            found.append(span)
    return found


def longest_gaps_kept(spans: Sequence[Span], most: int) -> list[Span]:
    """At most so many: the shortest gaps between them are closed. spans: in order, and apart."""
    gaps = [(after.begin_us - before.end_us, at) for at, (before, after) in enumerate(pairwise(spans), 1)]
    kept = sorted(at for _, at in sorted(gaps, reverse=True)[: most - 1])
    borders = [0, *kept, len(spans)]
    return [Span(spans[one].begin_us, spans[two - 1].end_us) for one, two in pairwise(borders) if one < two]
