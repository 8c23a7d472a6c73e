"""Where a channel's captured audio stands, counted in samples from its first frame on."""

from __future__ import annotations

from echostream.audio.format import RATE_HZ, Frame


class StreamPosition:
    """Samples since the channel began, counted by frames; never back, also when a source starts afresh."""

    def __init__(self, frame_ms: int) -> None:
        self._frame_samples = frame_ms * RATE_HZ // 1000
        self._last_index = -1
        self._last_at_s = 0.0
        self.position = -self._frame_samples
        self.lost = 0

    @property
    def next_position(self) -> int:
        """That of the frame to come, if none is lost."""
        return self.position + self._frame_samples

    def advance(self, frame: Frame) -> None:
        """`position` becomes that of the frame's first sample."""
        if self._last_index < 0:
            steps = 1
        elif frame.index > self._last_index:
            steps = frame.index - self._last_index
            self.lost += steps - 1
        else:  # the source was opened again: time says how far the clock went on meanwhile
            elapsed_samples = int((frame.complete_at_s - self._last_at_s) * RATE_HZ)
            steps = max(1, elapsed_samples // self._frame_samples)
        self._last_index = frame.index
        self._last_at_s = frame.complete_at_s
        self.position += steps * self._frame_samples
