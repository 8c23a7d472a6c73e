"""What a channel expects of whatever makes or takes its audio: a card, a file, a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from echostream.audio.format import Frame, Samples

Side = Literal["mono", "left", "right"]


@dataclass(frozen=True, slots=True)
class CardSpec:
    """Which card (named as in the configuration, never an index), which half of it, how long a frame is."""

    name: str
    side: Side = "mono"
    frame_ms: int = 20


class AudioSource(Protocol):
    """Frames in, one after another, at the pace of the source's own clock."""

    def read(self) -> Frame:
        """Block until a frame is complete. Raises DeviceLost (it went away), SourceClosed (after close())."""
        ...

    def close(self) -> None:
        """Free the device and any reader blocked on it. Idempotent, callable from another thread."""
        ...


class AudioSink(Protocol):
    """Frames out, at the pace of the sink's own clock."""

    def wait_for_room(self) -> None:
        """Block until the device wants a frame, so that it is mixed at the last moment. Raises as write()."""
        ...

    def write(self, samples: Samples) -> None:
        """Block until the device took the frame. Raises DeviceLost, SourceClosed."""
        ...

    def close(self) -> None:
        """Free the device and any writer blocked on it. Idempotent, callable from another thread."""
        ...


@runtime_checkable
class TellsLateness(Protocol):
    """A source or sink whose waits are timed: `on_wake(late_s)` after each, on the thread that waited."""

    on_wake: Callable[[float], None] | None
