"""Datagrams of one device, put in order; what did not come is counted in samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from echostream.wire.esp32_stream import Datagram

WAIT_S: Final = 0.06
"""How long a datagram that was overtaken is waited for: one Wi-Fi retry, not a glass of water."""
MOST_HELD: Final = 16
MOST_LOST_S: Final = 60.0
"""A further jump of the count is another count: the device started anew."""
LATE_IN_A_ROW: Final = 16
"""So many old numbers one after the other: the device started anew."""
_WRAP: Final = 1 << 32


class Ready(NamedTuple):
    """lost: samples that are missing before `audio`."""

    lost: int
    audio: bytes


class DatagramOrder:
    """lost, late: datagrams that never came, and that came twice or too late."""

    def __init__(self, rate_hz: int) -> None:
        self._most_lost = int(MOST_LOST_S * rate_hz)
        self._next: int | None = None
        self._held: dict[int, Datagram] = {}
        self._held_since_s = 0.0
        self._samples = 0
        self._late_in_a_row = 0
        self.lost = 0
        self.late = 0

    def arrived(self, datagram: Datagram, now: float) -> list[Ready]:
        """What can be handed on now, in order."""
        if self._next is None:
            self._next = datagram.sequence
        ahead = _distance(datagram.sequence, self._next)
        if ahead < 0 or datagram.sequence in self._held:
            self.late += 1
            self._late_in_a_row += 1
            if self._late_in_a_row < LATE_IN_A_ROW:
                return []
            return self._start_anew(datagram)
        self._late_in_a_row = 0
        if ahead * max(1, datagram.samples) > self._most_lost:
            return self._start_anew(datagram)
        if not self._held:
            self._held_since_s = now
        self._held[datagram.sequence] = datagram
        ready = list(self._in_order())
        while len(self._held) > MOST_HELD:
            ready.extend(self._skip())
        return ready + self.waited(now)

    def waited(self, now: float) -> list[Ready]:
        """What is handed on because what was missing did not come in time."""
        ready: list[Ready] = []
        while self._held and now - self._held_since_s >= WAIT_S:
            ready.extend(self._skip())
        return ready

    def flush(self) -> list[Ready]:
        """The end: all that is held."""
        ready: list[Ready] = []
        while self._held:
            ready.extend(self._skip())
        return ready

    # ---- inside

    def _in_order(self, lost: int = 0) -> Iterator[Ready]:
        while self._next is not None and self._next in self._held:
            datagram = self._held.pop(self._next)
            self._next = (self._next + 1) % _WRAP
            self._samples = datagram.samples
            yield Ready(lost, datagram.audio)
            lost = 0

    def _skip(self) -> list[Ready]:
        """Give up what is missing before the first one that is held."""
        assert self._next is not None
        expected = self._next
        first = min(self._held, key=lambda sequence: _distance(sequence, expected))
        count = _distance(first, expected)
        self.lost += count
        self._next = first
        return list(self._in_order(count * (self._samples or self._held[first].samples)))

    def _start_anew(self, datagram: Datagram) -> list[Ready]:
        """Another count: what lies between is not known from it; the clock of arrivals will tell."""
        ready = self.flush()
        self._next = datagram.sequence
        self._late_in_a_row = 0
        self._held[datagram.sequence] = datagram
        return ready + list(self._in_order())


def _distance(sequence: int, expected: int) -> int:
    """How far `sequence` is ahead, modulo 2^32; negative: behind."""
    return (sequence - expected + (_WRAP >> 1)) % _WRAP - (_WRAP >> 1)
