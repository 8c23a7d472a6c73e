"""Devices that come and go, in the log: each one with an entry; of many at once, and of strangers, some."""

from __future__ import annotations

import logging
from typing import Final

from echostream.events import DeviceChange

log = logging.getLogger(__name__)

AT_ONCE: Final = 20
"""Of those that come and go at one time (a switch restarts), by name; of more, their number."""
STRANGERS: Final = 40
SPAN_S: Final = 60.0
"""So many lines about devices without an entry in this time: they can come as often as they like."""


class DeviceLog:
    """On the coordinator's thread."""

    def __init__(self) -> None:
        self._began_s = -SPAN_S
        self._strangers = 0

    def note(self, changes: tuple[DeviceChange, ...], now: float) -> None:
        """A line each, and one of the rest."""
        if now - self._began_s >= SPAN_S:
            if self._strangers > STRANGERS:
                log.info("devices without an entry came or went %d more times", self._strangers - STRANGERS)
            self._began_s, self._strangers = now, 0
        told = [change for change in changes if self._is_told(change)]
        for change in told[:AT_ONCE]:
            what = "connected" if change.present else "gone"
            apart = ", recorded apart" if change.quarantined else ""
            line = "device %s (%s%s) %s: %s"
            log.info(line, change.name, change.address, apart, what, change.detail)
        more = told[AT_ONCE:]
        if more:
            came = sum(change.present for change in more)
            log.info("and %d more devices connected, %d gone", came, len(more) - came)

    def _is_told(self, change: DeviceChange) -> bool:
        if change.known:
            return True
        self._strangers += 1
        return self._strangers <= STRANGERS
