"""What a meter showed between two looks, and for how long there was nothing. Pure."""

from __future__ import annotations

import math
from typing import Final

from echostream.audio.format import FULL_SCALE
from echostream.audio.levels import FLOOR_DBFS, LevelMeter

QUIET_DBFS: Final = -80.0
"""A live input is above it: its own noise is."""


class Heard:
    """Of one meter, looked at by one thread."""

    def __init__(self) -> None:
        self._energy = 0.0
        self._samples = 0
        self._clipped = 0
        self._frames = 0
        self.level_dbfs = FLOOR_DBFS
        """RMS since the last look; FLOOR_DBFS too where no frame came."""
        self.peak_dbfs = FLOOR_DBFS
        self.clipped = 0.0
        """Share of frames at full scale since the last look, 0 to 1."""

    def look(self, meter: LevelMeter) -> bool:
        """Take up what it has measured; False: nothing."""
        energy, samples = meter.energy, meter.samples
        clipped, frames = meter.clipped_frames, meter.frames
        peak = meter.take_highest()
        passed, new = samples - self._samples, frames - self._frames
        self.level_dbfs = _dbfs(math.sqrt((energy - self._energy) / passed)) if passed > 0 else FLOOR_DBFS
        self.peak_dbfs = _dbfs(peak)
        self.clipped = min(1.0, max(0.0, (clipped - self._clipped) / new)) if new > 0 else 0.0
        self._energy, self._samples, self._clipped, self._frames = energy, samples, clipped, frames
        return passed > 0


class Quiet:
    """For how long nothing was heard. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def look(self, level_dbfs: float | None, now: float) -> float:
        """Seconds. None: nobody listens, so it is not quiet either."""
        if level_dbfs is None or level_dbfs > QUIET_DBFS:
            self._since_s = None
            return 0.0
        if self._since_s is None:
            self._since_s = now
        return now - self._since_s


class Held:
    """For how long something has been as it is. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._state: object = None
        self._since_s: float | None = None

    def look(self, state: object, now: float) -> float:
        """Seconds since it changed, or since the first look."""
        if self._since_s is None or state != self._state:
            self._state, self._since_s = state, now
        return now - self._since_s


def _dbfs(amplitude: float) -> float:
    """Of int16 units."""
    return max(FLOOR_DBFS, 20 * math.log10(amplitude / FULL_SCALE)) if amplitude > 0 else FLOOR_DBFS
