"""The card of a channel that has none: a clock that gives silence and swallows what is played."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from echostream.audio.format import Frame, Samples, samples_per_frame, silence
from echostream.errors import SourceClosed

_MOST_BEHIND_S: Final = 0.5
"""A machine that slept, or a process that was stopped, does not run after the time that it missed."""


class _Clock:
    """Ends of frames, on the monotonic clock and without drift."""

    def __init__(self, frame_ms: int) -> None:
        self._period_s = frame_ms / 1000
        self._due_s = time.monotonic() + self._period_s
        self._closed = threading.Event()
        self.index = -1
        """Of the frame that ended last."""
        self.on_wake: Callable[[float], None] | None = None

    def wait(self) -> bool:
        """Until the next frame's end; whether frames were passed over. SourceClosed after close()."""
        now = time.monotonic()
        missed = (
            max(0, int((now - self._due_s) / self._period_s)) if now - self._due_s > _MOST_BEHIND_S else 0
        )
        self._due_s += missed * self._period_s
        if self._closed.wait(max(0.0, self._due_s - now)):
            raise SourceClosed("closed")
        if self.on_wake is not None:
            self.on_wake(time.monotonic() - max(now, self._due_s))
        self._due_s += self._period_s
        self.index += 1 + missed
        return missed > 0

    def close(self) -> None:
        self._closed.set()


class _Timed:
    """What both directions share: whoever counts late wake-ups is told of each."""

    _clock: _Clock

    @property
    def on_wake(self) -> Callable[[float], None] | None:
        return self._clock.on_wake

    @on_wake.setter
    def on_wake(self, note: Callable[[float], None] | None) -> None:
        self._clock.on_wake = note


class NoSource(_Timed):
    """AudioSource of silence; what is heard on such a channel its network microphones put there."""

    def __init__(self, frame_ms: int) -> None:
        self._clock = _Clock(frame_ms)
        self._silence = silence(samples_per_frame(frame_ms))

    def read(self) -> Frame:
        gap = self._clock.wait()
        return Frame(self._silence, self._clock.index, time.monotonic(), gap)

    def close(self) -> None:
        self._clock.close()


class NoSink(_Timed):
    """AudioSink that nobody hears."""

    def __init__(self, frame_ms: int) -> None:
        self._clock = _Clock(frame_ms)
        self._has_room = False

    def wait_for_room(self) -> None:
        if not self._has_room:
            self._clock.wait()
            self._has_room = True

    def write(self, samples: Samples) -> None:
        self.wait_for_room()
        self._has_room = False

    def close(self) -> None:
        self._clock.close()
