"""One channel's ear: a bounded queue of captured frames in front of a detector, events out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import FULL_SCALE, RATE_HZ, Frame, Samples, silence
from echostream.config.listen import listen_plan
from echostream.config.tone_models import AlertTone, TonePlan
from echostream.events import Event, ToneDetected, ToneMissed
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection, Heard, Kind
from echostream.tones.plan import ListenPlan
from echostream.tones.stream import EAR_RATE_HZ

QUEUE_MS: Final = 500
SHORT_GAP_MS: Final = 200
"""A tone goes on over a hole of this length; an overrun of a card costs no page."""
MOST_MISSES: Final = 8
"""Near misses that are told at once; the coordinator's mailbox is for what must not be lost."""
_RATIO: Final = RATE_HZ // EAR_RATE_HZ


class Detector(Protocol):
    """What listens: `ToneDetector`, or what a test puts in its place."""

    def feed(self, samples: NDArray[Any]) -> list[Heard]: ...

    def gap(self, lost_samples: int) -> list[Heard]: ...


def new_detector(plan: ListenPlan) -> Detector:
    """The detector for captured audio."""
    return ToneDetector(plan, RATE_HZ)


class ToneTap:
    """A tap of a transmit path: called on the capture thread, emptied by whoever listens."""

    def __init__(self, frame_ms: int) -> None:
        self._frames: deque[Frame] = deque(maxlen=QUEUE_MS // frame_ms)
        self.dropped = 0
        """Frames that gave way because nobody listened in time."""

    def __call__(self, frame: Frame) -> None:
        if len(self._frames) == self._frames.maxlen:
            self.dropped += 1
        self._frames.append(frame)

    def take(self) -> list[Frame]:
        """All that wait, oldest first."""
        taken: list[Frame] = []
        while True:
            try:
                taken.append(self._frames.popleft())
            except IndexError:
                return taken


@dataclass(frozen=True, slots=True)
class _Anchor:
    """Where the detector's count of samples stands in time and in the channel's own count."""

    position: int
    at_s: float


class ToneListener:
    """Owned by the thread `tones`. `frames_lost`: what a late listener or a card cost the ear."""

    def __init__(
        self,
        channel_id: str,
        plan: TonePlan,
        gain_db: float,
        frame_ms: int,
        unix_offset: Callable[[], float],
        make: Callable[[ListenPlan], Detector] = new_detector,
    ) -> None:
        """gain_db: of the channel's input; levels count after it. unix_offset: Unix less monotonic time."""
        self.channel_id = channel_id
        self.tap = ToneTap(frame_ms)
        self.frames_lost = 0
        self._frame_samples = frame_ms * RATE_HZ // 1000
        self._plan = listen_plan(plan)
        self._tones: Mapping[str, AlertTone] = {tone.tone_id: tone for tone in plan.alert_tones}
        self._gain = np.float32(10 ** (gain_db / 20) / FULL_SCALE) if gain_db else None
        self._unix_offset = unix_offset
        self._make = make
        self._detector = make(self._plan)
        self._begin: int | None = None
        self._next = 0

    def start_afresh(self) -> None:
        """A new detector: the old one tripped over a bug."""
        self._detector = self._make(self._plan)
        self._begin = None

    def listen(self) -> list[Event]:
        """Hear what waits in the tap."""
        frames = self.tap.take()
        if not frames:
            return []
        heard: list[Heard] = []
        run: list[Samples] = []
        for frame in frames:
            lost = 0 if self._begin is None else max(0, frame.index - self._next)
            if self._begin is None:
                self._begin = frame.index
            self.frames_lost += lost // self._frame_samples
            if lost > SHORT_GAP_MS * RATE_HZ // 1000:
                heard += self._feed(run)
                run = []
                heard += self._detector.gap(lost)
            elif lost:
                run.append(silence(lost))
            run.append(frame.samples)
            self._next = frame.index + len(frame.samples)
        heard += self._feed(run)
        newest = _Anchor(self._next, frames[-1].complete_at_s)
        return [self._event(item, newest) for item in _bounded(heard)]

    def _feed(self, run: list[Samples]) -> list[Heard]:
        if not run:
            return []
        samples: NDArray[Any] = np.concatenate(run)
        if self._gain is not None:
            samples = samples * self._gain
        return self._detector.feed(samples)

    def _event(self, item: Heard, newest: _Anchor) -> Event:
        start = self._position(item.start)
        started_at_s = self._unix(start, newest)
        if not isinstance(item, Detection):
            return ToneMissed(self.channel_id, item, started_at_s)
        tone = self._tones.get(item.tone_id)
        ended_at_s = self._unix(self._position(item.end), newest)
        if tone is None:
            name = item.tone_id or _name(item)
            return ToneDetected(self.channel_id, item, started_at_s, ended_at_s, start, name)
        return ToneDetected(
            self.channel_id,
            item,
            started_at_s,
            ended_at_s,
            start,
            tone.name,
            tone.alert,
            tone.record_length_s,
            tone.priority,
        )

    def _position(self, ear_sample: int) -> int:
        return (self._begin or 0) + ear_sample * _RATIO

    def _unix(self, position: int, newest: _Anchor) -> float:
        return newest.at_s - (newest.position - position) / RATE_HZ + self._unix_offset()


def _bounded(heard: list[Heard]) -> list[Heard]:
    """Every detection, and the first near misses: one tone can be near a thousand definitions at once."""
    misses = [item for item in heard if not isinstance(item, Detection)]
    if len(misses) <= MOST_MISSES:
        return heard
    kept = {id(item) for item in misses[:MOST_MISSES]}
    return [item for item in heard if isinstance(item, Detection) or id(item) in kept]


def _name(found: Detection) -> str:
    """What people call something that has no definition."""
    match found.kind:
        case Kind.DTMF | Kind.FIVE_TONE:
            return f"{found.system.upper() or 'DTMF'} {found.digits}"
        case Kind.CTCSS_ON:
            return f"CTCSS {found.digits} Hz on"
        case Kind.CTCSS_OFF:
            return f"CTCSS {found.digits} Hz off"
        case Kind.MDC1200:
            return f"MDC1200 unit {found.digits}"
        case Kind.NEW_TONES:
            return "unknown tones"
        case Kind.HI_LO | Kind.PULSED:
            return f"{found.kind.replace('_', '-')} alert"
        case _:
            return found.kind.replace("_", " ")
