"""How a gateway is, as a test wants it: all well, but for what it names."""

from __future__ import annotations

from typing import Any

from echostream.vitals.model import BoardVitals, ChannelVitals, DeviceVitals, LinkVitals, Vitals

BOARD: dict[str, Any] = {
    "temperature_c": 50.0,
    "under_voltage": False,
    "was_under_voltage": False,
    "throttled": False,
    "clock_synchronised": True,
    "clock_error_ms": 10.0,
    "disk_bytes": 100_000_000_000,
    "disk_free_bytes": 50_000_000_000,
    "disk_full_s": None,
    "load": 0.5,
    "memory_mb": 100.0,
    "cpu": 0.2,
    "uptime_s": 1000.0,
}
CHANNEL: dict[str, Any] = {
    "online": True,
    "phase": "idle",
    "transmitting_s": 0.0,
    "stuck": False,
    "talkers": (),
    "members": 0,
    "playing": False,
    "capture_present": True,
    "playback_present": True,
    "level_dbfs": -50.0,
    "peak_dbfs": -40.0,
    "out_dbfs": -120.0,
    "clipped": 0.0,
    "quiet_s": 0.0,
    "drift_ppm": 10.0,
}
DEVICE: dict[str, Any] = {
    "label": "",
    "channel_id": "",
    "known": True,
    "connected": True,
    "quarantined": False,
    "talking": False,
    "level_dbfs": -50.0,
    "quiet_s": 0.0,
    "clipped": 0.0,
    "ppm": 5.0,
    "for_s": 100.0,
}


def a_channel(channel_id: str, **differs: Any) -> ChannelVitals:
    """A channel with a card that works."""
    return ChannelVitals(**{"channel_id": channel_id, "name": channel_id, **CHANNEL, **differs})


def a_device(name: str, **differs: Any) -> DeviceVitals:
    """A microphone that is there."""
    return DeviceVitals(**{"name": name, **DEVICE, **differs})


def a_board(**differs: Any) -> BoardVitals:
    """A machine that is well."""
    return BoardVitals(**{**BOARD, **differs})


def vitals(
    channels: tuple[ChannelVitals, ...] = (),
    devices: tuple[DeviceVitals, ...] = (),
    links: tuple[LinkVitals, ...] = (),
    **board: Any,
) -> Vitals:
    """board: what differs of the machine."""
    return Vitals(0, 0.0, "station-7", "1.0", channels, devices, a_board(**board), links)
