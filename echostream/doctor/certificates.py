"""Group `certificates`: until when the certificates of all servers, and those in files, still hold."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from echostream.config.models import Config
from echostream.doctor.dates import NoCertificate, Validity, validities_of_pem, validity_of_der
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World

HOLDS: Final = Kind("certificates.holds", Level.OK, "{what} holds until {date}, {days:.0f} days")
SOON: Final = Kind(
    "certificates.soon",
    Level.WARNING,
    "{what} ends on {date}, in {days:.0f} days",
    "{remedy}",
)
ENDED: Final = Kind("certificates.ended", Level.FAILURE, "{what} ended on {date}", "{remedy}")
NOT_YET: Final = Kind(
    "certificates.not_yet",
    Level.FAILURE,
    "{what} begins to hold on {date} only",
    "look at this machine's clock first (`timedatectl`), then at the certificate",
)
NOT_SEEN: Final = Kind(
    "certificates.not_seen",
    Level.NOTE,
    "the certificate of {what} could not be looked at: {why}",
    "look at what the groups network, mqtt and s3 say of it",
)
NO_FILE: Final = Kind(
    "certificates.no_file",
    Level.FAILURE,
    "{path} cannot be used: {why}",
    "put the PEM file there, or name another",
)
NONE: Final = Kind(
    "certificates.none", Level.NOTE, "no server is reached over TLS, and no certificate is named"
)
SOON_DAYS: Final = 30
CONNECT_S: Final = 5.0
BUNDLE: Final = 5
"""A file with more certificates is a bundle of authorities, in which some have always ended."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server that is reached over TLS. place: in the configuration. server_name: for SNI."""

    place: str
    what: str
    host: str
    port: int
    server_name: str
    alpn: str | None = None


def checks(world: World) -> list[Check]:
    """Of this group."""
    config = world.config
    if config is None:
        return []
    servers = [
        Check("certificates", endpoint.place, _server_check(endpoint), within_s=15.0)
        for endpoint in endpoints(config)
    ]
    return [*servers, Check("certificates", "files", _files)]


def endpoints(config: Config) -> list[Endpoint]:
    """Those that are switched on."""
    found = []
    server = urlsplit(config.control_server.url)
    if server.scheme == "wss" and server.hostname:
        name = config.control_server.tls.server_name or server.hostname
        found.append(
            Endpoint("control_server.url", "the control server", server.hostname, server.port or 443, name)
        )
    mqtt = config.mqtt
    if mqtt.enabled and mqtt.tls is not None:
        name = mqtt.tls.server_name or mqtt.host
        found.append(Endpoint("mqtt.host", "the broker", mqtt.host, mqtt.port, name, mqtt.tls.alpn))
    if config.s3.enabled:
        url = urlsplit(
            config.s3.endpoint_url or f"https://s3.{config.s3.region or 'us-east-1'}.amazonaws.com"
        )
        if url.scheme == "https" and url.hostname:
            place = "s3.endpoint_url" if config.s3.endpoint_url else "s3.bucket"
            found.append(Endpoint(place, "the bucket's server", url.hostname, url.port or 443, url.hostname))
    return found


def _server_check(endpoint: Endpoint) -> Callable[[World], list[Finding]]:
    return lambda world: _server(endpoint, world)


def _server(endpoint: Endpoint, world: World) -> list[Finding]:
    try:
        der = shown_by(endpoint)
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        return [NOT_SEEN.at(endpoint.place, what=endpoint.what, why=why)]
    try:
        validity = validity_of_der(der)
    except NoCertificate as error:
        return [NOT_SEEN.at(endpoint.place, what=endpoint.what, why=error)]
    remedy = f"whoever runs {endpoint.what} renews it; certbot and its like do so by themselves when they run"
    return [_told(validity, endpoint.place, f"the certificate of {endpoint.what}", remedy, world)]


def shown_by(endpoint: Endpoint) -> bytes:
    """The certificate that the server shows, DER, whether it is to be trusted or not. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if endpoint.alpn:
        context.set_alpn_protocols([endpoint.alpn])
    raw = socket.create_connection((endpoint.host, endpoint.port), CONNECT_S)
    with contextlib.closing(raw), context.wrap_socket(raw, server_hostname=endpoint.server_name) as tls:
        return tls.getpeercert(binary_form=True) or b""


def _files(world: World) -> list[Finding]:
    config = world.config
    if config is None:
        return []
    named = {"control_server.tls.ca_file": config.control_server.tls.ca_file}
    if config.mqtt.enabled and config.mqtt.tls is not None:
        named["mqtt.tls.ca_file"] = config.mqtt.tls.ca_file
        named["mqtt.tls.cert_file"] = config.mqtt.tls.cert_file
    if config.s3.enabled:
        named["s3.ca_file"] = config.s3.ca_file
    findings = [_file(place, Path(path), world) for place, path in named.items() if path is not None]
    return findings if findings or endpoints(config) else [NONE.at()]


def _file(place: str, path: Path, world: World) -> Finding:
    try:
        known = validities_of_pem(path.read_bytes())
    except OSError as error:
        return NO_FILE.at(place, path=path, why=error.strerror or error)
    except NoCertificate as error:
        return NO_FILE.at(place, path=path, why=error)
    ends = max if len(known) > BUNDLE else min
    validity = ends(known, key=lambda one: one.ends)
    return _told(validity, place, str(path), f"get a new one, and put it into {path}", world)


def _told(validity: Validity, place: str, what: str, remedy: str, world: World) -> Finding:
    now = datetime.fromtimestamp(world.now_us() / 1e6, UTC)
    days = validity.days_left(now)
    data = {"ends": validity.ends.isoformat(), "begins": validity.begins.isoformat(), "days": round(days, 1)}
    date = f"{(validity.begins if now < validity.begins else validity.ends):%Y-%m-%d}"
    if now < validity.begins:
        kind = NOT_YET
    elif days < 0:
        kind = ENDED
    elif days < SOON_DAYS:
        kind = SOON
    else:
        kind = HOLDS
    return kind.at(place, data, what=what, date=date, days=days, remedy=remedy)
