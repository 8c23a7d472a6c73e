"""Keys a line and sees it at the other end of a wire: how fast it comes, how surely it goes."""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from echostream.selftest.items import Item, failed, judged

PART: Final = "keying"
MAX_UP_MS: Final = 50.0
"""The transmitter's own rise is what lead_in_ms is for; this comes before it."""
MAX_DOWN_MS: Final = 50.0
MAX_LAPSE_MS: Final = 500.0
"""Nobody renews the lease: as after a kill of the gateway."""

_RENEW_S: Final = 0.02
_HOLD_S: Final = 0.1
_REST_S: Final = 0.06
_EDGE_WAIT_S: Final = 1.0


class KeyedLine(Protocol):
    """The line of one channel, as hardware.ptt_lines.PttOutput."""

    @property
    def fault(self) -> str | None: ...

    def key(self) -> None: ...

    def unkey(self) -> None: ...


@dataclass
class Edges:
    """What the watched pin told: (active, monotonic seconds), bounded."""

    told: queue.Queue[tuple[bool, float]] = field(default_factory=lambda: queue.Queue(maxsize=64))

    def on_change(self, active: bool, at_s: float) -> None:
        """For whoever watches the pin; never blocks."""
        if not self.told.full():
            self.told.put_nowait((active, at_s))

    def forget(self) -> None:
        while not self.told.empty():
            self.told.get_nowait()

    def wait(self, active: bool, until_s: float, meanwhile: Callable[[], None]) -> float | None:
        """Instant of the next change to `active`; None when there is none before `until_s`."""
        while (left_s := until_s - time.monotonic()) > 0:
            meanwhile()
            try:
                level, at_s = self.told.get(timeout=min(_RENEW_S, left_s))
            except queue.Empty:
                continue
            if level == active:
                return at_s
        return None


@dataclass(frozen=True, slots=True)
class Keyed:
    """Milliseconds. up, down: of each round; None where the pin did not follow. lapse: without renewal."""

    up_ms: tuple[float | None, ...]
    down_ms: tuple[float | None, ...]
    lapse_ms: float | None


def key_rounds(line: KeyedLine, edges: Edges, rounds: int) -> Keyed:
    """Key and unkey the line so many times, then let its lease lapse once. It is unkeyed at the end."""
    pause = threading.Event()
    ups: list[float | None] = []
    downs: list[float | None] = []
    try:
        for _ in range(rounds):
            edges.forget()
            ups.append(_time(edges, True, line.key, meanwhile=line.key))
            _hold(line, pause)
            edges.forget()
            downs.append(_time(edges, False, line.unkey, meanwhile=_nothing))
            pause.wait(_REST_S)
        line.key()
        _hold(line, pause)
        edges.forget()
        lapse = _time(edges, False, _nothing, meanwhile=_nothing)
    finally:
        line.unkey()
    return Keyed(tuple(ups), tuple(downs), lapse)


def _time(edges: Edges, active: bool, act: Callable[[], None], meanwhile: Callable[[], None]) -> float | None:
    began_s = time.monotonic()
    act()
    at_s = edges.wait(active, began_s + _EDGE_WAIT_S, meanwhile)
    return None if at_s is None else (at_s - began_s) * 1000


def _hold(line: KeyedLine, pause: threading.Event) -> None:
    until_s = time.monotonic() + _HOLD_S
    while time.monotonic() < until_s:
        line.key()
        pause.wait(_RENEW_S)


def _nothing() -> None:
    """While nobody renews."""


def judge_keying(keyed: Keyed, out: str, into: str) -> list[Item]:
    """out, into: the two ends of the wire, in words."""
    if all(one is None for one in keyed.up_ms):
        remedy = f"is there a wire from {out} to {into}? (docs/selftest.md)"
        return [failed(PART, "key-up", f"{into} does not follow {out}", remedy)]
    remedy = "the line is slow or unsure: the wire, a pull resistor that fights, or a machine that is busy"
    items = [
        _times("key-up", keyed.up_ms, MAX_UP_MS, remedy),
        _times("key-down", keyed.down_ms, MAX_DOWN_MS, remedy),
    ]
    if keyed.lapse_ms is None:
        words = f"the line stays keyed although nobody renews it: do not put a radio on {out}"
        return [*items, failed(PART, "drops by itself", "not within 1 s", words)]
    good = keyed.lapse_ms <= MAX_LAPSE_MS
    limit = f"at most {MAX_LAPSE_MS:.0f} ms after the last renewal"
    return [*items, judged(PART, "drops by itself", keyed.lapse_ms, "ms", good, limit, remedy, digits=0)]


def _times(name: str, times_ms: tuple[float | None, ...], most_ms: float, remedy: str) -> Item:
    seen = [one for one in times_ms if one is not None]
    limit = f"at most {most_ms:.0f} ms, each of {len(times_ms)}"
    if len(seen) < len(times_ms):
        return failed(PART, name, f"{len(times_ms) - len(seen)} of {len(times_ms)} not seen", remedy, limit)
    item = judged(PART, name, max(seen), "ms", max(seen) <= most_ms, limit, remedy)
    shown = f"{statistics.median(seen):.1f} ms, longest {max(seen):.1f} ms"
    return Item(PART, name, item.verdict, shown, item.value, "ms", limit, item.remedy)
