"""Who is on a channel, and who of them talks, as the control server tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from echostream.channels.channel_runtime import ChannelRuntime
from echostream.events import Member, RemoteTransmit

log = logging.getLogger(__name__)

MOST_TALKERS: Final = 64


def peers_changed(
    channels: Mapping[str, ChannelRuntime], channel_id: str, members: tuple[Member, ...]
) -> None:
    """These are on a channel now."""
    runtime = channels.get(channel_id)
    if runtime is None and channel_id == "" and len(channels) == 1:
        runtime = next(iter(channels.values()))  # the nested form may leave the channel out
    if runtime is not None:
        runtime.members = members


def remote_transmit(channels: Mapping[str, ChannelRuntime], event: RemoteTransmit) -> None:
    """Somebody began or ended to talk."""
    runtime = channels.get(event.channel_id)
    if runtime is None:
        return
    key = event.member.affiliation_id
    if event.started and len(runtime.talkers) < MOST_TALKERS:
        runtime.talkers[key] = event.member
    elif not event.started:
        runtime.talkers.pop(key, None)
    what = "talks" if event.started else "ended"
    log.info("channel %s: %s %s", event.channel_id, event.member.user_name or key, what)
