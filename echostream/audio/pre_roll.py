"""The ring of frames from before the key-up, and the queue that drains it faster than real time."""

from __future__ import annotations

from collections import deque

from echostream.audio.format import Frame

# The key-up is handled a little after its edge: frames that completed since must not push the oldest out.
_SPARE_FRAMES = 3


class PreRoll:
    """Holds the last `pre_roll_ms` of frames; after `arm` everything from then on is kept until it is taken.

    The queue is bounded: `limit_frames` beyond the pre-roll. When it is full the oldest frame goes, counted
    in `dropped` (the network did not take our frames for that long).
    """

    def __init__(self, pre_roll_ms: int, frame_ms: int, limit_ms: int = 1000) -> None:
        self._frame_ms = frame_ms
        self._pre_roll_ms = pre_roll_ms
        ring_frames = -(-pre_roll_ms // frame_ms) + _SPARE_FRAMES
        self._ring_frames = ring_frames
        self._frames: deque[Frame] = deque(maxlen=ring_frames + limit_ms // frame_ms)
        self._armed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def empty(self) -> bool:
        return not self._frames

    def push(self, frame: Frame) -> None:
        """Take the newest frame."""
        if self._armed:
            if len(self._frames) == self._frames.maxlen:
                self.dropped += 1
        else:
            while len(self._frames) >= self._ring_frames:
                self._frames.popleft()
        self._frames.append(frame)

    def arm(self, at_s: float) -> None:
        """The key went down at `at_s` (monotonic): keep what came after `at_s - pre_roll`, and all to come.

        A frame that completed after that instant holds a sample of the pre-roll, so it is kept whole.
        """
        oldest_s = at_s - self._pre_roll_ms / 1000
        while self._frames and self._frames[0].complete_at_s <= oldest_s:
            self._frames.popleft()
        self._armed = True

    def take(self) -> Frame | None:
        """The oldest frame, None when there is none."""
        return self._frames.popleft() if self._frames else None

    def disarm(self) -> None:
        """Back to a ring. What is left stays: it was not sent, so it may be the next key-up's pre-roll."""
        self._armed = False
        while len(self._frames) > self._ring_frames:
            self._frames.popleft()

    def clear(self) -> None:
        """Forget everything: what is in the ring must not be sent."""
        self._frames.clear()
        self._armed = False
