"""Group `network`, second part: how the audio fares on its way to the server and back."""

from __future__ import annotations

import secrets
from typing import Final

from echostream.config.secrets import read_secret
from echostream.doctor.lookup import NoAddress
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.udp_probe import Closed, NotRelayed, Way, measure
from echostream.doctor.world import World
from echostream.errors import ConfigError
from echostream.network.ws_connection import ConnectionEnded, Endpoint, Unanswered
from echostream.wire.signalling_v1 import Identity

GOOD: Final = Kind(
    "network.udp",
    Level.OK,
    "audio to the server and back: {lost:.1f} % lost of {sent}, {p50:.0f} ms ({p95:.0f} ms for the slowest "
    "twentieth), jitter {jitter:.1f} ms",
)
LOSSY: Final = Kind(
    "network.udp_loss",
    Level.WARNING,
    "{lost:.1f} % of the audio is lost on its way to the server and back ({sent} packets)",
    "look at the uplink (Wi-Fi, a full line); up to about 10 % is made up for, audible beyond",
)
BAD: Final = Kind(
    "network.udp_bad",
    Level.FAILURE,
    "{lost:.1f} % of the audio is lost on its way to the server and back ({sent} packets)",
    "look at the uplink (Wi-Fi, a full line, a firewall that limits UDP)",
)
LATE: Final = Kind(
    "network.udp_late",
    Level.WARNING,
    "audio takes {p50:.0f} ms to the server and back, {p95:.0f} ms for the slowest twentieth",
    "audio.jitter_max_ms has to cover the difference of the two; look at the uplink",
)
BLOCKED: Final = Kind(
    "network.udp_blocked",
    Level.FAILURE,
    "of {sent} packets to the server none came back",
    "a firewall between here and the server has to let UDP through both ways, to any port of the server",
)
CLOSED: Final = Kind(
    "network.udp_closed",
    Level.FAILURE,
    "nobody listens at the UDP port that the server offers: {why}",
    "is udp_host in the server's settings an address that this machine reaches?",
)
NOT_MEASURED: Final = Kind(
    "network.udp_not_measured",
    Level.NOTE,
    "the way of the audio was not measured: the server opens no channel {channel!r} ({why})",
    "name one where three seconds without speech disturb nobody: echostream doctor --udp-channel ID",
)
UNREACHED: Final = Kind("network.udp_unreached", Level.NOTE, "the way of the audio was not measured: {why}")
LOSSY_PERCENT: Final = 3.0
BAD_PERCENT: Final = 15.0
LATE_MS: Final = 400.0


def checks(world: World) -> list[Check]:
    """Of the group `network`."""
    return [Check("network", "audio", _audio, within_s=40.0, slow=True)] if world.config is not None else []


def _audio(world: World) -> list[Finding]:
    config = world.config
    assert config is not None
    place = "control_server"
    channel = world.udp_channel or f"echostream-doctor-{secrets.token_hex(4)}"
    gateway = config.gateway
    identity = Identity(gateway.affiliation_id, gateway.user_name, gateway.agency_name)
    try:
        token = config.control_server.token
        secret = read_secret(token, "control_server.token") if token is not None else None
        way = measure(Endpoint(config.control_server, secret), identity, channel)
    except NotRelayed as error:
        return [NOT_MEASURED.at(place, channel=channel, why=error)]
    except Closed as error:
        return [CLOSED.at(place, why=error)]
    except (ConfigError, NoAddress, Unanswered, ConnectionEnded) as error:
        return [UNREACHED.at(place, why=error)]
    return judge(way, place)


def judge(way: Way, place: str) -> list[Finding]:
    """What the figures mean."""
    if not way.delays_ms:
        return [BLOCKED.at(place, sent=way.sent)]
    figures = {
        "sent": way.sent,
        "lost": way.lost_percent,
        "p50": way.percentile_ms(0.5),
        "p95": way.percentile_ms(0.95),
        "jitter": way.jitter_ms,
        "turned": way.turned,
        "doubled": way.doubled,
    }
    lost = way.lost_percent
    kind = BAD if lost > BAD_PERCENT else LOSSY if lost > LOSSY_PERCENT else GOOD
    found = [kind.at(place, None, **figures)]
    if way.percentile_ms(0.95) > LATE_MS:
        found.append(LATE.at(place, None, **figures))
    return found
