"""The thread that listens for tones on every channel."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from echostream.channels.tone_listener import ToneListener
from echostream.coordinator.worker import HEALTHY_S, RESTART_MAX_S, RESTART_MIN_S, Worker
from echostream.events import Post, WorkerFailed

log = logging.getLogger(__name__)

PERIOD_S: Final = 0.08
"""A frame at a time would cost a wake-up each; a page is no worse for 80 ms."""
TOLD_EVERY_S: Final = 60.0
"""A machine that is too busy is told so often, for each channel."""


@dataclass(slots=True)
class _Care:
    """How one listener fares. Owned by the thread `tones`; times are monotonic seconds."""

    listener: ToneListener
    rests_until_s: float = 0.0
    pause_s: float = RESTART_MIN_S
    told_dropped: int = 0
    told_at_s: float | None = None


class ToneWorker(Worker):
    """Thread `tones`: one for all channels. A listener's bug costs its own channel a pause, no other."""

    def __init__(self, post: Post, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__("tones", post)
        self._clock = clock
        self._listeners: dict[str, ToneListener] = {}
        self._cares: dict[str, _Care] = {}
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
            listeners = self._listeners
            for listener in listeners.values():
                self._listen(listener)
            if len(self._cares) > len(listeners):
                self._cares = {key: care for key, care in self._cares.items() if key in listeners}

    def _listen(self, listener: ToneListener) -> None:
        care = self._cares.get(listener.channel_id)
        if care is None or care.listener is not listener:
            care = self._cares[listener.channel_id] = _Care(listener)
        now = self._clock()
        if now < care.rests_until_s:
            care.told_dropped = listener.tap.dropped  # the rest was told already
            return
        # One channel's bug must not make the others deaf, which a restart of the whole thread would.
        try:
            events = listener.listen()
        except Exception as error:
            log.exception("listening on %s failed: this is a bug", listener.channel_id)
            self._rest(care, error, now)
            return
        for event in events:
            self._post(event)
        self._tell_dropped(care, now)

    def _rest(self, care: _Care, error: Exception, now: float) -> None:
        if now - care.rests_until_s > HEALTHY_S:
            care.pause_s = RESTART_MIN_S
        self.restarts += 1
        what = f"{type(error).__name__}: {error}; it starts afresh in {care.pause_s:.1f} s"
        self._post(WorkerFailed(f"{self.name}-{care.listener.channel_id}", what))
        care.listener.start_afresh()
        care.rests_until_s = now + care.pause_s
        care.pause_s = min(RESTART_MAX_S, care.pause_s * 2)

    def _tell_dropped(self, care: _Care, now: float) -> None:
        """Whoever asks why a page was not heard finds it in the log."""
        dropped = care.listener.tap.dropped
        if dropped == care.told_dropped or (
            care.told_at_s is not None and now - care.told_at_s < TOLD_EVERY_S
        ):
            return
        log.warning(
            "the ear of %s did not get %d frames: the machine is too busy, a page may have been missed",
            care.listener.channel_id,
            dropped - care.told_dropped,
        )
        care.told_dropped, care.told_at_s = dropped, now
