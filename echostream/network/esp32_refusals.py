"""Refusals: counted by reason, and said so that no stranger fills the log."""

from __future__ import annotations

import logging
from typing import Final

from echostream.network.esp32_admission import Refused

log = logging.getLogger(__name__)

AGAIN_S: Final = 10.0
"""Between two lines for one reason from one address, and between two counts of what was not said."""
LINES: Final = 20
"""Lines in that time, whoever they are about: the sender of a datagram can be forged."""


class Refusals:
    """On the relay's thread."""

    def __init__(self, counts: dict[str, int]) -> None:
        """counts: by reason; kept up here."""
        self._counts = counts
        self._said = set[tuple[str, str]]()
        self._unsaid = 0
        self._since_s = 0.0

    def note(self, address: str, refusal: Refused, now: float) -> None:
        """One more."""
        self._counts[refusal.reason] = self._counts.get(refusal.reason, 0) + 1
        if now - self._since_s >= AGAIN_S:
            self._begin_anew(now)
        key = (address, refusal.reason)
        if key in self._said:
            return
        if len(self._said) >= LINES:
            self._unsaid += 1
            return
        self._said.add(key)
        log.warning("device at %s refused: %s", address, refusal.message)

    def _begin_anew(self, now: float) -> None:
        if self._unsaid:
            log.warning("and %d more devices were refused", self._unsaid)
        self._said.clear()
        self._unsaid, self._since_s = 0, now
