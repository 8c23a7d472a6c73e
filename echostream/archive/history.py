"""The last seconds of a stream, by position: what a gate may still ask for."""

from __future__ import annotations

from collections import deque

import numpy as np

from echostream.audio.format import Samples


class History:
    """Keeps `keep` samples before what came last. Without holes: whoever adds fills or forgets."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: deque[tuple[int, Samples]] = deque()

    def add(self, samples: Samples, position: int) -> None:
        if len(samples):
            self._parts.append((position, samples))
        end = position + len(samples)
        while self._parts and self._parts[0][0] + len(self._parts[0][1]) <= end - self._keep - len(samples):
            self._parts.popleft()

    def cut(self, begin: int, end: int) -> tuple[Samples, int]:
        """What is there of [begin, end), and the position at which it begins."""
        parts = [
            (max(at, begin), samples[max(0, begin - at) : max(0, end - at)])
            for at, samples in self._parts
            if at < end and at + len(samples) > begin
        ]
        if not parts:
            return np.zeros(0, np.int16), begin
        samples = parts[0][1] if len(parts) == 1 else np.concatenate([one for _, one in parts])
        return samples, parts[0][0]

    @property
    def begin(self) -> int:
        """Position of the first sample that is there; 0 when nothing is."""
        return self._parts[0][0] if self._parts else 0

    def forget(self) -> None:
        """The stream does not go on from here."""
        self._parts.clear()
