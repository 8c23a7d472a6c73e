"""A channel's frames at 48 kHz become blocks at the rate that is recorded."""

from __future__ import annotations

from typing import Final

import numpy as np

from echostream.audio.device_ports import DeviceAudio, GapCause
from echostream.audio.format import RATE_HZ, Frame, Samples, silence
from echostream.audio.resampler import RationalResampler

RECORD_HZ: Final = 16_000
"""Twice what a radio's voice needs, a third of the disk that 48 kHz takes."""
RATIO: Final = RATE_HZ // RECORD_HZ
_NEAR_S: Final = 0.5
"""A frame that is missing is a few of these at most; else the card was away."""


class ChannelFeed:
    """Exact: the sample at 48 kHz index 3n is recorded sample n. Where frames are missing, it begins anew."""

    def __init__(self) -> None:
        self._resampler = RationalResampler(RATE_HZ, RECORD_HZ)
        self._skip = 0
        self._next = -1
        self._at_s = 0.0
        self._position = 0
        self._cause: GapCause | None = None

    def take(self, frames: list[Frame], overloaded: bool = False) -> list[DeviceAudio]:
        """Frames in order of their index; overloaded: those that are missing found no room in the queue."""
        blocks: list[DeviceAudio] = []
        run: list[Frame] = []
        for frame in frames:
            if frame.index != self._next:
                self._add(blocks, run)
                run = []
                self._break(blocks, frame, overloaded)
            run.append(frame)
            self._next = frame.index + len(frame.samples)
            self._at_s = frame.complete_at_s
        self._add(blocks, run)
        return blocks

    def flush(self) -> list[DeviceAudio]:
        """The end: what the resampler still holds."""
        blocks: list[DeviceAudio] = []
        self._finish(blocks)
        return blocks

    def _break(self, blocks: list[DeviceAudio], frame: Frame, overloaded: bool) -> None:
        """Frames are missing before this one, or it is the first."""
        if self._next >= 0:
            away = frame.index - self._next > _NEAR_S * RATE_HZ and not overloaded
            self._finish(blocks)
            self._cause = "card gone" if away else "overload"
        self._resampler = RationalResampler(RATE_HZ, RECORD_HZ)
        self._skip = self._resampler.latency_samples
        self._position = -(-frame.index // RATIO)

    def _add(self, blocks: list[DeviceAudio], run: list[Frame]) -> None:
        if run:
            samples = run[0].samples if len(run) == 1 else np.concatenate([one.samples for one in run])
            self._put(blocks, samples)

    def _finish(self, blocks: list[DeviceAudio]) -> None:
        if self._next >= 0:
            self._put(blocks, silence(self._resampler.latency_samples * RATIO))

    def _put(self, blocks: list[DeviceAudio], samples: Samples) -> None:
        resampled = self._resampler.process(samples)
        if self._skip:
            left = min(self._skip, len(resampled))
            self._skip -= left
            resampled = resampled[left:]
        if len(resampled):
            self._position += len(resampled)
            behind_s = self._next / RATE_HZ - self._position / RECORD_HZ
            begin, ends_at_s = self._position - len(resampled), self._at_s - behind_s
            blocks.append(DeviceAudio(resampled, begin, ends_at_s, cause=self._cause))
            self._cause = None
