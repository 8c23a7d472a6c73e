"""Group `configuration`: what `echostream config check` says, and whether each secret can be read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from echostream.config.findings import Finding as ConfigFinding
from echostream.config.findings import InvalidConfig, Severity
from echostream.config.models import Config
from echostream.config.secrets import read_secret, references, secret_findings
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import SecretError

IN_FORCE: Final = Kind("configuration.in_force", Level.OK, "in force, channels: {names}")
NONE: Final = Kind(
    "configuration.none",
    Level.WARNING,
    "there is no configuration: neither ./config.json nor /etc/echostream/config.json",
    "name it with --config; `sudo make install` or the package puts one there",
)
HIDDEN: Final = Kind(
    "configuration.hidden",
    Level.WARNING,
    "you may not read it, so nothing that it asks for was looked at",
    "sudo echostream doctor",
)
REFUSED: Final = Kind("configuration.refused", Level.FAILURE, "{value}; expected {expected}", "{hint}")
DROPPED: Final = Kind(
    "configuration.dropped", Level.FAILURE, "left out: {value}; expected {expected}", "{hint}"
)
WARNED: Final = Kind("configuration.warning", Level.WARNING, "{value}; expected {expected}", "{hint}")
NO_CHANNEL: Final = Kind(
    "configuration.no_channel",
    Level.WARNING,
    "every channel is switched off",
    'set "enabled": true where a channel should run',
)
SECRETS: Final = Kind("configuration.secrets", Level.OK, "all secrets that are needed can be read ({count})")
SECRET: Final = Kind(
    "configuration.secret",
    Level.FAILURE,
    "this secret cannot be read: {why}",
    "write it, then restart the gateway (credentials are read at its start)",
)
SECRET_HIDDEN: Final = Kind(
    "configuration.secret_hidden",
    Level.NOTE,
    "the credentials can only be read by root and by the service itself",
    "sudo echostream doctor",
)
CHANGED: Final = Kind(
    "configuration.changed",
    Level.NOTE,
    "the file was changed since the gateway read it",
    "echostream reload --config {path}",
)
DEFAULT_HINT: Final = "docs/configuration.md says what may stand here"


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("configuration", "findings", _findings),
        Check("configuration", "secrets", _secrets),
        Check("configuration", "running", _running),
    ]


def _findings(world: World) -> list[Finding]:
    if world.config_path is not None and not os.access(world.config_path, os.R_OK):
        return [HIDDEN.at(str(world.config_path))]
    if isinstance(world.refused, InvalidConfig):
        return [_told(finding) for finding in world.refused.findings]
    if world.loaded is None:
        return [NONE.at()]
    config = world.loaded.config
    on = [channel.id for channel in config.channels if channel.enabled]
    found = [*world.loaded.dropped, *world.loaded.warnings, *secret_findings(config)]
    first = IN_FORCE.at(names=", ".join(on)) if on else NO_CHANNEL.at("channels")
    return [first, *(_told(finding) for finding in found)]


def _told(finding: ConfigFinding) -> Finding:
    kinds = {Severity.REFUSED: REFUSED, Severity.DROPPED: DROPPED, Severity.WARNING: WARNED}
    place = finding.path or "the file"
    return kinds[finding.severity].at(
        place, value=finding.value, expected=finding.expected, hint=finding.hint or DEFAULT_HINT
    )


def _secrets(world: World) -> list[Finding]:
    """Each that something which is switched on needs."""
    config = world.config
    if config is None:
        return []
    wanted = {where: ref for where, ref in references(config).items() if _needed(config, where)}
    findings: list[Finding] = []
    hidden = world.path("/etc/echostream/credentials")
    for where, ref in wanted.items():
        try:
            read_secret(ref, where)
        except SecretError as error:
            if ref.credential is not None and hidden.exists() and not _readable(hidden):
                return [*findings, SECRET_HIDDEN.at(str(hidden))]
            why = str(error).removeprefix(f"{where}: ")
            findings.append(SECRET.at(where, why=why))
    good = len(wanted) - len(findings)
    return [*([SECRETS.at(count=good)] if good and not findings else []), *findings]


def _needed(config: Config, where: str) -> bool:
    """Whether what the reference belongs to is switched on."""
    section = where.partition(".")[0]
    if section in ("mqtt", "s3", "recording", "esp32", "alerts"):
        return bool(getattr(config, section).enabled)
    return True


def _readable(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.X_OK)


def _running(world: World) -> list[Finding]:
    running = world.health.config_sha256 if world.health is not None and world.health.current else ""
    if world.config_path is None or not running:
        return []
    try:
        now = hashlib.sha256(world.config_path.read_bytes()).hexdigest()
    except OSError:
        return []
    return [] if now == running else [CHANGED.at(str(world.config_path), path=world.config_path)]
