"""Packets of senders that do not count: played in order of arrival, end to end, in one stream for all."""

from __future__ import annotations

import math
from typing import Final

from echostream.audio.format import RATE_HZ
from echostream.audio.jitter_buffer import Packet
from echostream.audio.opus_codec import packet_samples
from echostream.audio.talker import Talker
from echostream.errors import CodecError

LEGACY_TICK_SAMPLES: Final = RATE_HZ // 400
"""2.5 ms, the shortest Opus frame: on such ticks packets of any length stand end to end."""
LEGACY_DEPTH_MS: Final = 60.0
"""Least depth: without a count neither loss nor order can be seen, so more is left to time."""
RETURN_MARGIN_MS: Final = 30.0
"""A first packet waits for its own length and this much, so that its sender's second one can claim it."""
_SURE_AFTER: Final = 3


class LegacyStream:
    """Numbers packets by arrival for a talker whose settings have `counts=False` and LEGACY_TICK_SAMPLES."""

    def __init__(self, talker: Talker) -> None:
        self.talker = talker
        self.malformed = 0
        self._next_tick = 0
        self._next_due_s: float | None = None
        self._strangers = 0

    def push(self, packet: bytes, now: float) -> int | None:
        """Append a packet that arrived `now`; its tick, by which take() finds it. None when malformed."""
        try:
            samples = packet_samples(packet)
        except CodecError:
            self.malformed += 1
            return None
        if self.talker.idle:
            self._begin(now, 1000.0 * samples / RATE_HZ)
        tick = self._next_tick
        self.talker.push(tick, packet, now)
        self._next_tick += samples // LEGACY_TICK_SAMPLES
        self._next_due_s = now + samples / RATE_HZ
        self._strangers += 1
        return tick

    def take(self, tick: int) -> Packet | None:
        """The packet at `tick` for a sender that turned out to count; None when it is being played."""
        self._strangers = 0
        return self.talker.take(tick)

    def _begin(self, now: float, packet_ms: float) -> None:
        """A talk-spurt begins: its ticks follow the wall clock over the pause."""
        if self._next_due_s is not None and now > self._next_due_s:
            pause_s = now - self._next_due_s
            self._next_tick += math.floor(pause_s * RATE_HZ / LEGACY_TICK_SAMPLES)
        if self._strangers < _SURE_AFTER:
            # Nobody here is known not to count: leave the sender of a long packet the time to show it.
            self.talker.not_before_s = now + (packet_ms + RETURN_MARGIN_MS) / 1000.0
