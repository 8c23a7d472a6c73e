"""The thread that listens for tones on every channel."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from echostream.channels.tone_listener import ToneListener
from echostream.coordinator.worker import RESTART_MAX_S, RESTART_MIN_S, Worker
from echostream.events import Post, WorkerFailed

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.08
"""A frame at a time would cost a wake-up each; a page is no worse for 80 ms."""


class ToneWorker(Worker):
    """Thread `tones`: one for all channels. A listener's bug costs its own channel a pause, no other."""

    def __init__(self, post: Post) -> None:
        super().__init__("tones", post)
        self._listeners: dict[str, ToneListener] = {}
        self._resting: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()
        self._wanted = threading.Event()

    def set(self, listener: ToneListener) -> None:
        """Listen on a channel from now on, instead of what listened there before. Any thread."""
        with self._lock:
            self._listeners = {**self._listeners, listener.channel_id: listener}
            self._wanted.set()

    def remove(self, channel_id: str) -> None:
        """Listen there no more. Any thread."""
        with self._lock:
            left = {key: one for key, one in self._listeners.items() if key != channel_id}
            self._listeners = left
            if not left:
                self._wanted.clear()

    def listener(self, channel_id: str) -> ToneListener | None:
        """Who listens on a channel."""
        return self._listeners.get(channel_id)

    def _unblock(self) -> None:
        self._wanted.set()

    def _work(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self._wanted.wait()  # where nobody listens, nothing wakes up for it
            for listener in self._listeners.values():
                self._listen(listener)

    def _listen(self, listener: ToneListener) -> None:
        rest = self._resting.get(listener.channel_id)
        if rest is not None and time.monotonic() < rest[0]:
            return
        # One channel's bug must not make the others deaf, which a restart of the whole thread would.
        try:
            events = listener.listen()
        except Exception as error:
            log.exception("listening on %s failed: this is a bug", listener.channel_id)
            self._rest(listener, error)
            return
        for event in events:
            self._post(event)

    def _rest(self, listener: ToneListener, error: Exception) -> None:
        _, pause_s = self._resting.get(listener.channel_id, (0.0, RESTART_MIN_S))
        self.restarts += 1
        what = f"{type(error).__name__}: {error}; it starts afresh in {pause_s:.1f} s"
        self._post(WorkerFailed(f"{self.name}-{listener.channel_id}", what))
        listener.start_afresh()
        self._resting[listener.channel_id] = (time.monotonic() + pause_s, min(RESTART_MAX_S, pause_s * 2))
