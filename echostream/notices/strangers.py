"""Devices without an entry come and go as often as they like: anybody in the network can be one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from echostream.events import DeviceChange

MOST: Final = 40
SPAN_S: Final = 60.0
"""So many of their changes are told in this time; of more, their number at the next change after it."""


class Strangers:
    """Holds them back. Devices with an entry are told always."""

    def __init__(self) -> None:
        self._began_s = -SPAN_S
        self._seen = 0

    def told(self, changes: Iterable[DeviceChange], now: float) -> tuple[list[DeviceChange], int]:
        """Those to tell, and how many of the time before this were not. now: monotonic seconds."""
        more = 0
        if now - self._began_s >= SPAN_S:
            more = max(0, self._seen - MOST)
            self._began_s, self._seen = now, 0
        return [change for change in changes if self._passes(change)], more

    def _passes(self, change: DeviceChange) -> bool:
        if change.known:
            return True
        self._seen += 1
        return self._seen <= MOST
