"""Whether a gateway runs that holds a channel's card and lines, by the health file that it writes."""

from __future__ import annotations

from pathlib import Path

from echostream.instance import InstanceError, runtime_dir
from echostream.service.health import ChannelHealth, HealthError, find_health, read_health


def holding(instance: str, channel_id: str) -> Path | None:
    """The health file of a gateway that runs now and has this channel's card; None where there is none."""
    try:
        directory: Path | None = runtime_dir()
    except (InstanceError, OSError):
        directory = None
    path = find_health(instance, directory)
    return path if path is not None and card_held(path, channel_id) is not None else None


def card_held(path: Path, channel_id: str) -> ChannelHealth | None:
    """The channel, where a gateway that lives wrote this file and has its card."""
    try:
        health = read_health(path)
    except HealthError:
        return None
    channel = health.channels.get(channel_id)
    return channel if health.current and channel is not None and channel.card else None
