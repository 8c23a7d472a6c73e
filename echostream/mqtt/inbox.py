"""What other threads hand to thread `mqtt`: bounded, and nobody waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from echostream.events import CommandAsked
from echostream.notices.notice import Notice, Weight
from echostream.vitals.model import Vitals

if TYPE_CHECKING:
    from echostream.mqtt.connection import Received

log = logging.getLogger(__name__)

MOST: Final = 4096
"""Notices that wait for a slow disk; alarms may be as many again."""
MOST_RECEIVED: Final = 1024
"""Commands, and what an earlier configuration left at the broker."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A connection begins."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a command."""

    command: CommandAsked
    ok: bool
    text: str


class Inbox:
    """Filled from any thread, emptied by one."""

    def __init__(self) -> None:
        self.dropped = 0
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._waiting: deque[Notice | Connected | Answered | Received] = deque()
        self._received = 0
        self._vitals: Vitals | None = None

    def take(self, notice: Notice) -> None:
        """When there is no room the new one gives way: its kind is logged elsewhere too."""
        with self._lock:
            most = 2 * MOST if notice.weight >= Weight.ALARM else MOST
            full = len(self._waiting) >= most
            if not full:
                self._waiting.append(notice)
            self.dropped += full
            first = full and self.dropped == 1
        if first:
            log.error("mqtt: %d notices wait for the disk; the next ones are left out", most)
        self._woken.set()

    def look(self, vitals: Vitals) -> None:
        """Only the newest counts."""
        self._vitals = vitals
        self._woken.set()

    def connected(self) -> None:
        with self._lock:
            self._waiting.append(Connected())
        self._woken.set()

    def received(self, received: Received) -> None:
        """Something came; more than a burst at once is left out."""
        with self._lock:
            if self._received < MOST_RECEIVED:
                self._received += 1
                self._waiting.append(received)
        self._woken.set()

    def answer(self, command: CommandAsked, ok: bool, text: str) -> None:
        with self._lock:
            self._waiting.append(Answered(command, ok, text))
        self._woken.set()

    def wake(self) -> None:
        self._woken.set()

    def wait(self, timeout_s: float) -> None:
        """Until there is something."""
        self._woken.wait(timeout_s)
        self._woken.clear()

    def taken(self) -> list[Notice | Connected | Answered | Received]:
        """All that waits, in order."""
        with self._lock:
            waiting, self._waiting, self._received = self._waiting, deque(), 0
        return list(waiting)

    def vitals(self) -> Vitals | None:
        """The newest, once."""
        vitals, self._vitals = self._vitals, None
        return vitals
