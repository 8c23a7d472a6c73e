"""A thread that is owned: it has a name, a stop event and a bounded join, and one that dies is started again.

A worker that dies of a bug is logged with its cause, counted, and restarted with back-off.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from echostream.events import Post, WorkerFailed

log = logging.getLogger(__name__)

RESTART_MIN_S = 0.5
RESTART_MAX_S = 30.0
HEALTHY_S = 30.0

OnThread = Callable[[str], None]
"""Called with its name first thing on a thread: what asks for real time there."""


def ordinary(name: str) -> None:
    """A thread as every other."""


class Worker:
    """A named thread with a stop event, a restart counter and a bounded join. Subclasses say what it does."""

    def __init__(self, name: str, post: Post) -> None:
        self.name = name
        self.restarts = 0
        self.on_thread: OnThread = ordinary
        self._post = post
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._supervised, name=self.name)
        self._thread.start()

    def request_stop(self) -> None:
        """Ask the thread to end and free whatever it is blocked on. Does not wait."""
        self._stopping.set()
        self._unblock()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end. False: it still runs, the caller asks again later or says so."""
        if self._thread is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                return False
            self._thread = None
        return True

    def _work(self) -> None:
        raise NotImplementedError

    def _unblock(self) -> None:
        """Free the thread from a blocking call."""

    def _supervised(self) -> None:
        self.on_thread(self.name)
        pause_s = RESTART_MIN_S
        while not self._stopping.is_set():
            began_s = time.monotonic()
            try:
                self._work()
            except Exception as error:
                self.restarts += 1
                if time.monotonic() - began_s > HEALTHY_S:
                    pause_s = RESTART_MIN_S
                log.exception("worker %s died; restart %d in %.1f s", self.name, self.restarts, pause_s)
                self._post(WorkerFailed(self.name, f"{type(error).__name__}: {error}"))
                self._stopping.wait(pause_s)
                pause_s = min(RESTART_MAX_S, pause_s * 2)
