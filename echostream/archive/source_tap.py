"""From the threads that audio comes on to the recorder: a queue of five seconds for each source.

Whoever puts never waits. A full queue takes no more, and what is missing is a gap with the cause "overload".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.archive.recording import ToneMark
from echostream.audio.device_ports import DeviceAudio, GapCause
from echostream.audio.format import RATE_HZ, Frame

BOUND_S: Final = 5.0
MOST_BOUND_S: Final = 20.0
ALL_BYTES: Final = 160_000_000
"""Of all sources together: a few may wait for a memory card that is busy with itself for many seconds."""
MOST_ITEMS: Final = 4096
"""Blocks may be tiny; frames of 10 ms are 500."""
AWAY_S: Final = 0.5
"""Frames for a loudspeaker that come so much late: its card was away."""
PULLED_IN: Final = RATE_HZ // 100


@dataclass(frozen=True, slots=True)
class Edge:
    """A transmission began or ended at `at_s`, monotonic seconds."""

    active: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """No more of this stream."""

    cause: GapCause


Item = DeviceAudio | Frame | Edge | Ended | ToneMark


class SourceTap:
    """The queue of one source. One thread puts audio, others may put marks; the recorder takes."""

    def __init__(self, rate_hz: int) -> None:
        self._items: deque[Item] = deque()
        self.rate_hz = rate_hz
        self._bound = int(BOUND_S * rate_hz)
        self._came = self._went = 0
        self._over = False
        self.dropped = 0
        """Samples that found the queue full."""

    def share(self, sources: int) -> None:
        """So many sources share what may wait."""
        fair_s = ALL_BYTES / (2 * self.rate_hz * max(1, sources))
        self._bound = int(self.rate_hz * max(BOUND_S, min(MOST_BOUND_S, fair_s)))

    def take(self) -> list[Item]:
        """What has come since, in order."""
        items = []
        for _ in range(len(self._items)):
            item = self._items.popleft()
            if isinstance(item, DeviceAudio | Frame):
                self._went += len(item.samples)
            items.append(item)
        return items

    @property
    def over(self) -> bool:
        """Its end is in the queue. Any thread."""
        return self._over

    def mark(self, tone: ToneMark) -> None:
        """A page was heard. Any thread."""
        self._put_small(tone)

    def _put(self, item: DeviceAudio | Frame) -> bool:
        if self._came - self._went > self._bound or len(self._items) >= MOST_ITEMS:
            self.dropped += len(item.samples)
            return False
        self._came += len(item.samples)
        self._items.append(item)
        return True

    def _put_small(self, item: Edge | ToneMark) -> None:
        if len(self._items) < 2 * MOST_ITEMS:
            self._items.append(item)


class DeviceTap(SourceTap):
    """A DeviceSink."""

    def __init__(self, rate_hz: int) -> None:
        super().__init__(rate_hz)
        self._refused: GapCause | None = None

    def audio(self, block: DeviceAudio) -> None:
        if self._refused is not None:
            # Its position tells how much is missing; the cause is ours.
            block = replace(block, cause=block.cause or self._refused)
        self._refused = None if self._put(block) else "overload"

    def ended(self, cause: GapCause) -> None:
        """Never refused: without it a recording would not end."""
        self._over = True
        self._items.append(Ended(cause))


class ChannelTap(SourceTap):
    """Takes frames of a channel: `index` counts samples at 48 kHz, as the taps of a transmit path give it."""

    def __init__(self, on_close: Callable[[ChannelTap, GapCause], None]) -> None:
        super().__init__(RATE_HZ)
        self._on_close = on_close
        self._active = False
        self._pulled = 0
        self._pulled_at_s: float | None = None

    def __call__(self, frame: Frame) -> None:
        self._put(frame)

    def received(self, samples: NDArray[np.float32], talking: bool, now: float) -> None:
        """A frame of what others say, in int16 units, by the loudspeaker's clock; talking: somebody does."""
        length_s = len(samples) / RATE_HZ
        if talking != self._active:
            self.active(talking, now - length_s)
        if self._pulled_at_s is not None:
            away_s = now - self._pulled_at_s - length_s
            if away_s > AWAY_S:  # the card was away, and with it the clock
                self._pulled += round(away_s * RATE_HZ / PULLED_IN) * PULLED_IN
        self._pulled_at_s = now
        whole = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
        self._put(Frame(whole, self._pulled, now))
        self._pulled += len(whole)

    def active(self, active: bool, at_s: float) -> None:
        """A transmission begins or ends: monotonic seconds of the edge. Any thread."""
        if active != self._active:
            self._active = active
            self._put_small(Edge(active, at_s))

    def close(self, cause: GapCause = "stopped") -> None:
        """The channel is gone, or is recorded no more. Any thread."""
        self._over = True
        self._items.append(Ended(cause))
        self._on_close(self, cause)
