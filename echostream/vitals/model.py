"""How the gateway is at one moment: what is published as health and levels, and what alerts look at."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ChannelVitals:
    """One channel. level_dbfs, peak_dbfs: what its card heard since the last look; out_dbfs: what it played.
    clipped: share of frames at full scale since the last look, 0 to 1. quiet_s: for how long the card has
    heard nothing above the noise that a live input always has (-80 dBFS); 0 while it is away, and where
    there is none. drift_ppm: how much faster the card's clock runs than ours; 0 until that is known.
    transmitting_s: how long this transmission has lasted, 0 when there is none; stuck: the time-out timer
    ended it. Gains in dB, as they are now."""

    channel_id: str
    name: str
    online: bool
    phase: str
    transmitting_s: float
    stuck: bool
    talkers: tuple[str, ...]
    members: int
    playing: bool
    capture_present: bool
    playback_present: bool
    level_dbfs: float
    peak_dbfs: float
    out_dbfs: float
    clipped: float
    quiet_s: float
    drift_ppm: float
    input_gain_db: float = 0.0
    output_gain_db: float = 0.0
    microphone_muted: bool = False
    loudspeaker_muted: bool = False
    recording: bool = False
    has_card: bool = True


@dataclass(frozen=True, slots=True)
class DeviceVitals:
    """One ESP32 microphone, but those that are switched off. known: it has an entry. level_dbfs: the peak of
    its last block of samples, None while it is away. quiet_s as with a channel; clipped: share at full scale
    of the blocks looked at in the last ten looks. for_s: how long it has been there, or away; None: never
    seen since the start."""

    name: str
    label: str
    channel_id: str
    known: bool
    connected: bool
    quarantined: bool
    talking: bool
    level_dbfs: float | None
    quiet_s: float
    clipped: float
    ppm: float | None
    for_s: float | None


@dataclass(frozen=True, slots=True)
class BoardVitals:
    """The machine. None: it does not say. under_voltage: now; was_under_voltage: since it booted.
    disk_bytes, disk_free_bytes: of the recordings' disk, 0 where it is not there or does not answer.
    disk_full_s: when recording ends because it is full, if it goes on like this; None: not in sight, as long
    as retention keeps it so. load: mean of the last minute. memory_mb, cpu: of this process; cpu of one core.
    uptime_s: of the machine."""

    temperature_c: float | None
    under_voltage: bool | None
    was_under_voltage: bool | None
    throttled: bool | None
    clock_synchronised: bool | None
    clock_error_ms: float | None
    disk_bytes: int
    disk_free_bytes: int
    disk_full_s: float | None
    load: float
    memory_mb: float
    cpu: float
    uptime_s: float


@dataclass(frozen=True, slots=True)
class LinkVitals:
    """One way out: "server", "mqtt", "s3", "alerts". waiting: what has not gone yet; oldest_s: how long that
    has waited; dropped: what gave way since the start. detail: why it is down; "" when it is up."""

    name: str
    up: bool
    for_s: float
    waiting: int = 0
    oldest_s: float = 0.0
    dropped: int = 0
    sent: int = 0
    bytes_waiting: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Vitals:
    """All of it. at_us: Unix microseconds; now_s: monotonic seconds."""

    at_us: int
    now_s: float
    gateway: str
    version: str
    channels: tuple[ChannelVitals, ...]
    devices: tuple[DeviceVitals, ...]
    board: BoardVitals
    links: tuple[LinkVitals, ...]
    recorder_lost_s: float = 0.0
    recorder_waiting: int = 0
    worker_restarts: int = 0
