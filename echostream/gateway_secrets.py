"""What the configuration only refers to, read from where it says. What cannot be read costs what needs it."""

from __future__ import annotations

import logging

from echostream.config.base import Secret
from echostream.config.models import Config
from echostream.config.secrets import read_secret
from echostream.errors import SecretError, WireError
from echostream.gateway import Secrets
from echostream.publishers import PublisherSecrets
from echostream.wire.crypto import parse_key

log = logging.getLogger(__name__)


def read_secrets(config: Config) -> Secrets:
    """Resolve what the configuration refers to.

    The control server usually offers the key, so a pre-shared one that cannot be read is said and not fatal.
    """
    server = config.control_server
    key = None
    if server.aes_key is not None:
        try:
            text = read_secret(server.aes_key, "control_server.aes_key")
        except SecretError as error:
            log.warning("%s; channels transmit only while the server offers a key", error)
        else:
            key = _key(text)
    token = read_secret(server.token, "control_server.token") if server.token is not None else None
    return Secrets(key, token, _device_tokens(config), _database_url(config))


def _device_tokens(config: Config) -> dict[str, str]:
    """A token that cannot be read costs its device: nobody gets in by its name."""
    tokens: dict[str, str] = {}
    if not config.esp32.enabled:
        return tokens
    for at, device in enumerate(config.esp32.devices):
        if device.token is None or not device.enabled:
            continue
        try:
            tokens[device.name] = read_secret(device.token, f"esp32.devices[{at}].token").strip()
        except SecretError as error:
            log.error("%s; %s is refused until then", error, device.name)
    return tokens


def _database_url(config: Config) -> str | None:
    """Without the site's index the recordings go on, into the one beside them."""
    database = config.recording.database
    if database is None or not config.recording.enabled:
        return None
    try:
        return read_secret(database, "recording.database").strip()
    except SecretError as error:
        log.error("%s; recordings are indexed beside them, in SQLite, until then", error)
        return None


def read_publisher_secrets(config: Config) -> PublisherSecrets:
    """A publisher whose secret cannot be read does not run; the voice does."""
    mqtt, s3 = config.mqtt, config.s3
    missing: set[str] = set()

    def read(ref: Secret | None, where: str, publisher: str, consequence: str) -> str | None:
        if ref is None:
            return None
        try:
            return read_secret(ref, where).strip()
        except SecretError as error:
            log.error("%s; %s until then", error, consequence)
            missing.add(publisher)
            return None

    password = keys = None
    if mqtt.enabled:
        password = read(mqtt.password, "mqtt.password", "mqtt", "nothing is published")
    if s3.enabled:
        key_id = read(s3.access_key_id, "s3.access_key_id", "s3", "nothing is uploaded")
        secret = read(s3.secret_access_key, "s3.secret_access_key", "s3", "nothing is uploaded")
        keys = None if key_id is None or secret is None else (key_id, secret)
    urls: dict[str, str] = {}
    for at, target in enumerate(config.alerts.targets if config.alerts.enabled else ()):
        url = read(target.url, f"alerts.targets[{at}].url", target.name, f"{target.name} is not told")
        if url is not None:
            urls[target.name] = url
    return PublisherSecrets(password, keys, urls, _database_url(config), frozenset(missing & {"mqtt", "s3"}))


def _key(text: str) -> bytes:
    try:
        return parse_key(text)
    except WireError as error:
        raise SecretError(f"control_server.aes_key: {error}; `openssl rand -base64 32` makes one") from None
