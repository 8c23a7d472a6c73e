"""Whether the bucket can be used: told when it changes, and how long to wait when it cannot."""

from __future__ import annotations

import logging
from typing import Final

from echostream.events import LinkChanged, Post
from echostream.uploads.causes import Cause, Refused
from echostream.uploads.pace import Waits

log = logging.getLogger(__name__)

FLEETING: Final = (Cause.NETWORK, Cause.NAME, Cause.SERVER, Cause.BUSY)
"""Once is nothing with these: it is told when it happens again."""


class Uplink:
    """One thread changes it, any may look. up: None as long as nothing was tried."""

    def __init__(self, target: str, post: Post, now: float) -> None:
        self.up: bool | None = None
        self.since_s = now
        self.detail = "not tried yet"
        self.pause_until_s = 0.0
        self._target = target
        self._post = post
        self._waits = Waits()
        self._failures = 0

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed, told or not."""
        return self._failures > 0

    def works(self, now: float) -> None:
        """The server answered as it should."""
        self._failures = 0
        self._waits.reset()
        self.pause_until_s = 0.0
        if self.up is not True:
            log.info("s3: uploads go to %s", self._target)
            self._post(LinkChanged("s3", True, self._target))
            self.up, self.since_s = True, now
        self.detail = ""

    def fails(self, error: Refused, now: float) -> None:
        """Nothing goes there now. What concerns one recording alone says nothing of the others."""
        cause = error.cause
        if not cause.of_all:
            return
        self._failures += 1
        self.pause_until_s = now + self._waits.next_s(cause, cause.first_s, cause.most_s)
        if self._failures == 1 and cause in FLEETING and self.up is not None:
            return
        text = str(error)
        if self.up is not False or text != self.detail:
            log.error("s3: %s; tried again until it works, recordings wait", text)
        if self.up is not False:
            self._post(LinkChanged("s3", False, text))
            self.up, self.since_s = False, now
        self.detail = text
