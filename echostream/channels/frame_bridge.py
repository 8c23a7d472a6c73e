"""From one channel's clock to another's: a bounded queue of frames between two cards.

Two cards never run at the same rate. 100 ppm are one frame of 20 ms in 200 s, so a frame is left out or a
silent one put in now and then, in a moment that is quiet. Nothing waits for longer than the queue is deep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from echostream.audio.format import Samples

BOUND_MS: Final = 240
PRIME_MS: Final = 60
"""Ahead before the first frame is given: threads and sound servers deliver in bursts."""
LOOK_PULLS: Final = 50
"""The least depth over this many pulls tells the clocks apart from bursts."""
QUIET_PEAK: Final = 400
"""-38 dBFS: a frame below it can go, or be followed by silence, and nobody hears it."""


class FrameBridge:
    """`push` on the source's thread, `pull` on the target's. `dropped`, `left_out`, `put_in`: frames.

    opening: frames that are played before everything else, e.g. the tone that ends what was here before.
    """

    def __init__(self, frame_ms: int, opening: Sequence[Samples] = ()) -> None:
        self._frames: deque[Samples] = deque(maxlen=BOUND_MS // frame_ms)
        self._prime = max(1, PRIME_MS // frame_ms)
        self._opening: deque[Samples] = deque(opening)
        self._closing: deque[Samples] = deque()
        self._finishing = False
        self._primed = False
        self._pulls = 0
        self._least = BOUND_MS
        self.dropped = 0
        self.left_out = 0
        self.put_in = 0

    def push(self, samples: Samples) -> None:
        """The source's next frame. A full queue loses its oldest one."""
        if self._finishing:
            return
        if len(self._frames) == self._frames.maxlen:
            self.dropped += 1
        self._frames.append(samples)

    def finish(self, closing: Sequence[Samples]) -> None:
        """No more of the source: what is queued is still played, then `closing`. Once, from any thread."""
        self._closing.extend(closing)
        self._finishing = True

    @property
    def over(self) -> bool:
        """It was finished, and everything was pulled. Any thread."""
        return self._finishing and not (self._opening or self._frames or self._closing)

    def pull(self) -> Samples | None:
        """The next frame, None where there is nothing to play now."""
        if self._opening:
            return self._opening.popleft()
        if not self._primed:
            if len(self._frames) < self._prime and not self._finishing:
                return None
            self._primed, self._pulls, self._least = True, 0, BOUND_MS
        try:
            frame = self._frames.popleft()
        except IndexError:
            return self._nothing_left()
        if self._finishing:
            return frame
        return self._kept_in_step(frame)

    def _nothing_left(self) -> Samples | None:
        if self._finishing:
            return self._closing.popleft() if self._closing else None
        self._primed = False
        self.put_in += 1
        return None

    def _kept_in_step(self, frame: Samples) -> Samples:
        depth = len(self._frames)
        self._least = min(self._least, depth)
        self._pulls += 1
        if self._pulls < LOOK_PULLS:
            return frame
        if 1 <= self._least <= self._prime + 1:
            self._pulls, self._least = 0, BOUND_MS
        elif int(np.abs(frame).max()) < QUIET_PEAK:
            few = self._least < 1
            self._pulls, self._least = 0, BOUND_MS
            if few:
                self._frames.appendleft(frame)
                self.put_in += 1
                return np.zeros_like(frame)
            self.left_out += 1
            return self._frames.popleft()
        return frame
