"""Tells the control server which recordings are in the bucket; what it misses it is told later."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from echostream.coordinator.deadlines import Deadlines
from echostream.events import RecordingUploaded
from echostream.wire import signalling_v1 as signalling

log = logging.getLogger(__name__)

MOST_WAITING: Final = 2000
AT_ONCE: Final = 4
PERIOD_S: Final = 0.25
"""So many messages in so long: thousands may have waited for the server, and what is said on the air comes
before them in an outbox that holds 64."""
UPLOADS: Final = ("uploads",)

Send = Callable[[str, Callable[[bool], None]], bool]


class UploadNews:
    """On the coordinator's thread. send: as the WebSocket client's; False: not now. dropped: gave way."""

    def __init__(self, send: Send, deadlines: Deadlines, unix_clock: Callable[[], float]) -> None:
        self._send = send
        self._deadlines = deadlines
        self._unix_clock = unix_clock
        self._waiting: deque[RecordingUploaded] = deque()
        self._returned: deque[RecordingUploaded] = deque()
        self._due = False
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Not told yet."""
        return len(self._waiting) + len(self._returned)

    def note(self, uploaded: RecordingUploaded, now: float) -> None:
        """One more. What belongs to no channel has nobody to be told to."""
        if not uploaded.channel_id:
            return
        if self.waiting >= MOST_WAITING:
            self.dropped += 1
            if self.dropped == 1:
                log.warning("%d uploads wait to be told to the control server: the oldest go", MOST_WAITING)
            (self._returned or self._waiting).popleft()
        self._waiting.append(uploaded)
        if not self._due:
            self.tell(now)

    def tell(self, now: float) -> None:
        """Some of what waits, now; called again when the next may go, and when the server is back."""
        self._due = False
        self._deadlines.cancel(UPLOADS)
        while self._returned:  # the last of those that did not get out is the newest
            self._waiting.appendleft(self._returned.pop())
        for _ in range(min(AT_ONCE, len(self._waiting))):
            uploaded = self._waiting.popleft()
            if not self._send(self._message(uploaded), self._sent(uploaded)):
                self._waiting.appendleft(uploaded)
                return  # nobody is there: `tell` is called when somebody is
        # Also when nothing is left: what did not get out is known by then.
        self._due = True
        self._deadlines.set(UPLOADS, now + PERIOD_S)

    def look(self, now: float) -> None:
        """The deadline UPLOADS has come."""
        self._due = False
        if self.waiting:
            self.tell(now)

    def _sent(self, uploaded: RecordingUploaded) -> Callable[[bool], None]:
        def sent(ok: bool) -> None:  # on another thread
            if not ok:
                self._returned.append(uploaded)

        return sent

    def _message(self, uploaded: RecordingUploaded) -> str:
        more = {"bucket": uploaded.bucket, "key": uploaded.key, "start_time": int(uploaded.started_at_s)}
        return signalling.file_uploaded(
            uploaded.channel_id, uploaded.recording, "", self._unix_clock(), extra=more
        )
