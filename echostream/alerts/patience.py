"""The disk behind alerts, waited for no longer than it is worth: of a card that dies people must be told.

A disk that refuses is the spool's own business. One that does not answer at all holds up the thread
`alert-disk` and nobody else: messages are sent from memory meanwhile, and are on the disk when it answers.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from echostream.errors import SpoolUnavailable
from echostream.spool.item import Item

log = logging.getLogger(__name__)

WAIT_S: Final = 2.0
MOST_JOBS: Final = 1000


class Disk(Protocol):
    """spool.kept_spool.KeptSpool."""

    epoch: int

    def put(self, items: Sequence[Item]) -> list[Item]: ...

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]: ...

    def done(self, numbers: Sequence[int]) -> None: ...

    @property
    def bytes_waiting(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class _Job:
    act: Callable[[], list[Item] | None]
    over: threading.Event = field(default_factory=threading.Event)
    items: list[Item] = field(default_factory=list)
    late: bool = False


class PatientSpool:
    """As the spool behind it, for one thread. Numbers are 0 while the disk has not answered; `epoch` changes
    when it has. bytes_waiting, dropped: as they were after the last answer."""

    def __init__(
        self, disk: Disk, wait_s: float = WAIT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._disk = disk
        self._wait_s = wait_s
        self._clock = clock
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MOST_JOBS)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._since_s: float | None = None
        self._late = 0
        self._said = False
        self.bytes_waiting = 0
        self.dropped = 0

    @property
    def epoch(self) -> int:
        """Another one: numbers may be others than before."""
        return self._late + self._disk.epoch

    @property
    def stuck(self) -> bool:
        """The disk has not answered for a while."""
        since_s = self._since_s
        stuck = since_s is not None and self._clock() - since_s >= self._wait_s
        if stuck != self._said:
            self._said = stuck
            if stuck:
                log.error(
                    "the disk does not answer: alerts are sent from memory, and are lost with the process"
                )
            else:
                log.warning("the disk answers again: alerts are kept on it")
        return stuck

    def put(self, items: Sequence[Item]) -> list[Item]:
        """With their numbers when the disk has them; without when it takes its time."""
        job = self._submit(lambda: self._disk.put(items))
        if job is None or not self._in_time(job):
            return list(items)
        return job.items

    def waiting(self, after: int = 0, limit: int = 100) -> list[Item]:
        """SpoolUnavailable: the disk does not answer now."""
        job = None if self.stuck else self._submit(lambda: self._disk.waiting(after, limit))
        if job is None or not self._in_time(job):
            raise SpoolUnavailable("the disk does not answer")
        return job.items

    def done(self, numbers: Sequence[int]) -> None:
        """They have arrived. Not waited for."""
        known = [number for number in numbers if number]
        if known:
            self.later(lambda: self._disk.done(known))

    def later(self, act: Callable[[], None]) -> None:
        """Something else that the disk is needed for. Not waited for, and left out when too much waits."""
        self._submit(act)

    def close(self) -> bool:
        """Wait for what is under way, and give the file back. False: the disk does not answer."""
        thread = self._thread
        if thread is None:
            return True
        if not self._closing:
            try:
                self._jobs.put_nowait(_Job(self._disk.close))
                self._jobs.put_nowait(None)
            except queue.Full:
                return False
            self._closing = True
        thread.join(self._wait_s)
        if thread.is_alive():
            return False
        self._thread, self._closing = None, False
        return True

    # ---- inside

    def _submit(self, act: Callable[[], list[Item] | None]) -> _Job | None:
        job = _Job(act)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            return None
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._work, name="alert-disk", daemon=True)
            self._closing = False
            self._thread.start()
        return job

    def _in_time(self, job: _Job) -> bool:
        if not self.stuck and job.over.wait(self._wait_s):
            return True
        with self._lock:
            job.late = not job.over.is_set()
            return not job.late

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._since_s = self._clock()
            try:
                job.items = job.act() or []
                self.bytes_waiting, self.dropped = self._disk.bytes_waiting, self._disk.dropped
            finally:
                self._since_s = None
                with self._lock:
                    job.over.set()
                    self._late += job.late
