"""When a source is recorded: always, while it is loud, or while somebody transmits.

Each gate is told what came and answers what of it is wanted: [begin, end) in positions of the stream, in
order. The end of the last one is where the audio that is known ends, while the gate is `open`; otherwise
each is over. begin may lie back by `pre_roll`.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from echostream.archive.source_tap import Edge
from echostream.archive.stream_time import StreamTime
from echostream.archive.vox_gate import VoxGate
from echostream.audio.format import Samples
from echostream.config.recording_models import RecordPolicy

Span = tuple[int, int]


class Gate(Protocol):
    """pre_roll: samples that are wanted of what came before. steady: one file follows the other."""

    pre_roll: int
    steady: bool

    @property
    def open(self) -> bool: ...

    def update(self, samples: Samples, position: int, time: StreamTime) -> list[Span]: ...

    def edge(self, edge: Edge) -> None: ...

    def jump(self, position: int) -> None:
        """The stream goes on there; what lies between is missing."""
        ...


class AlwaysOpen:
    """Everything."""

    pre_roll = 0
    steady = True
    open = True

    def update(self, samples: Samples, position: int, time: StreamTime) -> list[Span]:
        return [(position, position + len(samples))]

    def edge(self, edge: Edge) -> None:
        """It makes no difference who transmits."""

    def jump(self, position: int) -> None:
        """Nor what is missing."""


class LoudGate:
    """While it is loud."""

    steady = False

    def __init__(self, policy: RecordPolicy, rate_hz: int) -> None:
        self._vox = VoxGate(policy.threshold_dbfs, policy.pre_roll_ms, policy.post_roll_ms, rate_hz)
        self.pre_roll = self._vox.pre_roll

    @property
    def open(self) -> bool:
        return self._vox.open_until >= 0

    def update(self, samples: Samples, position: int, time: StreamTime) -> list[Span]:
        return self._vox.update(samples, position)

    def edge(self, edge: Edge) -> None:
        """It is loud, or it is not."""

    def jump(self, position: int) -> None:
        self._vox.reset()


class ActivityGate:
    """While somebody transmits, with what came before and after."""

    steady = False

    def __init__(self, policy: RecordPolicy, rate_hz: int) -> None:
        self.pre_roll = rate_hz * policy.pre_roll_ms // 1000
        self._post_roll = rate_hz * policy.post_roll_ms // 1000
        self._edges: deque[Edge] = deque()
        self._begin: int | None = None
        self._end: int | None = None

    @property
    def open(self) -> bool:
        return self._begin is not None

    def edge(self, edge: Edge) -> None:
        self._edges.append(edge)

    def jump(self, position: int) -> None:
        if self._begin is not None:
            self._begin = position

    def update(self, samples: Samples, position: int, time: StreamTime) -> list[Span]:
        known = position + len(samples)
        spans: list[Span] = []
        while self._edges and time.position_at(self._edges[0].at_s) <= known:
            edge = self._edges.popleft()
            at = time.position_at(edge.at_s)
            if edge.active:
                self._close(spans, at - self.pre_roll)
                self._begin = max(0, at - self.pre_roll) if self._begin is None else self._begin
                self._end = None
            elif self._begin is not None:
                self._end = at + self._post_roll
        self._close(spans, known)
        if self._begin is not None:
            spans.append((self._begin, known))
            self._begin = known  # told so far; `open` says that it goes on
        return spans

    def _close(self, spans: list[Span], known: int) -> None:
        if self._begin is not None and self._end is not None and self._end <= known:
            spans.append((self._begin, max(self._begin, self._end)))
            self._begin = self._end = None


def gate_of(policy: RecordPolicy, rate_hz: int, edges: bool) -> Gate | None:
    """None: nothing is recorded continuously. edges: somebody tells when it transmits; a device's stream has
    nobody who does, and is taken by its level."""
    match policy.mode:
        case "continuous":
            return AlwaysOpen()
        case "vox":
            return LoudGate(policy, rate_hz)
        case "transmissions":
            return ActivityGate(policy, rate_hz) if edges else LoudGate(policy, rate_hz)
        case _:
            return None
