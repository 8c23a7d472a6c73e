"""What a look at the gateway says, as it is published."""

from __future__ import annotations

from dataclasses import asdict
from operator import attrgetter
from typing import Final

from echostream.vitals.model import ChannelVitals, DeviceVitals, LinkVitals, Vitals

_CHANNEL_STATE: Final = (
    *("name", "online", "stuck", "members", "playing", "capture_present", "playback_present"),
    *("has_card", "recording", "input_gain_db", "output_gain_db", "microphone_muted", "loudspeaker_muted"),
)
_DEVICE_STATE: Final = ("label", "channel_id", "connected", "quarantined", "talking")


device_key: Final = attrgetter(*_DEVICE_STATE)
"""What counts of a device for its state, quickly: there may be a thousand."""


def channel_state(channel: ChannelVitals) -> dict[str, object]:
    """What is so, without what changes all the time."""
    return {
        "channel_id": channel.channel_id,
        **{name: getattr(channel, name) for name in _CHANNEL_STATE},
        "transmitting": channel.transmitting_s > 0,
        "talkers": list(channel.talkers),
    }


def channel_levels(channel: ChannelVitals) -> dict[str, object]:
    return {
        "channel_id": channel.channel_id,
        "level_dbfs": _tenths(channel.level_dbfs),
        "peak_dbfs": _tenths(channel.peak_dbfs),
        "out_dbfs": _tenths(channel.out_dbfs),
        "clipped": round(channel.clipped, 4),
        "quiet_s": _tenths(channel.quiet_s),
        "drift_ppm": _tenths(channel.drift_ppm),
    }


def device_state(device: DeviceVitals) -> dict[str, object]:
    return {"name": device.name, **{name: getattr(device, name) for name in _DEVICE_STATE}}


def device_levels(device: DeviceVitals) -> dict[str, object]:
    return {
        "name": device.name,
        "level_dbfs": _tenths(device.level_dbfs),
        "clipped": round(device.clipped, 4),
        "quiet_s": _tenths(device.quiet_s),
        "ppm": _tenths(device.ppm),
    }


def link_state(link: LinkVitals) -> dict[str, object]:
    return {"up": link.up, "detail": link.detail}


def health(vitals: Vitals) -> dict[str, object]:
    """The machine, the ways out with what waits there, and the recorder."""
    board = vitals.board
    values = {key: _tenths(value) for key, value in asdict(board).items()}
    del values["cpu"]
    values["cpu_percent"] = _tenths(100 * board.cpu)
    values["disk_free_percent"] = (
        _tenths(100 * board.disk_free_bytes / board.disk_bytes) if board.disk_bytes else None
    )
    links = {link.name: _link_figures(link) for link in vitals.links}
    return {
        "device_id": vitals.gateway,
        "version": vitals.version,
        **values,
        "links": links,
        "waiting": sum(link.waiting for link in vitals.links if link.name == "mqtt"),
        "channels_online": sum(channel.online for channel in vitals.channels),
        "channels": len(vitals.channels),
        "devices_connected": sum(device.connected for device in vitals.devices),
        "devices": len(vitals.devices),
        "recorder_lost_s": _tenths(vitals.recorder_lost_s),
        "recorder_waiting": vitals.recorder_waiting,
        "worker_restarts": vitals.worker_restarts,
    }


def _link_figures(link: LinkVitals) -> dict[str, object]:
    return {key: _tenths(value) for key, value in asdict(link).items() if key != "name"}


def _tenths(value: object) -> object:
    return round(value, 1) if isinstance(value, float) else value
