"""Connections read in rounds: those that may go on the air often, the others seldom, one that floods later.

A read costs the same whether it finds ten bytes or ten thousand, and a device's kernel buffer holds more than
a second: rounds are what lets one core serve a thousand devices.
"""

from __future__ import annotations

import logging
import selectors
import time
from math import inf
from typing import Final

from echostream.network.esp32_connection import Connection

log = logging.getLogger(__name__)

OFTEN_S: Final = 0.025
SELDOM_S: Final = 0.05
CHECK_S: Final = 0.1
CHECK_ALL_S: Final = 1.0


class Rounds:
    """Owns the two selectors. `often` also wakes for what its owner registers there: ports, a pipe."""

    def __init__(self) -> None:
        self.often = selectors.DefaultSelector()
        self.all: set[Connection] = set()
        self.mute: dict[Connection, None] = {}
        """Those of which nobody knows yet who they are, oldest first."""
        self._seldom = selectors.DefaultSelector()
        self._paused: set[Connection] = set()
        self._seldom_at_s = 0.0
        self._check_at_s = 0.0
        self._check_all_at_s = 0.0

    @property
    def due_at_s(self) -> float:
        """Monotonic seconds of the next round or check; inf: nobody is there."""
        return min(self._seldom_at_s, self._check_at_s) if self.all else inf

    def check_due(self, now: float) -> bool:
        """Ten times a second: time to look at what only time decides."""
        if now < self._check_at_s:
            return False
        self._check_at_s = now + CHECK_S
        return True

    def check(self, now: float) -> None:
        """Look at those that are new; once a second at each."""
        every = now >= self._check_all_at_s
        if every:
            self._check_all_at_s = now + CHECK_ALL_S
        for connection in list(self.all if every else self.mute):
            if connection.open:
                connection.check(now)
                self._settle(connection)

    def add(self, connection: Connection) -> None:
        """From now on it is read."""
        self.all.add(connection)
        if connection.stream is None:
            self.mute[connection] = None
        self._watch(connection)

    def forget(self, connection: Connection) -> None:
        """It closes, or is handed over. Its socket must still be open. Idempotent."""
        self._unwatch(connection)
        self._paused.discard(connection)
        self.mute.pop(connection, None)
        self.all.discard(connection)

    def read(self, connection: Connection) -> None:
        """It has something."""
        if not connection.open:
            return  # another one took its place within this round
        try:
            goes_on = connection.read(time.monotonic())  # a round may take long: of each its own time
        except Exception:
            # A bug of ours in the stream of one device must not end those of all others.
            log.exception("device at %s: reading it failed, it is closed", connection.address)
            connection.close("a bug of the gateway", time.monotonic(), "overload")
        if not connection.open:
            return
        if goes_on:
            self._settle(connection)
        else:
            self._unwatch(connection)
            self._paused.add(connection)

    def read_seldom(self, now: float) -> None:
        """The round of those that are only recorded, when it is due."""
        if now < self._seldom_at_s:
            return
        self._seldom_at_s = now + SELDOM_S
        if self._seldom.get_map():
            for key, _ in self._seldom.select(0):
                self.read(key.data)
        for connection in [one for one in self._paused if one.resume_at_s <= now]:
            self._paused.discard(connection)
            if connection.open:
                self._watch(connection)

    def watch_anew(self, connection: Connection) -> None:
        """It may have become one that is read often, or one that is not."""
        watched = connection.watched_by
        if watched is not None and watched is not self._selector_of(connection):
            self._unwatch(connection)
            self._watch(connection)

    def close(self) -> None:
        """The selectors; every connection was closed before."""
        self.often.close()
        self._seldom.close()

    def _settle(self, connection: Connection) -> None:
        """It may have been let in just now."""
        if connection.open and connection.stream is not None:
            self.mute.pop(connection, None)
            self.watch_anew(connection)

    def _selector_of(self, connection: Connection) -> selectors.BaseSelector:
        return self.often if connection.often else self._seldom

    def _watch(self, connection: Connection) -> None:
        selector = self._selector_of(connection)
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.watched_by = selector

    def _unwatch(self, connection: Connection) -> None:
        if connection.watched_by is not None:
            connection.watched_by.unregister(connection.sock)
            connection.watched_by = None
