"""The last seconds of one stream, by position: a fixed piece of memory, read anywhere within it."""

from __future__ import annotations

import numpy as np

from echostream.audio.format import Samples


class SampleRing:
    """Holds the newest `capacity` samples. What is missing between two blocks is silence."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity {capacity}: expected 1 or more")
        self._memory = np.zeros(capacity, np.int16)
        self._capacity = capacity
        self.start = 0
        """Position of the oldest sample that is held."""
        self.end = 0
        """Position after the newest one."""
        self._empty = True

    def write(self, position: int, samples: Samples) -> None:
        """Take a block, shape (n,), int16, whose first sample is at `position`. What lies before `end` is
        known already and left out."""
        if self._empty:
            self.start = self.end = position
            self._empty = False
        if position < self.end:
            samples, position = samples[self.end - position :], self.end
        if position > self.end:
            self._put(self.end, np.zeros(min(position - self.end, self._capacity), np.int16))
            self.end = position
        if samples.size:
            kept = samples[-self._capacity :]
            self._put(position + samples.size - kept.size, kept)
            self.end = position + samples.size
        self.start = max(self.start, self.end - self._capacity)

    def read(self, position: int, count: int) -> Samples:
        """`count` samples from `position` on, a copy; silence where none are held."""
        first, last = max(position, self.start), min(position + count, self.end)
        if last <= first:
            return np.zeros(count, np.int16)
        at = first % self._capacity
        tail = min(last - first, self._capacity - at)
        parts = [self._memory[at : at + tail], self._memory[: last - first - tail]]
        if first > position:
            parts.insert(0, np.zeros(first - position, np.int16))
        if position + count > last:
            parts.append(np.zeros(position + count - last, np.int16))
        return np.concatenate(parts)

    def _put(self, position: int, samples: Samples) -> None:
        at = position % self._capacity
        tail = min(samples.size, self._capacity - at)
        self._memory[at : at + tail] = samples[:tail]
        self._memory[: samples.size - tail] = samples[tail:]
