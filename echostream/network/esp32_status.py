"""What the relay tells of its devices and of itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import NamedTuple

from echostream.audio.sample_forms import SampleFormat


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device, as it is now. Times: monotonic seconds.

    since_s: when it came, or went; None: never seen. detail: why it went or is refused. samples: of this
    stream, without what is missing; missing_s, gaps: audio that is missing in it. ppm: how much faster its
    clock runs than ours; error_ms: how well the times of its samples are known. peak_dbfs: of the last block.
    speed: times real time, over the stream. connections: since the relay started. recorded: its audio is
    being written; lost_s: so much of it found the recorder's queue full. These two only of a device that
    another process serves: of the others the recorder here knows.
    """

    name: str
    label: str
    connected: bool
    known: bool
    quarantined: bool
    address: str = ""
    over: str = "tcp"
    rate_hz: int = 0
    sample_format: SampleFormat = "s16le"
    channel: str | None = None
    transmit: str = "never"
    stream: int = 0
    since_s: float | None = None
    heard_s: float | None = None
    samples: int = 0
    bytes: int = 0
    missing_s: float = 0.0
    gaps: int = 0
    speed: float = 0.0
    ppm: float | None = None
    error_ms: float | None = None
    peak_dbfs: float | None = None
    connections: int = 0
    recorded: bool = False
    lost_s: float = 0.0
    detail: str = ""


class DeviceGlance(NamedTuple):
    """What of it is looked at every second, of a thousand devices: fields as in DeviceStatus."""

    name: str
    label: str
    channel: str | None
    known: bool
    connected: bool
    quarantined: bool
    since_s: float | None = None
    peak_dbfs: float | None = None
    ppm: float | None = None
    lost_s: float = 0.0


def glance_of(one: DeviceStatus) -> DeviceGlance:
    return DeviceGlance(
        one.name,
        one.label,
        one.channel,
        one.known,
        one.connected,
        one.quarantined,
        one.since_s,
        one.peak_dbfs,
        one.ppm,
        one.lost_s,
    )


@dataclass(slots=True)
class RelayCounters:
    """Since the start. refused: by reason. throttled: reads put off because a device sent too fast.

    sink_errors: bugs of who takes the audio; its stream goes on without it.
    """

    accepted: int = 0
    admitted: int = 0
    replaced: int = 0
    ended: int = 0
    throttled: int = 0
    bytes: int = 0
    datagrams: int = 0
    datagrams_lost: int = 0
    datagrams_late: int = 0
    datagrams_bad: int = 0
    sink_errors: int = 0
    refused: dict[str, int] = field(default_factory=dict)


def sum_of(parts: Iterable[RelayCounters]) -> RelayCounters:
    """All of them together."""
    total = RelayCounters()
    for part in parts:
        for one in fields(RelayCounters):
            value = getattr(part, one.name)
            if isinstance(value, dict):
                for reason, count in list(value.items()):
                    total.refused[reason] = total.refused.get(reason, 0) + count
            else:
                setattr(total, one.name, getattr(total, one.name) + value)
    return total
