"""What one device may cost the others: how fast it may send, and how little it must. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Final

FLOOD_S: Final = 30.0
"""Audio, beyond the burst, by which a stream may be ahead of real time before it is ended."""
FLOOD_REMEDY: Final = "it sends {:.1f} times as fast as its rate says: is rate_hz right?"
DOUBT_SPAN_S: Final = 10.0
DOUBT_FAST: Final = 1.2
DOUBT_SLOW: Final = 0.8
"""Times real time; no clock is off by so much, and no rates that are in use are nearer to each other."""
COMINGS_SPAN_S: Final = 60.0
PROGRESS_S: Final = 0.1
"""Audio that must have come for a connection to count as alive: one byte a second is silence."""


class SpeedLimit:
    """A bucket of bytes: `burst_s` of audio at once, after that `most_speed` times the rate.

    What a device may not send yet stays in the sockets: TCP holds it back, and nothing of it is lost here.
    """

    def __init__(self, bytes_per_s: int, most_speed: float, burst_s: float, now: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._most_speed = most_speed
        self._burst_s = burst_s
        self._began_s = now
        self._taken = 0
        self._at_s = now
        self._room = burst_s * bytes_per_s

    def room_bytes(self, now: float) -> int:
        """How much may be read now."""
        filled = self._room + (now - self._at_s) * self._most_speed * self._bytes_per_s
        self._room = min(self._burst_s * self._bytes_per_s, filled)
        self._at_s = now
        return int(self._room)

    def wait_s(self, count: int) -> float:
        """Seconds from the last `room_bytes` on until there is room for `count` bytes."""
        return max(0.0, (count - self._room) / (self._most_speed * self._bytes_per_s))

    def take(self, count: int) -> None:
        """`count` bytes were read."""
        self._room -= count
        self._taken += count

    def ahead_s(self, now: float) -> float:
        """Audio that came beyond real time since the stream began."""
        return self._taken / self._bytes_per_s - (now - self._began_s)

    def speed(self, now: float) -> float:
        """Times real time, over the whole stream."""
        return self._taken / self._bytes_per_s / max(0.001, now - self._began_s)

    def floods(self, now: float) -> bool:
        """It is so far ahead that its rate cannot be what it is said to be."""
        return self.ahead_s(now) > self._burst_s + FLOOD_S


class Progress:
    """When audio last came in earnest."""

    def __init__(self, now: float) -> None:
        self.at_s = now
        self._pending = 0

    def came(self, count: int, bytes_per_s: int, now: float) -> None:
        """`count` bytes came of a stream of `bytes_per_s`."""
        self._pending += count
        if self._pending >= PROGRESS_S * bytes_per_s:
            self._pending = 0
            self.at_s = now


class RateDoubt:
    """Whether a stream's rate is what it is said to be: its speed over two spans of 10 s in a row.

    One span may be that of the burst, or of a stall.
    """

    def __init__(self, bytes_per_s: int, now: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._began_s = now
        self._before = 0
        self._last: float | None = None
        self._told = False

    def look(self, total_bytes: int, now: float) -> float | None:
        """The speed, in times real time, when both spans were far from 1; None: no doubt, or told already."""
        passed_s = now - self._began_s
        if self._told or passed_s < DOUBT_SPAN_S:
            return None
        speed = (total_bytes - self._before) / self._bytes_per_s / passed_s
        last, self._last = self._last, speed
        self._began_s, self._before = now, total_bytes
        if last is None:
            return None
        too_fast = min(last, speed) > DOUBT_FAST
        if not too_fast and max(last, speed) >= DOUBT_SLOW:
            return None
        self._told = True
        return speed


class Comings:
    """How often strangers come, in spans of a minute: each time is a stream, a recording, lines of log."""

    def __init__(self) -> None:
        self._began_s = 0.0
        self._by_address: Counter[str] = Counter()
        self._all = 0

    def one_more(self, address: str, most_per_address: int, most: int, now: float) -> bool:
        """Whether one more is let in. What is counted is bounded by `most`."""
        if now - self._began_s >= COMINGS_SPAN_S:
            self._began_s, self._all = now, 0
            self._by_address.clear()
        if self._all >= most or self._by_address[address] >= most_per_address:
            return False
        self._all += 1
        self._by_address[address] += 1
        return True
