"""Refusals: counted by reason, and said so that no stranger fills the log."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from echostream.network.esp32_admission import Refused

log = logging.getLogger(__name__)

AGAIN_S: Final = 600.0
"""Between two lines for one reason from one address: who is refused tries again every few seconds."""
SPAN_S: Final = 10.0
LINES: Final = 20
"""Lines in a span, whoever they are about: the sender of a datagram can be forged."""
REMEMBERED: Final = 512


class Refusals:
    """On the relay's thread."""

    def __init__(self, counts: dict[str, int]) -> None:
        """counts: by reason; kept up here."""
        self._counts = counts
        self._said: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._began_s = -SPAN_S
        self._lines = self._unsaid = 0

    def note(self, address: str, refusal: Refused, now: float) -> None:
        """One more."""
        self._counts[refusal.reason] = self._counts.get(refusal.reason, 0) + 1
        if now - self._began_s >= SPAN_S:
            self._begin_anew(now)
        key = (address, refusal.reason)
        if now - self._said.get(key, -AGAIN_S) < AGAIN_S:
            return
        if self._lines >= LINES:
            self._unsaid += 1
            return
        self._lines += 1
        self._said[key] = now
        self._said.move_to_end(key)
        if len(self._said) > REMEMBERED:
            self._said.popitem(last=False)
        log.warning("device at %s refused: %s", address, refusal.message)

    def _begin_anew(self, now: float) -> None:
        if self._unsaid:
            log.warning("and %d more times devices were refused", self._unsaid)
        self._began_s = now
        self._lines = self._unsaid = 0
