"""What a device's stream over the network hands on, and to whom: its clock is its own, and its rate too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from echostream.audio.format import Samples

GapCause = Literal[
    "device gone",  # the connection ended, or the device was silent
    "device lost audio",  # it sent less than time asks for: its own buffer ran over
    "packets lost",  # of the datagram form
    "overload",  # we could not keep up
    "card gone",
    "clock step",  # the wall clock was set
    "disk",  # full, failed or away
    "power cut",
    "killed",  # the process ended without closing its files; the machine went on
    "stopped",  # by order
]


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One connection of one device. name: unique, fit for a file's name; known: it has an entry of its own.

    stream: counts up with each connection. quarantined: recorded apart, never on the air.
    """

    name: str
    label: str
    rate_hz: int
    address: str
    stream: int
    known: bool = True
    quarantined: bool = False


@dataclass(slots=True)
class DeviceAudio:
    """A block of any length. Nobody writes into it after it was handed on.

    samples: shape (n,), int16, mono, at the stream's own rate, without gain. position: index of the first
    sample in the stream's own time: after a gap it is ahead by what is missing. ends_at_s: monotonic seconds
    at which the microphone took up the last sample, as well as is known yet. gap_s: audio that is missing
    before this block (0: none), and why. ppm: how much faster the device's clock runs than ours; None: not
    known yet. gap_at: position of the first missing sample, where it turned out late that it is: what was
    handed on since belonged gap_s later. None: the gap lies right before this block. error_ms: how far
    ends_at_s may be off; None: nobody says.
    """

    samples: Samples
    position: int
    ends_at_s: float
    gap_s: float = 0.0
    cause: GapCause | None = None
    ppm: float | None = None
    gap_at: int | None = None
    error_ms: float | None = None


class DeviceSink(Protocol):
    """Who takes a stream: the recorder, a channel. Called on the relay's thread; never blocks."""

    def audio(self, block: DeviceAudio) -> None: ...

    def ended(self, cause: GapCause) -> None:
        """No more of this stream: the connection is gone, was replaced, or the relay stops. Called once."""
        ...
