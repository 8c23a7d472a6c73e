"""Which authentic packets are heard for the first time.

Called after a packet authenticated: whoever lacks the key cannot invent a prefix, only play old packets back,
late, twice, or under another channel id (which the format does not authenticate).

Per (channel, prefix) a sliding window as in RFC 3711, 3.3.2. Across channels one rule more: a server that
patches channels together copies a packet at once. So what was a prefix's highest tick more than a second ago,
and all below it, is refused on every channel. That one number is then all that must be remembered of a sender
at rest, instead of a window for every channel.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from echostream.wire.counted_iv import PREFIX_BYTES, split_iv

WINDOW_TICKS: Final = 1024
COPY_TIME_S: Final = 1.0
"""How long after a prefix's highest tick was first heard a copy of it on another channel is still a copy."""
MAX_PREFIXES: Final = 32768
"""Remembered at rest: as many that counted, and as many that were heard once (random IVs: one a packet)."""
MAX_LIVE: Final = 4096
"""Prefixes heard within COPY_TIME_S; beyond it the quietest comes to rest early."""
MAX_CHANNELS: Final = 64
"""Channels that one prefix may appear on at a time."""
MAX_HISTORY: Final = 256
"""Highest ticks kept of the last second; a sender in step with time makes 50."""


class Verdict(StrEnum):
    """What a packet is.

    FRESH_FIRST: nothing but this packet is known of its prefix (the IV may be random; a server may have
    copied it to this channel). FRESH: a sender that counts, a tick not heard on this channel.
    REPLAYED: heard before, our own, or overtaken more than a second ago. STALE: below the window.
    """

    FRESH_FIRST = "fresh_first"
    FRESH = "fresh"
    REPLAYED = "replayed"
    STALE = "stale"


class _Window:
    """Bit n of `seen` stands for tick `highest - n`."""

    __slots__ = ("highest", "seen")

    def __init__(self, tick: int) -> None:
        self.highest = tick
        self.seen = 1

    def verdict(self, tick: int, size: int) -> Verdict:
        age = self.highest - tick
        if age < 0:
            return Verdict.FRESH
        if age >= size:
            return Verdict.STALE
        return Verdict.REPLAYED if self.seen >> age & 1 else Verdict.FRESH

    def mark(self, tick: int, size: int) -> None:
        ahead = tick - self.highest
        if ahead <= 0:
            self.seen |= 1 << -ahead
            return
        self.highest = tick
        self.seen = (self.seen << ahead | 1) & ((1 << size) - 1) if ahead < size else 1


class _Live:
    """A prefix that was heard within the last second.

    floor: the highest tick of more than COPY_TIME_S ago, -1 for none. counts: more than one tick was heard.
    """

    __slots__ = ("counts", "floor", "heard_at_s", "highest", "history", "windows")

    def __init__(self, floor: int, counts: bool) -> None:
        self.floor = floor
        self.highest = floor
        self.counts = counts
        self.heard_at_s = 0.0
        self.history: deque[tuple[float, int]] = deque()
        self.windows: dict[str, _Window] = {}

    def raise_floor(self, now: float) -> int:
        history = self.history
        while history and now - history[0][0] > COPY_TIME_S:
            self.floor = history.popleft()[1]
        return self.floor

    def verdict(self, channel_id: str, tick: int, now: float, size: int) -> Verdict:
        if tick <= self.raise_floor(now):
            return Verdict.REPLAYED
        window = self.windows.get(channel_id)
        if window is not None:
            heard = window.verdict(tick, size)
            if heard is not Verdict.FRESH:
                return heard
        elif len(self.windows) >= MAX_CHANNELS:
            return Verdict.REPLAYED
        return Verdict.FRESH

    def mark(self, channel_id: str, tick: int, now: float, size: int) -> None:
        """Remember an accepted packet."""
        if self.windows and tick != self.highest:
            self.counts = True
        window = self.windows.get(channel_id)
        if window is None:
            self.windows[channel_id] = _Window(tick)
        else:
            window.mark(tick, size)
        self.heard_at_s = now
        if tick <= self.highest:
            return
        self.highest = tick
        self.history.append((now, tick))
        if len(self.history) > MAX_HISTORY:
            self.floor = self.history.popleft()[1]


class ReplayGuard:
    """Not thread-safe: one thread, or one lock. Memory is bounded; what is refused changes nothing.

    Prefixes that counted and prefixes heard once rest in tables of their own, so that a flood of random IVs
    (every packet of an old client) cannot make the guard forget a sender that counts.
    """

    def __init__(self, window: int = WINDOW_TICKS, own_prefixes: Iterable[bytes] = ()) -> None:
        self._size = window
        # Sorted, 8 bytes each: kept for the process's life, however often the session is renewed.
        self._own = array("Q")
        self._live: OrderedDict[int, _Live] = OrderedDict()
        self._counted: OrderedDict[int, int] = OrderedDict()
        self._once: OrderedDict[int, int] = OrderedDict()
        self._now = float("-inf")
        for prefix in own_prefixes:
            self.add_own(prefix)

    def add_own(self, prefix: bytes) -> None:
        """Our own packets that come back, now or ever, are no audio."""
        number = _number(prefix)
        at = bisect_left(self._own, number)
        if at == len(self._own) or self._own[at] != number:
            self._own.insert(at, number)

    def check(self, channel_id: str, iv: bytes, now: float) -> Verdict:
        """Judge and remember one authentic packet. `iv`: 12 bytes; `now`: monotonic seconds."""
        prefix, tick = split_iv(iv)
        number = _number(prefix)
        self._now = now = max(now, self._now)
        self._rest_the_quiet(now)
        if self._is_own(number):
            return Verdict.REPLAYED
        live = self._live.get(number)
        if live is None:
            floor = self._counted.get(number, self._once.get(number, -1))
            live = _Live(floor, counts=floor >= 0)
        verdict = live.verdict(channel_id, tick, now, self._size)
        if verdict is not Verdict.FRESH:
            return verdict
        live.mark(channel_id, tick, now, self._size)
        self._keep(number, live)
        return Verdict.FRESH if live.counts else Verdict.FRESH_FIRST

    def _is_own(self, number: int) -> bool:
        at = bisect_left(self._own, number)
        return at < len(self._own) and self._own[at] == number

    def _keep(self, number: int, live: _Live) -> None:
        self._counted.pop(number, None)
        self._once.pop(number, None)
        self._live[number] = live
        self._live.move_to_end(number)
        if len(self._live) > MAX_LIVE:
            self._rest(*self._live.popitem(last=False))

    def _rest_the_quiet(self, now: float) -> None:
        while self._live:
            number, live = next(iter(self._live.items()))
            if now - live.heard_at_s <= COPY_TIME_S:
                return
            del self._live[number]
            self._rest(number, live)

    def _rest(self, number: int, live: _Live) -> None:
        table = self._counted if live.counts else self._once
        table[number] = live.highest
        if len(table) > MAX_PREFIXES:
            table.popitem(last=False)


def _number(prefix: bytes) -> int:
    return int.from_bytes(prefix[:PREFIX_BYTES], "big")
