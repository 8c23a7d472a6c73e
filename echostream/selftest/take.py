"""One take: the known signal is played on a card, and what the card hears meanwhile is kept."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Frame, Samples, samples_per_frame, silence
from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.errors import AudioError, DeviceLost, SourceClosed

Float = NDArray[np.float64]
Whole = NDArray[np.int64]

FRAME_MS: Final = 20
_FRAME: Final = samples_per_frame(FRAME_MS)
_FRAME_S: Final = FRAME_MS / 1000
_LATE_S: Final = 5.0
"""A card that is so far behind moves nothing."""
_LATE_FRAME_S: Final = 0.0005
_JOIN_S: Final = 2.0
_AHEAD_FRAMES: Final = 10
"""Heard before the playing begins: the first frames of a card that has just been opened may be old."""


class Cards(Protocol):
    """The sound cards, real or simulated."""

    def open_source(self, spec: CardSpec) -> AudioSource: ...

    def open_sink(self, spec: CardSpec) -> AudioSink: ...


@dataclass(frozen=True, slots=True)
class Take:
    """heard: shape (n,), int16, from the frame on in which the playing began.

    offset_s: from handing sample 0 over to having been able to hear heard[0]. card_ppm: how much faster the
    card's clock runs than the computer's, ppm_error: how far that may be off. gaps: of the captured frames.
    """

    heard: Samples
    offset_s: float
    card_ppm: float
    ppm_error: float
    gaps: int
    overruns: int
    underruns: int


@dataclass
class _Heard:
    frames: list[Frame] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    played: threading.Event = field(default_factory=threading.Event)
    written_at_s: list[float] = field(default_factory=list)
    error: AudioError | None = None


def take(cards: Cards, spec: CardSpec, samples: Samples, hear: CardSpec | None = None) -> Take:
    """Play `samples`, shape (n,), int16, on a card, and hear it. AudioError where the card does not move.

    hear: the half of a card to listen to, where that is another one.

    Threads selftest-capture and selftest-playback end before this returns.
    """
    kept = _Heard()
    source = cards.open_source(hear or spec)
    try:
        sink = cards.open_sink(spec)
    except BaseException:
        source.close()
        raise
    threads = [
        threading.Thread(target=_guarded, args=(kept, work), name=f"selftest-{name}", daemon=True)
        for name, work in (
            ("capture", lambda: _capture(source, kept)),
            ("playback", lambda: _play(sink, samples, kept)),
        )
    ]
    end_s = time.monotonic() + len(samples) / RATE_HZ + _AHEAD_FRAMES * _FRAME_S + _LATE_S
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(0.0, end_s - time.monotonic()))
        stuck = any(thread.is_alive() for thread in threads)
    finally:
        kept.played.set()
        for one in (source, sink):
            one.close()
        for thread in threads:
            if thread.ident is not None:
                thread.join(_JOIN_S)
    if kept.error is not None:
        raise kept.error
    if stuck or not kept.frames or not kept.written_at_s:
        raise DeviceLost(f"card {spec.name} moves no audio: pull it and plug it in again, or choose another")
    return _taken(kept, getattr(source, "overruns", 0), getattr(sink, "underruns", 0))


def _guarded(kept: _Heard, work: Callable[[], None]) -> None:
    """An error of either direction ends both."""
    try:
        work()
    except SourceClosed:
        pass  # we gave up, and say why ourselves
    except AudioError as error:
        kept.error = kept.error or error
    finally:
        if kept.error is not None:
            kept.began.set()
            kept.played.set()


def _capture(source: AudioSource, kept: _Heard) -> None:
    while not kept.played.is_set():
        kept.frames.append(source.read())
        if len(kept.frames) >= _AHEAD_FRAMES:
            kept.began.set()


def _play(sink: AudioSink, samples: Samples, kept: _Heard) -> None:
    while not kept.began.is_set():  # a loudspeaker that runs from the beginning keeps its pace
        sink.wait_for_room()
        sink.write(silence(_FRAME))
    whole = -(-len(samples) // _FRAME) * _FRAME
    padded = np.concatenate((samples, np.zeros(whole - len(samples), np.int16)))
    for frame in padded.reshape(-1, _FRAME):
        if kept.played.is_set():
            return
        sink.wait_for_room()
        kept.written_at_s.append(time.monotonic())
        sink.write(frame)
    kept.played.set()


def _taken(kept: _Heard, overruns: int, underruns: int) -> Take:
    heard_s = np.array([frame.complete_at_s for frame in kept.frames])
    index = np.array([frame.index for frame in kept.frames])
    written_s = np.array(kept.written_at_s)
    in_s = float(np.median(heard_s - (index + 1) * _FRAME_S))
    out_s = float(np.median(written_s - np.arange(len(written_s)) * _FRAME_S))
    first = int(np.searchsorted(in_s + (index + 1) * _FRAME_S, out_s))
    frames = kept.frames[first:]
    ppm, error = _clock(index, heard_s)
    return Take(
        heard=np.concatenate([frame.samples for frame in frames]) if frames else np.zeros(0, np.int16),
        offset_s=in_s + int(index[min(first, len(index) - 1)]) * _FRAME_S - out_s,
        card_ppm=ppm,
        ppm_error=error,
        gaps=sum(frame.gap for frame in frames),
        overruns=overruns,
        underruns=underruns,
    )


def _clock(index: Whole, at_s: Float) -> tuple[float, float]:
    """How much faster than the computer's clock frames come, in ppm, and how far off that may be.

    A thread is only ever late, never early: of each tenth of the take the earliest frame is the truest.
    """
    late = at_s - index * _FRAME_S
    parts = np.array_split(np.arange(len(index)), 10)
    best = [int(part[np.argmin(late[part])]) for part in parts if len(part)]
    if len(best) < 3:
        return 0.0, math.inf
    x, y = index[best] * _FRAME_S, late[best]
    line = np.polyfit(x, y, 1)
    spread = math.sqrt(float(np.sum((y - np.polyval(line, x)) ** 2)) / (len(best) - 2))
    error = spread / math.sqrt(float(np.sum((x - x.mean()) ** 2)))
    # Twice the standard error, and what a stretch costs in which every frame was late.
    return -float(line[0]) * 1e6, (2 * error + _LATE_FRAME_S / float(x[-1] - x[0])) * 1e6
