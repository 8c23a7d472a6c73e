"""Hears a card for some seconds, and shows meanwhile what it hears."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

import numpy as np

from echostream.audio.format import Samples, silence
from echostream.audio.ports import AudioSource, CardSpec
from echostream.errors import AudioError, DeviceLost, SourceClosed
from echostream.selftest.take import Cards

_SHOWN_FRAMES: Final = 5
"""A picture each 100 ms."""
_STALLED_S: Final = 3.0
_JOIN_S: Final = 2.0

OnHeard = Callable[[Samples], None]
"""The newest 100 ms; called on the thread that called `listen`."""


class _Ear:
    """The thread `tune-capture`, and what it has read."""

    def __init__(self, source: AudioSource) -> None:
        self._source = source
        self._changed = threading.Condition()
        self._frames: list[Samples] = []
        self._error: AudioError | None = None
        self._thread = threading.Thread(target=self._read, name="tune-capture", daemon=True)
        self._thread.start()

    def wait_for(self, count: int) -> list[Samples]:
        """All frames, when there are so many. DeviceLost where the card stands still."""
        with self._changed:
            enough = self._changed.wait_for(
                lambda: len(self._frames) >= count or self._error is not None, _STALLED_S
            )
            if self._error is not None:
                raise self._error
            if not enough:
                raise DeviceLost("the card gives no audio any more: pull it and plug it in again")
            return list(self._frames)

    def close(self) -> None:
        self._source.close()
        self._thread.join(_JOIN_S)

    def _read(self) -> None:
        try:
            while True:
                frame = self._source.read()
                with self._changed:
                    self._frames.append(frame.samples)
                    self._changed.notify_all()
        except SourceClosed:
            pass
        except AudioError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()


def listen(
    cards: Cards, spec: CardSpec, duration_s: float, on_heard: OnHeard, stop: threading.Event
) -> Samples:
    """What a card hears, shape (n,), int16; less when `stop` is set. AudioError."""
    wanted = max(1, round(duration_s * 1000 / spec.frame_ms))
    ear = _Ear(cards.open_source(spec))
    shown = 0
    frames: list[Samples] = []
    try:
        while shown < wanted and not stop.is_set():
            frames = ear.wait_for(min(wanted, shown + _SHOWN_FRAMES))
            on_heard(np.concatenate(frames[shown : shown + _SHOWN_FRAMES]))
            shown = min(wanted, shown + _SHOWN_FRAMES)
    finally:
        ear.close()
    return np.concatenate(frames[:shown]) if frames else silence(0)
