"""Which gateways run here as services, and what judging a new version asks of the service manager."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from echostream.deploy.layout import DeployError, Layout
from echostream.deploy.systemd import Systemctl, Systemd
from echostream.service.health import Health, HealthError, find_health, read_health

GATEWAY: Final = "echostream.service"
GUARD: Final = "echostream-ptt-guard.service"
TRIAL: Final = "echostream-trial.service"
TRIAL_PATH: Final = "echostream-trial.path"
PATTERNS: Final = (GATEWAY, "echostream@*.service")
_UNIT: Final = re.compile(r"echostream(?:@([A-Za-z0-9:_.\\-]+))?\.service")


class Services(Systemd, Protocol):
    """What upgrading asks beyond that. Raises DeployError with what systemctl said."""

    def running(self, patterns: Sequence[str]) -> list[str]:
        """The units of these names that run, are starting, or wait to be started again."""

    def restart_soon(self, units: Sequence[str]) -> None:
        """Stop and start them in their order; does not wait for it."""

    def restarts(self, unit: str) -> int:
        """How often it was started again by itself since it was started."""


class ServiceManager(Systemctl):
    """The real one."""

    def running(self, patterns: Sequence[str]) -> list[str]:
        """As in Services."""
        if not self.booted:
            return []
        states = "--state=active,activating,reloading,deactivating"
        words = ("list-units", "--plain", "--no-legend", "--full", "--type=service", states)
        done = self._call([*words, *patterns])
        if done.returncode != 0:
            raise DeployError(f"systemctl list-units: {done.stderr.strip()}")
        return [line.split()[0] for line in done.stdout.splitlines() if line.split()]

    def restart_soon(self, units: Sequence[str]) -> None:
        """As in Services."""
        if self.booted and units:
            self._run("restart", "--no-block", *units)

    def restarts(self, unit: str) -> int:
        """As in Services."""
        done = self._call(["show", "--property=NRestarts", "--value", unit])
        return int(done.stdout.strip() or 0) if done.stdout.strip().isdigit() else 0


@dataclass(frozen=True, slots=True)
class Seen:
    """How one gateway was. health: None where it says nothing (any more)."""

    unit: str
    health: Health | None


def instance_of(unit: str) -> str:
    """The --instance that a unit starts: `echostream`, or the NAME of echostream@NAME.service."""
    found = _UNIT.fullmatch(unit)
    if found is None:
        raise DeployError(f"{unit}: no unit of a gateway")
    return found[1] or "echostream"


def look(layout: Layout, unit: str) -> Seen:
    """How the gateway of this unit is now."""
    path = find_health(instance_of(unit), run=layout.runtime)
    if path is None:
        return Seen(unit, None)
    try:
        health = read_health(path)
    except HealthError:
        return Seen(unit, None)
    return Seen(unit, health if health.current else None)
