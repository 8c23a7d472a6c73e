"""Voice-operated valve: opens on a level that holds, closes when it has been gone for a while."""

from __future__ import annotations

import math
from typing import Final

HYSTERESIS_DB: Final = 3.0
"""An open valve is held open by this much less than what opens it, so that speech does not chop."""


class Vox:
    """One decision per frame, from the frame's RMS level alone.

    It opens on the frame that completes attack_ms of uninterrupted frames at or above the threshold
    (an attack of 0 opens on the first) and closes on the frame that completes hang_ms of frames more
    than HYSTERESIS_DB below it (a hang of 0 closes on the first).
    """

    def __init__(self, threshold_dbfs: float, attack_ms: float, hang_ms: float, frame_ms: float) -> None:
        """Times count in whole frames, rounded up. ValueError for a time or level that cannot be meant."""
        if not math.isfinite(threshold_dbfs):
            raise ValueError(f"threshold_dbfs {threshold_dbfs}: expected a finite level")
        if not (math.isfinite(frame_ms) and frame_ms > 0):
            raise ValueError(f"frame_ms {frame_ms}: expected more than 0")
        for name, value in (("attack_ms", attack_ms), ("hang_ms", hang_ms)):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} {value}: expected 0 or more")
        self._open_dbfs = threshold_dbfs
        self._hold_dbfs = threshold_dbfs - HYSTERESIS_DB
        self._attack_frames = max(1, math.ceil(attack_ms / frame_ms))
        self._hang_frames = max(1, math.ceil(hang_ms / frame_ms))
        self._is_open = False
        self._run = 0

    @property
    def is_open(self) -> bool:
        """What the last update() answered."""
        return self._is_open

    def update(self, rms_dbfs: float, inhibited: bool = False) -> bool:
        """Take one frame's level; True while the valve is to be open.

        inhibited (the channel is playing, say): closed at once, and the attack starts again afterwards.
        A level that is not a number counts as silence.
        """
        if inhibited:
            self._is_open = False
            self._run = 0
            return False
        # `_run` counts frames that speak against the present state; one that speaks for it clears it.
        if self._is_open:
            against, needed = not rms_dbfs >= self._hold_dbfs, self._hang_frames
        else:
            against, needed = rms_dbfs >= self._open_dbfs, self._attack_frames
        self._run = self._run + 1 if against else 0
        if self._run >= needed:
            self._is_open = not self._is_open
            self._run = 0
        return self._is_open

    def reset(self) -> None:
        """Closed, as when new: after a gap in the audio."""
        self._is_open = False
        self._run = 0
