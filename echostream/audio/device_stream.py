"""What has arrived of one network microphone: its blocks by position, and the line of their arrivals."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from echostream.audio.arrival_line import ArrivalLine
from echostream.audio.device_ports import DeviceAudio
from echostream.audio.sample_ring import SampleRing

BOUND_S: Final = 1.0
"""Audio that may wait, beyond one block and the pre-roll; the oldest gives way."""
MARGIN_MS: Final = 12.0
"""Kept in hand beyond the frame at hand: what a busy machine may be late."""
SILENT_S: Final = 2.0
"""A stream that brings nothing for so long has nothing to say, whatever its valve says."""
_YOUNG_S: Final = 1.5
"""Within this a device may still hand over what it kept before it reached us, and in more than one piece."""
_BURST_S: Final = 0.1
_LONGEST_BLOCK_S: Final = 2.0
_OFFSET_S: Final = 0.5
_FORGET: Final = 64
"""The length of the longest block is forgotten within about this many."""


class DeviceStream:
    """`take` each block, then `look` once a frame. Positions are those of the audio as it arrives: what the
    device turns out to have lost a while ago was silence then, and is not made up for now."""

    def __init__(self, rate_hz: int, frame_ms: int, spare_ms: int) -> None:
        """spare_ms: pre-roll, held beyond what waits."""
        self.rate_hz = rate_hz
        self.frame = rate_hz * frame_ms / 1000
        """Samples of the device in one frame of the channel."""
        self.spare = rate_hz * spare_ms // 1000
        longest_s = BOUND_S + spare_ms / 1000 + _LONGEST_BLOCK_S
        self.ring = SampleRing(math.ceil(rate_hz * longest_s))
        self._line = ArrivalLine(rate_hz)
        self._margin = self.frame + MARGIN_MS * rate_hz / 1000
        self.block = 0
        """Samples of the longest block of late."""
        self._shift = 0
        self._heard_at_s = -math.inf
        self._young_until_s: float | None = None
        self._anew = False
        self.silent = True
        """Nothing has arrived for a while."""
        self.ended = False
        """Nothing will arrive any more."""

    @property
    def over(self) -> bool:
        """What is there is all, for now or for good: nobody waits for more."""
        return self.ended or self.silent

    @property
    def young(self) -> bool:
        """What it is behind may only be what it kept before it reached us."""
        return self._young_until_s is None or self._heard_at_s < self._young_until_s

    @property
    def begun(self) -> bool:
        return self._line.known

    def take(self, block: DeviceAudio, now: float) -> int:
        """The next block, not empty; gives its position."""
        size, end = block.samples.size, self.ring.end
        if block.gap_at is not None and self.begun:
            self._shift = block.position - end
        position = block.position - self._shift
        missing = position - end
        self.block = max(size, self.block - self.block // _FORGET)
        self.ring.write(position, block.samples)
        self._heard_at_s, self.silent = now, False
        self._anew |= not self.begun or missing > 0
        return position

    def look(self, now: float) -> None:
        """Once a frame, after what has arrived was taken."""
        end = self.ring.end
        if self._anew:
            self._anew = False
            self._line.begin(end, now)
            if self._young_until_s is None:
                self._young_until_s = now + _YOUNG_S
        elif self.young and self.begun and self._line.ahead(end, now) > self.block + _BURST_S * self.rate_hz:
            self._line.begin(end, now)
        self._line.look(end, now)
        self.silent = now - self._heard_at_s > SILENT_S

    def wanted(self, now: float) -> int:
        """Position at which to read now: as late as the arrivals ask for, and no later."""
        if not self.begun:
            return self.ring.end
        return max(0, int(self._line.position(now) - self._margin))

    def offset(self) -> np.float32:
        """The constant part that cheap microphones add, over the last half second."""
        count = min(self.ring.end - self.ring.start, int(_OFFSET_S * self.rate_hz))
        if not count:
            return np.float32(0)
        return np.float32(self.ring.read(self.ring.end - count, count).mean())

    @property
    def oldest(self) -> int:
        """Position before which nobody reads."""
        most = int(BOUND_S * self.rate_hz) + self.block + self.spare
        return max(self.ring.start, self.ring.end - most)
