"""A machine that EchoStream is installed on, below a test's folder: versions, a service manager, gateways."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path

from echostream.deploy.layout import SOURCE, DeployError, Layout, Release, record_text
from echostream.deploy.services import PATTERNS, instance_of
from echostream.deploy.versions import current, switch
from echostream.service.health import (
    ChannelHealth,
    Health,
    LinkHealth,
    boot_id,
    health_path,
    since_boot_s,
    write_health,
)

PID = 1
"""Of the gateways that are played: a process that is always there."""


def good_health(started_us: int) -> Health:
    return Health(
        version="1",
        pid=PID,
        instance="echostream",
        boot_id=boot_id(),
        started_us=started_us,
        at_us=time.time_ns() // 1000,
        at_boot_s=since_boot_s(),
        ready=True,
        healthy=True,
        channels={"ops": ChannelHealth(online=True, card=True), "spare": ChannelHealth()},
        links={"server": LinkHealth(True), "mqtt": LinkHealth(False, "refused")},
    )


def make_tree(layout: Layout, version_id: str, built_at: str = "2026-11-21T12:00:00Z") -> Path:
    """A version that is whole: a link to an interpreter, one unit, and what it says of itself."""
    tree = layout.tree(version_id)
    (tree.path / "bin").mkdir(parents=True)
    tree.python.symlink_to("/usr/bin/python3")
    tree.units.mkdir(parents=True)
    (tree.units / "echostream.service").write_text(f"# of {version_id}\n")
    release = Release(version_id, version_id.split("+")[0], built_at, "3.11", "amd64", "bookworm")
    tree.release_file.write_text(record_text(release))
    return tree.path


@dataclass
class PlayedServices:
    """systemctl, played: refuses what the real one refuses. behaviour: how each version's gateway is."""

    layout: Layout
    active: list[str] = field(default_factory=list)
    behaviour: dict[str, Callable[[Health], Health | None]] = field(default_factory=dict)
    booted: bool = True
    asked: list[str] = field(default_factory=list)
    restarted: dict[str, int] = field(default_factory=dict)
    refuse: str = ""
    starts: int = 0

    def _note(self, verb: str, units: Sequence[str] = ()) -> None:
        self.asked.append(" ".join([verb, *units]))
        if verb == self.refuse:
            raise DeployError(f"systemctl {verb}: refused")

    def daemon_reload(self) -> None:
        self._note("daemon-reload")

    def enable(self, units: Sequence[str]) -> None:
        self._note("enable", units)

    def disable(self, units: Sequence[str]) -> None:
        self._note("disable", units)

    def is_enabled(self, unit: str) -> bool:
        return True

    def is_active(self, unit: str) -> bool:
        return unit in self.active

    def start(self, units: Sequence[str]) -> None:
        self._note("start", units)
        raise DeployError(f"systemctl start: Unit {units[0]} not found.")

    def stop(self, units: Sequence[str]) -> None:
        self._note("stop", units)
        self.active = [unit for unit in self.active if unit not in units]

    def restart(self, units: Sequence[str]) -> None:
        self.restart_soon(units)

    def reset_failed(self, units: Sequence[str]) -> None:
        self._note("reset-failed", units)
        for unit in units:
            self.restarted.pop(unit, None)

    def reload_udev(self) -> None:
        self._note("reload-udev")

    def running(self, patterns: Sequence[str]) -> list[str]:
        return [unit for unit in self.active if any(fnmatch(unit, one) for one in patterns)]

    def restart_soon(self, units: Sequence[str]) -> None:
        self._note("restart", units)
        self.starts += 1
        for unit in units:
            if unit.startswith("echostream-"):
                continue
            self.tell(unit)

    def restarts(self, unit: str) -> int:
        return self.restarted.get(unit, 0)

    def tell(self, unit: str = "echostream.service") -> None:
        """The gateway of the version that is current now says how it is, if it says anything."""
        instance = instance_of(unit)
        health = replace(good_health(1_000_000 + self.starts), instance=instance)
        version_id = current(self.layout) or ""
        behaviour = self.behaviour.get(version_id)
        said = behaviour(health) if behaviour is not None else health
        self.layout.runtime.mkdir(parents=True, exist_ok=True)
        path = health_path(self.layout.runtime, instance)
        if said is None:
            path.unlink(missing_ok=True)
        else:
            write_health(path, said)


class Machine:
    """Version 1 is installed and runs."""

    def __init__(self, root: Path, running: Sequence[str] = ("echostream.service",)) -> None:
        self.layout = Layout(root)
        self.services = PlayedServices(self.layout, list(running))
        self.stop = threading.Event()
        self.tree("1", "2026-11-01T00:00:00Z")
        switch(self.layout, "1")
        self.layout.below(SOURCE.unit_dir).mkdir(parents=True)
        self.layout.install_file.write_text(record_text(SOURCE))
        for unit in self.services.running(PATTERNS):
            self.services.tell(unit)

    def tree(self, version_id: str, built_at: str = "2026-11-21T12:00:00Z") -> Path:
        return make_tree(self.layout, version_id, built_at)

    def unit_text(self) -> str:
        return (self.layout.below(SOURCE.unit_dir) / "echostream.service").read_text()

    def trial_document(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.layout.trial_file.read_text())
        return found
