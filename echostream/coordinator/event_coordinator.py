"""The one thread in which every event is handled, in order, and every deadline falls due."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import Protocol

from echostream.coordinator.deadlines import Deadlines
from echostream.coordinator.mailbox import Mailbox
from echostream.events import Event

log = logging.getLogger(__name__)

MAILBOX_BOUND = 256
_IDLE_WAIT_S = 0.5  # an upper bound, so that stop() never waits longer than this


class Handler(Protocol):
    """What the coordinator drives. Both run on its thread only."""

    def handle(self, event: Event, now: float) -> None: ...

    def handle_deadline(self, key: Hashable, now: float) -> None: ...


class EventCoordinator:
    """Owns the thread `coordinator`, the mailbox of events and the deadlines.

    A full mailbox means that the gateway no longer controls its channels: `on_overflow` is called once,
    and its owner stops the gateway in order.
    """

    def __init__(self, on_overflow: Callable[[], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._mailbox: Mailbox[Event | None] = Mailbox(MAILBOX_BOUND)
        self.deadlines = Deadlines()
        self._on_overflow = on_overflow
        self._overflowed = False
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failures = 0
        self.turns = 0
        """Counts as long as the thread comes round, twice a second at least: a step that hangs stops it."""

    def post(self, event: Event) -> None:
        """Queue an event from any thread. Never blocks, never drops in silence."""
        if self._mailbox.put(event) or self._overflowed or self._stop.is_set():
            return
        self._overflowed = True
        log.error("event mailbox full (%d): %r was refused; stopping in order", MAILBOX_BOUND, event)
        self._on_overflow()

    @property
    def stats(self) -> dict[str, int]:
        """Counters for the summary."""
        stats = self._mailbox.stats
        return {
            "posted": stats.posted,
            "refused": stats.refused,
            "deepest": stats.deepest,
            "failures": self.failures,
        }

    def start(self, handler: Handler) -> None:
        """Begin to handle events."""
        self._thread = threading.Thread(target=self._run, args=(handler,), name="coordinator")
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """End the thread after the event that it handles now. Idempotent."""
        self._stop.set()
        if self._thread is not None:
            self._mailbox.put(None)  # wakes it from its wait
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.error("coordinator outlived its join of %.1f s: this is a bug", timeout_s)
            self._thread = None

    def left_over(self) -> list[Event]:
        """What nobody has handled, once the thread has ended; it is forgotten."""
        events: list[Event] = []
        while self._mailbox.waiting:
            event = self._mailbox.get(0.0)
            if event is not None:
                events.append(event)
        return events

    def _run(self, handler: Handler) -> None:
        while not self._stop.is_set():
            self.turns += 1
            next_at = self.deadlines.next_at()
            wait_s = _IDLE_WAIT_S if next_at is None else min(_IDLE_WAIT_S, max(0.0, next_at - self._clock()))
            event = self._mailbox.get(wait_s)
            if event is not None:
                self._guarded(lambda e=event: handler.handle(e, self._clock()), event)  # type: ignore[misc]
            for key in self.deadlines.due(self._clock()):
                self._guarded(lambda k=key: handler.handle_deadline(k, self._clock()), key)  # type: ignore[misc]

    def _guarded(self, step: Callable[[], None], what: object) -> None:
        # One event that trips over a bug of ours must not take the other channels with it.
        try:
            step()
        except Exception:
            self.failures += 1
            log.exception("handling %r failed: this is a bug; the other channels go on", what)
