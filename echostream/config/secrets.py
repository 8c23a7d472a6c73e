"""Secrets: read from where the configuration says they are, and hidden wherever a configuration is shown."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import Any, Final

from echostream.config.base import Secret, Section
from echostream.config.findings import Finding, Severity, masked_url, shown
from echostream.config.models import Config
from echostream.errors import SecretError

log = logging.getLogger(__name__)

MAX_SECRET_BYTES: Final = 65_536
CREDENTIALS_DIRECTORY: Final = "CREDENTIALS_DIRECTORY"
FOLDER: Final = "/etc/echostream/credentials"
"""Of the service's secrets: each file there is a credential of its name."""
_PREFIX: Final = "echostream_"


def read_secret(ref: Secret, where: str) -> str:
    """The secret that `ref` names, without one line break at its end.

    `where` is the JSON path of the reference, for messages. A file that everybody can read is read and warned
    about. Raises SecretError with the place and the remedy, never with the value.
    """
    if ref.env is not None:
        return _from_environment(ref.env, where)
    path = _path(ref, where)
    finding = open_to_everybody(path, where)
    if finding is not None:
        log.warning("%s", finding)
    return _from_file(path, where)


def open_to_everybody(path: Path, where: str) -> Finding | None:
    """A warning where every user of the machine can read or write the secret's file."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None  # reading it will say why
    if not mode & (stat.S_IROTH | stat.S_IWOTH):
        return None
    found = f"{shown(str(path))} has mode {stat.S_IMODE(mode):04o}"
    return Finding(where, found, "a file that only its owner can read", f"chmod 600 {path}", Severity.WARNING)


def secret_findings(config: Config) -> list[Finding]:
    """Warnings about the files that the configuration names, as far as they are on this machine."""
    findings = []
    for where, ref in references(config).items():
        if ref.file is not None:
            finding = open_to_everybody(Path(ref.file).expanduser(), where)
            findings += [finding] if finding is not None else []
    return findings


def references(config: Config) -> dict[str, Secret]:
    """Every reference to a secret, by its JSON path."""
    holders: dict[str, Section] = {
        "control_server": config.control_server,
        "mqtt": config.mqtt,
        "s3": config.s3,
        "recording": config.recording,
    }
    holders |= {f"esp32.devices[{at}]": device for at, device in enumerate(config.esp32.devices)}
    holders |= {f"alerts.targets[{at}]": target for at, target in enumerate(config.alerts.targets)}
    return {
        f"{name}.{field}": value
        for name, holder in holders.items()
        for field in type(holder).model_fields
        if isinstance(value := getattr(holder, field), Secret)
    }


def masked(config: Config) -> dict[str, Any]:
    """The whole configuration, defaults included, as it may be shown: references as they are, addresses
    without what could be a secret in them."""
    document = config.model_dump(mode="json")
    server, s3 = document["control_server"], document["s3"]
    server["url"] = masked_url(server["url"])
    if s3["endpoint_url"] is not None:
        s3["endpoint_url"] = masked_url(s3["endpoint_url"])
    targets = document["alerts"]["targets"]
    sections = (server, document["mqtt"], s3, document["recording"])
    for holder in (*sections, *document["esp32"]["devices"], *targets):
        for field, value in holder.items():
            if isinstance(value, dict) and set(value) == set(Secret.model_fields):
                holder[field] = {key: text for key, text in value.items() if text is not None}
    return document


# ---- the three places


def _from_environment(name: str, where: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SecretError(
            f"{where}: the environment variable {name} is not set; set it for the gateway "
            f"(systemd: EnvironmentFile=), or name a file or credential"
        )
    return _checked(value, f"{where}: the environment variable {name}")


def _path(ref: Secret, where: str) -> Path:
    if ref.credential is None:
        try:
            return Path(ref.file or "").expanduser()
        except RuntimeError:
            raise SecretError(f"{where}: {shown(ref.file)} names a home that does not exist") from None
    name, directory = ref.credential, os.environ.get(CREDENTIALS_DIRECTORY)
    # Root sees what the service is handed over, and so do commands that it types.
    for path in _places(name, directory):
        if os.path.exists(path):  # False, too, where the folder is closed to us
            return path
    if directory:
        raise SecretError(
            f"{where}: the credential {name!r} is not there; write the secret into {FOLDER}/{name} "
            "(sudo; mode 600), then restart the service: it is handed over at the start"
        )
    raise SecretError(
        f"{where}: the credential {name!r} is not there: ${CREDENTIALS_DIRECTORY} is not set. The service "
        f"has it from {FOLDER}/{name}; elsewhere set that variable to the folder of the file, or name a file "
        "or env instead"
    )


def _places(name: str, directory: str | None) -> tuple[Path, ...]:
    """By itself, or of the folder that the service hands over: systemd puts that one's name first."""
    if directory:
        return Path(directory) / name, Path(directory) / f"{_PREFIX}{name}"
    return (Path(FOLDER) / name,)


def _from_file(path: Path, where: str) -> str:
    try:
        data = _read(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SecretError(
            f"{where}: {path} cannot be read ({reason}); "
            "write the secret into it, readable by the gateway's user"
        ) from None
    if data is None:
        raise SecretError(f"{where}: {path} is no regular file; write the secret into one")
    if len(data) > MAX_SECRET_BYTES:
        raise SecretError(f"{where}: {path} is longer than {MAX_SECRET_BYTES} bytes: is this the right file?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise SecretError(f"{where}: {path} holds no text; write a key in base64") from None
    return _checked(text, f"{where}: {path}")


def _read(path: Path) -> bytes | None:
    """What a regular file holds, None for anything else: a FIFO in its place must not hang the start."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return os.read(descriptor, MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)


def _checked(text: str, place: str) -> str:
    text = text.removesuffix("\n").removesuffix("\r")
    if not text.strip():
        raise SecretError(f"{place} is empty; write the secret into it")
    return text
