"""Group `network`: the way out, names, the control server, and the way of the audio."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from echostream.config.models import Config
from echostream.config.secrets import read_secret
from echostream.doctor.lookup import NoAddress, addresses
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.session import Session
from echostream.doctor.world import World
from echostream.errors import ConfigError, SecretError
from echostream.network.ws_connection import ConnectionEnded, Endpoint, Unanswered

ROUTE: Final = Kind("network.route", Level.OK, "the way out is {device}{gateway}")
NO_ROUTE: Final = Kind(
    "network.no_route",
    Level.WARNING,
    "there is no way out of this network: no default route",
    "`ip addr` and `ip route` show what there is; is the cable plugged in, is the Wi-Fi joined?",
)
ERRORS: Final = Kind(
    "network.errors",
    Level.WARNING,
    "{device} has counted {errors} errors in {packets} packets",
    "another cable, another port of the switch; with Wi-Fi a better place or an antenna",
)
WEAK: Final = Kind(
    "network.weak",
    Level.WARNING,
    "Wi-Fi on {device} is weak: {dbm:.0f} dBm",
    "a cable; else a better place, or an antenna outside of the metal case",
)
WIFI: Final = Kind("network.wifi", Level.OK, "Wi-Fi on {device}: {dbm:.0f} dBm")
NAME: Final = Kind("network.name", Level.OK, "{host} is {address} ({ms:.0f} ms)")
NO_NAME: Final = Kind(
    "network.no_name",
    Level.FAILURE,
    "{host} has no address: {why}",
    "is the name right, and does the name server work ({servers})? `getent hosts {host}` asks the same way",
)
SLOW_NAME: Final = Kind(
    "network.slow_name",
    Level.WARNING,
    "{host} took {ms:.0f} ms to look up",
    "the first name server may be dead ({servers}): the order is set in /etc/resolv.conf or NetworkManager",
)
SERVER: Final = Kind(
    "network.server",
    Level.OK,
    "the control server {where} took the connection in {connect_ms:.0f} ms and offered audio after "
    "{offer_ms:.0f} ms; a ping takes {ping_ms:.0f} ms",
)
NO_SERVER: Final = Kind(
    "network.no_server",
    Level.FAILURE,
    "nobody answers at {where}: {why}",
    "is control_server.url right, does the server run, and does a firewall let this machine through?",
)
REFUSED: Final = Kind(
    "network.refused",
    Level.FAILURE,
    "the control server {where}: {why}",
    "{remedy}",
)
NO_KEY: Final = Kind(
    "network.no_key",
    Level.FAILURE,
    "the server offers no key and the configuration has none: nothing can be sent or played",
    "name the pre-shared key in control_server.aes_key (docs/configuration.md, References to secrets)",
)
SLOW_SERVER: Final = Kind(
    "network.slow_server",
    Level.WARNING,
    "a ping to the control server takes {ping_ms:.0f} ms",
    "look at the uplink: who else uses it, and is it a mobile network? Key-up takes one such time longer",
)
SECRET: Final = Kind("network.secret", Level.NOTE, "not tried: {why}", "see the group configuration")
WEAK_DBM: Final = -70.0
SLOW_NAME_MS: Final = 1000.0
SLOW_PING_MS: Final = 300.0
ERROR_SHARE: Final = 1e-3
_REMEDIES: Final = (
    ("certificate", "see the group certificates; control_server.tls.ca_file names an authority of your own"),
    (
        "pinned",
        "control_server.tls.fingerprint_sha256 is of another certificate: compare it with the server's",
    ),
    ("status 401", "the server wants another token: control_server.token, token_header, token_query"),
    ("status 403", "the server does not let this gateway in: control_server.token, or its own list"),
    ("status 404", "the path in control_server.url is not the server's"),
    ("nothing came", "it is no control server of protocol 1, or it is overloaded: look at its log"),
)


@dataclass(frozen=True, slots=True)
class Name:
    """A host that the configuration names."""

    place: str
    host: str
    port: int


def checks(world: World) -> list[Check]:
    """Of this group."""
    found = [Check("network", "route", _route)]
    if world.config is not None:
        found += [
            Check("network", f"name of {name.host}", _name_check(name), within_s=10.0)
            for name in names(world.config)
        ]
        found.append(Check("network", "server", _server, within_s=30.0))
    return found


def names(config: Config) -> list[Name]:
    """Each host once."""
    found = []
    for place, url in (
        ("control_server.url", config.control_server.url),
        ("s3.endpoint_url", config.s3.endpoint_url if config.s3.enabled else None),
    ):
        parts = urlsplit(url or "")
        if parts.hostname:
            found.append(Name(place, parts.hostname, parts.port or 443))
    if config.mqtt.enabled:
        found.append(Name("mqtt.host", config.mqtt.host, config.mqtt.port))
    return list({name.host: name for name in reversed(found)}.values())[::-1]


def _route(world: World) -> list[Finding]:
    """As /proc/net/route has it: addresses in hexadecimal, in the machine's byte order."""
    devices: dict[str, str] = {}
    for line in world.text("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[1] == fields[7] == "00000000":
            address = socket.inet_ntoa(int(fields[2], 16).to_bytes(4, "little"))
            devices.setdefault(fields[0], f" by {address}" if address != "0.0.0.0" else "")
    for line in world.text("/proc/net/ipv6_route").splitlines():
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            devices.setdefault(fields[9], " (IPv6)")
    if not devices:
        return [NO_ROUTE.at()]
    findings = [ROUTE.at(device=device, gateway=gateway) for device, gateway in devices.items()]
    return findings + [finding for device in devices for finding in _device(device, world)]


def _device(device: str, world: World) -> list[Finding]:
    folder = f"/sys/class/net/{device}/statistics"
    errors = sum(world.number(f"{folder}/{name}") or 0 for name in ("rx_errors", "tx_errors"))
    packets = sum(world.number(f"{folder}/{name}") or 0 for name in ("rx_packets", "tx_packets"))
    findings = []
    if packets and errors / packets > ERROR_SHARE:
        findings.append(ERRORS.at(device=device, errors=errors, packets=packets))
    match = re.search(
        rf"^\s*{re.escape(device)}:\s+\S+\s+\S+\s+(-?[\d.]+)", world.text("/proc/net/wireless"), re.M
    )
    if match is not None:
        dbm = float(match[1])
        findings.append((WEAK if dbm < WEAK_DBM else WIFI).at(device=device, dbm=dbm))
    return findings


def _name_check(name: Name) -> Callable[[World], list[Finding]]:
    return lambda world: _name(name, world)


def _name(name: Name, world: World) -> list[Finding]:
    began_s = time.monotonic()
    servers = (
        ", ".join(re.findall(r"^nameserver\s+(\S+)", world.text("/etc/resolv.conf"), re.M)) or "none named"
    )
    try:
        found = addresses(name.host, name.port, socket.SOCK_STREAM)
    except NoAddress as error:
        return [NO_NAME.at(name.place, host=name.host, why=error, servers=servers)]
    ms = 1000 * (time.monotonic() - began_s)
    if ms > SLOW_NAME_MS:
        return [SLOW_NAME.at(name.place, host=name.host, ms=ms, servers=servers)]
    return [NAME.at(name.place, host=name.host, address=found[0][1][0], ms=ms)]


def _server(world: World) -> list[Finding]:
    config = world.config
    assert config is not None
    place = "control_server.url"
    try:
        token = config.control_server.token
        secret = read_secret(token, "control_server.token") if token is not None else None
        endpoint = Endpoint(config.control_server, secret)
    except SecretError as error:
        return [SECRET.at("control_server.token", why=error)]
    except ConfigError as error:
        return [REFUSED.at(place, where="", why=error, remedy="mend it, then: echostream config check FILE")]
    try:
        with Session(endpoint) as session:
            offer = session.offer()
            ping_ms = session.ping_ms()
            told: dict[str, Any] = {
                "where": endpoint.shown,
                "connect_ms": session.connect_ms,
                "offer_ms": session.offer_ms,
                "ping_ms": ping_ms,
            }
    except (NoAddress, Unanswered) as error:
        return [NO_SERVER.at(place, where=endpoint.shown, why=error)]
    except ConnectionEnded as error:
        return [REFUSED.at(place, where=endpoint.shown, why=error, remedy=_remedy(str(error)))]
    findings = [SERVER.at(place, None, **told)]
    if ping_ms > SLOW_PING_MS:
        findings.append(SLOW_SERVER.at(place, ping_ms=ping_ms))
    if offer.key is None and config.control_server.aes_key is None:
        findings.append(NO_KEY.at("control_server.aes_key"))
    return findings


def _remedy(why: str) -> str:
    return next((remedy for sign, remedy in _REMEDIES if sign in why), "the server's log says more")
