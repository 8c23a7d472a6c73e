"""When the radio is keyed while network audio plays: lead-in, hang time, courtesy tone, time-out.

Pure: one `step` a frame. The audio goes through a delay line of the lead-in's length, so the transmitter is
up when the first syllable leaves.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from echostream.audio.format import Samples, samples_per_frame, silence

# A hole in the network must not take a latched line for a released one.
UNLATCH_QUIET_MS = 500


class KeyingPhase(StrEnum):
    """Where an over is. LATCHED: timed out, and quiet until the talker ends."""

    IDLE = "idle"
    KEYED = "keyed"
    HANG = "hang"
    COURTESY = "courtesy"
    LATCHED = "latched"


@dataclass(frozen=True, slots=True)
class KeyingSettings:
    """Times in ms; `courtesy` is the tone to append; `tot_s` ends an over that does not end (inf: never)."""

    lead_in_ms: int = 0
    hang_ms: int = 0
    courtesy: Samples | None = None
    tot_s: float = 180.0


class Keying:
    """`step` takes what the receive path gave and returns what the card plays; `keyed` is the line."""

    def __init__(self, settings: KeyingSettings, frame_ms: int) -> None:
        self._frame_ms = frame_ms
        self._frame_samples = samples_per_frame(frame_ms)
        self._lead_frames = -(-settings.lead_in_ms // frame_ms)
        self._hang_frames = -(-settings.hang_ms // frame_ms)
        self._tot_frames = max(1.0, settings.tot_s * 1000 / frame_ms)
        self._courtesy = _in_frames(settings.courtesy, self._frame_samples)
        self._line: deque[Samples] = deque()
        self._tail: deque[Samples] = deque()
        self._silence = silence(self._frame_samples)
        self.phase = KeyingPhase.IDLE
        self._hang_left = 0
        self._keyed_frames = 0
        self._quiet_frames = 0
        self.overs = 0
        self.time_outs = 0

    @property
    def keyed(self) -> bool:
        return self.phase in (KeyingPhase.KEYED, KeyingPhase.HANG, KeyingPhase.COURTESY)

    def step(self, samples: Samples, talking: bool) -> Samples:
        """One frame: `samples` as received (silence when nobody talks), returns what the card plays now."""
        if self.phase is KeyingPhase.LATCHED:
            self._quiet_frames = 0 if talking else self._quiet_frames + 1
            if self._quiet_frames * self._frame_ms >= UNLATCH_QUIET_MS:
                self.phase = KeyingPhase.IDLE
            return self._silence
        if talking:
            self._start_or_go_on()
        elif self.phase is KeyingPhase.KEYED and not any(frame.any() for frame in self._line):
            self.phase, self._hang_left = KeyingPhase.HANG, self._hang_frames
        if not self.keyed:
            return self._silence
        self._keyed_frames += 1
        if self._keyed_frames > self._tot_frames:
            self.time_outs += 1
            self._drop(KeyingPhase.LATCHED)
            return self._silence
        if self.phase is KeyingPhase.KEYED:
            self._line.append(samples)
            return self._line.popleft()
        return self._tail_frame()

    def abort(self) -> None:
        """The line must drop now: the card is gone, or this side transmits."""
        self._drop(KeyingPhase.IDLE)

    def _start_or_go_on(self) -> None:
        if self.phase is KeyingPhase.IDLE:
            self.overs += 1
            self._keyed_frames = 0
            self._line.extend([self._silence] * self._lead_frames)
        elif self.phase is not KeyingPhase.KEYED:
            # The transmitter is still up: the delay line carries on, so nothing is cut.
            self._line.clear()
            self._tail.clear()
        self.phase = KeyingPhase.KEYED

    def _tail_frame(self) -> Samples:
        if self.phase is KeyingPhase.HANG:
            if self._hang_left > 0:
                self._hang_left -= 1
                return self._silence
            self._tail.extend(self._courtesy)
            self.phase = KeyingPhase.COURTESY
        if self._tail:
            return self._tail.popleft()
        self._drop(KeyingPhase.IDLE)
        return self._silence

    def _drop(self, phase: KeyingPhase) -> None:
        self.phase = phase
        self._line.clear()
        self._tail.clear()
        self._keyed_frames = 0
        self._quiet_frames = 0


def _in_frames(tone: Samples | None, frame_samples: int) -> tuple[Samples, ...]:
    if tone is None or len(tone) == 0:
        return ()
    padded = np.zeros(-(-len(tone) // frame_samples) * frame_samples, np.int16)
    padded[: len(tone)] = tone
    return tuple(padded.reshape(-1, frame_samples))
