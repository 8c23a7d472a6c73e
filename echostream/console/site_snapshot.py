"""What a running gateway says of its microphones over the network and of its recorder."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from echostream.gateway import Gateway
from echostream.network.esp32_status import DeviceStatus

Statuses = Sequence[DeviceStatus]
"""What the relay tells; taken once, and looked at twice."""
LOOK_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class AirSnapshot:
    """How one microphone's present stream gets onto the air. delay_ms_p50, delay_ms_p99: from its newest
    arrival; block_ms: what the device itself makes its samples wait; underruns: holes."""

    delay_ms_p50: float
    delay_ms_p99: float
    block_ms: float
    underruns: int


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One microphone over the network at one moment.

    talking: it is on the air of its channel, or would be. for_s: how long it has been there, or away; None:
    never seen. missing_s: audio that is missing in this stream; ppm: its clock against ours, None: not known
    yet; error_ms: how well its times are known. late_blocks: those that its channel did not take in time.
    air: None for one that does not talk on a channel.
    """

    name: str
    label: str
    connected: bool
    quarantined: bool
    channel: str
    transmit: str
    talking: bool
    recorded: bool
    rate_hz: int
    for_s: float | None
    samples: int
    missing_s: float
    gaps: int
    ppm: float | None
    error_ms: float | None
    peak_dbfs: float | None
    connections: int
    late_blocks: int
    detail: str
    air: AirSnapshot | None


@dataclass(frozen=True, slots=True)
class RecorderSnapshot:
    """What is being recorded now. writing: files that are open; following: streams and channels.

    lost_s: audio that found its queue full; waiting: closed recordings that are still to be filed or indexed;
    deleted: by age and room, since the start.
    """

    directory: str
    writing: int
    following: int
    pages: int
    pages_failed: int
    lost_s: float
    filed: int
    waiting: int
    deleted: int


def device_snapshots(gateway: Gateway, statuses: Statuses | None = None) -> list[DeviceSnapshot]:
    """Those with an entry in their order, then others that are or were there. From any thread."""
    if statuses is None:
        statuses = _statuses(gateway)
    now = time.monotonic()
    talking: set[str] = set()
    late: dict[str, int] = {}
    air: dict[str, AirSnapshot] = {}
    for runtime in gateway.channels:
        for sink in runtime.devices.sinks:
            name, reader = sink.info.name, sink.voice.air
            late[name] = late.get(name, 0) + sink.dropped
            delays = reader.delay_ms(50), reader.delay_ms(99)
            air[name] = AirSnapshot(*delays, reader.block_ms, reader.underruns)
            if sink.voice.active:
                talking.add(name)
    sources = gateway.records.recorder.sources if gateway.records is not None else []
    recorded = {source.name for source in sources if source.kind in ("device", "quarantine") and source.path}
    return [
        DeviceSnapshot(
            name=device.name,
            label=device.label,
            connected=device.connected,
            quarantined=device.quarantined,
            channel=device.channel or "",
            transmit=device.transmit,
            talking=device.connected and device.name in talking,
            recorded=device.recorded or device.name in recorded,
            rate_hz=device.rate_hz,
            for_s=None if device.since_s is None else now - device.since_s,
            samples=device.samples,
            missing_s=device.missing_s,
            gaps=device.gaps,
            ppm=device.ppm,
            error_ms=device.error_ms,
            peak_dbfs=device.peak_dbfs,
            connections=device.connections,
            late_blocks=late.get(device.name, 0),
            detail=device.detail,
            air=air.get(device.name),
        )
        for device in statuses
    ]


def recorder_snapshot(gateway: Gateway, statuses: Statuses | None = None) -> RecorderSnapshot | None:
    """None: nothing is recorded. From any thread."""
    records = gateway.records
    if records is None:
        return None
    sources = records.recorder.sources
    # What other processes of the relay record; the gateway's own recorder knows nothing of it.
    if statuses is None:
        statuses = _statuses(gateway)
    elsewhere = sum(device.recorded for device in statuses)
    elsewhere_s = sum(device.lost_s for device in statuses)
    return RecorderSnapshot(
        directory=str(records.directory),
        writing=sum(1 for source in sources if source.path) + elsewhere,
        following=len(sources) + elsewhere,
        pages=records.pages.begun,
        pages_failed=records.pages.failed,
        lost_s=sum(source.lost_s for source in sources) + records.pages.lost_s + elsewhere_s,
        filed=records.filing.filed,
        waiting=records.filing.waiting + records.index.stats["waiting"],
        deleted=records.retention.deleted,
    )


def _statuses(gateway: Gateway) -> Statuses:
    return [] if gateway.microphones is None else gateway.microphones.relay.devices()


class SiteWatch:
    """The same for a view that is drawn often: with a thousand microphones a look costs ten milliseconds."""

    def __init__(self) -> None:
        self._devices: list[DeviceSnapshot] = []
        self._recorder: RecorderSnapshot | None = None
        self._next_s = 0.0

    def look(self, gateway: Gateway) -> tuple[list[DeviceSnapshot], RecorderSnapshot | None]:
        """As it is now, or was up to half a second ago."""
        now = time.monotonic()
        if now >= self._next_s:
            self._next_s = now + LOOK_EVERY_S
            statuses = _statuses(gateway)
            self._devices = device_snapshots(gateway, statuses)
            self._recorder = recorder_snapshot(gateway, statuses)
        return self._devices, self._recorder


# ---- the summary


def devices_summary(gateway: Gateway) -> dict[str, object]:
    """Microphones by name; empty while esp32.enabled is false."""
    return {device.name: _device_summary(device) for device in device_snapshots(gateway)}


def relay_summary(gateway: Gateway) -> dict[str, object] | None:
    """The relay's counters since its start; None: there is none."""
    return None if gateway.microphones is None else asdict(gateway.microphones.relay.counters)


def recorder_summary(gateway: Gateway) -> dict[str, object] | None:
    """None: nothing is recorded."""
    recorder = recorder_snapshot(gateway)
    records = gateway.records
    if recorder is None or records is None:
        return None
    return {
        "recordings": recorder.pages,
        "failed": recorder.pages_failed,
        "lost_s": round(recorder.lost_s, 3),
        "following": recorder.following,
        "filed": recorder.filed,
        "filing_failed": records.filing.failed,
        "waiting": recorder.waiting,
        "deleted": recorder.deleted,
        "index": records.index.stats,
        "slowest_sync_s": round(records.sync.slowest_s, 3),
    }


def _device_summary(device: DeviceSnapshot) -> dict[str, object]:
    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 1)

    air = device.air
    on_air = None if air is None else {name: rounded(value) for name, value in asdict(air).items()}
    return {
        "connected": device.connected,
        "quarantined": device.quarantined,
        "channel": device.channel,
        "transmit": device.transmit,
        "connections": device.connections,
        "rate_hz": device.rate_hz,
        "samples": device.samples,
        "missing_s": round(device.missing_s, 3),
        "gaps": device.gaps,
        "ppm": rounded(device.ppm),
        "error_ms": rounded(device.error_ms),
        "peak_dbfs": rounded(device.peak_dbfs),
        "late_blocks": device.late_blocks,
        "detail": device.detail,
        "air": on_air,
    }
