"""The event log: a file for each day, appended to and never changed, and a table made of it."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Final

from echostream.config.event_models import Events
from echostream.config.recording_models import Recording
from echostream.coordinator.worker import Worker
from echostream.event_log.files import LogFiles, log_directory
from echostream.event_log.purging import Purge
from echostream.event_log.table_copy import TableCopy
from echostream.events import Post
from echostream.notices.notice import Notice, Weight
from echostream.notices.stamp import wall_us
from echostream.vitals.model import LinkVitals, Vitals

log = logging.getLogger(__name__)

BOUND: Final = 4096
"""Notices of each weight that wait for the disk; a thousand devices may lose their power at once."""
AT_ONCE: Final = 500
GATHER_S: Final = 0.05
"""What happens together is written together: one wait for the disk."""
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 60.0
PURGE_S: Final = 3600.0
LAST_S: Final = 3.0
"""A stop waits so long for what was told before it."""


class Waiting:
    """Notices on their way to the disk. `put` from any thread: of too many the oldest of its weight goes.

    lost: how many did.
    """

    def __init__(self, bound: int = BOUND) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._queues: dict[int, deque[tuple[int, Notice]]] = {int(weight): deque() for weight in Weight}
        self._arrived = 0
        self.lost = 0
        self.told = threading.Event()

    def put(self, notice: Notice) -> None:
        """Never blocks."""
        with self._lock:
            queue = self._queues[int(notice.weight)]
            if len(queue) >= self._bound:
                queue.popleft()
                self.lost += 1
            self._arrived += 1
            queue.append((self._arrived, notice))
            self.told.set()

    def oldest(self, most: int) -> list[tuple[int, Notice]]:
        """In order of arrival, with their places. They stay until `done`."""
        with self._lock:
            first = [one for queue in self._queues.values() for one in islice(queue, most)]
            if not first:
                self.told.clear()
        return sorted(first, key=lambda one: one[0])[:most]

    def done(self, written: Sequence[tuple[int, Notice]]) -> None:
        """These are on the disk."""
        places = {place for place, _ in written}
        with self._lock:
            for queue in self._queues.values():
                while queue and queue[0][0] in places:
                    queue.popleft()

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())


def is_routine(notice: Notice) -> bool:
    """One more segment of what is recorded all the time, without a page in it: the index of recordings knows
    it, and a thousand microphones would fill a disk with saying so."""
    data = notice.data
    return (
        notice.kind == "recording"
        and (data.get("state"), data.get("trigger")) == ("filed", "continuous")
        and not data.get("tone_ids")
    )


class EventLog(Worker):
    """Thread `event-log`. written: events on the disk; lost: those that gave way, and were told of; error:
    why it cannot write; "" when it can."""

    def __init__(
        self, events: Events, recording: Recording, gateway_id: str, database_url: str | None, post: Post
    ) -> None:
        super().__init__("event-log", post)
        directory = log_directory(events.directory)
        self._place = events.directory
        self._files = LogFiles(directory, gateway_id, self._stopping)
        self._purge = Purge(directory, events.keep_days, events.keep_mb)
        self._table = TableCopy(directory, recording, database_url, post) if recording.enabled else None
        self._waiting = Waiting()
        self._retry_s = RETRY_MIN_S
        self._purge_at_s = 0.0
        self.written = self.lost = 0
        self.error = ""

    @property
    def workers(self) -> Sequence[Worker]:
        return [self] if self._table is None else [self, self._table]

    def take(self, notice: Notice) -> None:
        """Told what happened. Any thread, never blocks."""
        if not is_routine(notice):
            self._waiting.put(notice)

    def look(self, vitals: Vitals) -> None:
        """Told how the gateway is: that is not an event."""

    def link(self) -> LinkVitals | None:
        """None: it is no way out."""
        return None

    @property
    def stats(self) -> dict[str, int | str]:
        """For the summary."""
        return {
            "written": self.written,
            "waiting": len(self._waiting),
            "lost": self.lost,
            "error": self.error,
        }

    def _unblock(self) -> None:
        self._waiting.told.set()

    def _work(self) -> None:
        try:
            self._keep()
        finally:
            if self._table is not None and self._stopping.is_set():
                self._table.log_ended()

    def _keep(self) -> None:
        until_s: float | None = None
        while True:
            if self._stopping.is_set() and until_s is None:
                until_s = time.monotonic() + LAST_S
            batch = self._waiting.oldest(AT_ONCE)
            if batch:
                self._write(batch)
            if self._stopping.is_set():
                if not batch or self.error or (until_s is not None and time.monotonic() > until_s):
                    break
                continue
            if batch:
                continue
            self._purge_now_and_then()
            self._waiting.told.wait(PURGE_S)
            self._stopping.wait(GATHER_S)
        if len(self._waiting):
            log.error("event log: %d events are not in it: %s", len(self._waiting), self.error or "no time")

    def _write(self, batch: Sequence[tuple[int, Notice]]) -> None:
        lost = self._waiting.lost - self.lost
        notices = [notice for _, notice in batch]
        if lost:
            notices = [self._loss(lost), *notices]
        try:
            self._files.append(notices)
        except OSError as error:
            self._failed(error)
            return
        self._waiting.done(batch)
        self.written += len(notices)
        self.lost += lost
        if self._table is not None:
            self._table.written()
        if self.error:
            log.info("event log: it works again")
        self.error, self._retry_s = "", RETRY_MIN_S

    def _loss(self, lost: int) -> Notice:
        text = f"{lost} events were lost: the log could not be written ({self.error or 'too many at once'})"
        return Notice("worker", wall_us(), text, subject=self.name, data={"error": self.error, "lost": lost})

    def _failed(self, error: OSError) -> None:
        why = f"{error.filename or self._files.directory}: {error.strerror or error}"
        if why != self.error:
            remedy = (
                f"make {self._place} a folder that the gateway's user may write (install -d -o USER "
                f"{self._place}), or name another one in events.directory"
            )
            log.error("event log: %s; %s. Events wait in memory meanwhile", why, remedy)
        self.error = why
        self._stopping.wait(self._retry_s)
        self._retry_s = min(RETRY_MAX_S, 2 * self._retry_s)

    def _purge_now_and_then(self) -> None:
        now = time.monotonic()
        if now < self._purge_at_s:
            return
        self._purge_at_s = now + PURGE_S
        try:
            gone = self._purge.run(now)
        except OSError as error:
            log.warning("event log: old events stay: %s: %s", error.filename, error.strerror or error)
            return
        if gone:
            days = f"{gone[0]} to {gone[-1]}" if len(gone) > 1 else gone[0]
            log.info("event log: deleted, beyond events.keep_days or keep_mb: %s", days)
            if self._table is not None:
                self._table.written()
