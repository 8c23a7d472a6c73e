"""The system's users and groups that a gateway runs as, as a version's sysusers.d file names them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final, Protocol

from echostream.deploy.layout import DeployError, Layout, Tree

GATEWAY: Final = "echostream"
"""User and group of the gateway; its data are theirs."""
SYSUSERS_TIMEOUT_S: Final = 60.0


class Users(Protocol):
    """Makes users and groups."""

    def make(self, definitions: Path) -> None:
        """Make what a sysusers.d(5) file names and what is not there. Raises DeployError."""


class Sysusers:
    """systemd-sysusers, which every Debian with systemd has."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def make(self, definitions: Path) -> None:
        """Make what the file names and what is not there."""
        root = [] if self._root == Path("/") else [f"--root={self._root}"]
        command = ["systemd-sysusers", *root, str(definitions)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=SYSUSERS_TIMEOUT_S
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeployError(f"{' '.join(command)}: {error}") from error
        if done.returncode != 0:
            raise DeployError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")


def make_users(layout: Layout, tree: Tree, users: Users) -> list[str]:
    """Make the users and groups that `tree` needs; returns what was made, in words."""
    changes = []
    for definitions in sorted(tree.sysusers.glob("*.conf")):
        missing = _missing(layout, definitions)
        if not missing:
            continue
        users.make(definitions)
        left = _missing(layout, definitions)
        if left:
            raise DeployError(f"{definitions}: systemd-sysusers did not make {', '.join(left)}")
        changes += [f"made {one}" for one in missing]
    return changes


def user_id(layout: Layout, name: str) -> int:
    """The id of a user of the machine below `layout.root`."""
    return int(_entry(layout, "passwd", name)[2])


def group_id(layout: Layout, name: str) -> int:
    """The id of a group of the machine below `layout.root`."""
    return int(_entry(layout, "group", name)[2])


def _missing(layout: Layout, definitions: Path) -> list[str]:
    """What a sysusers.d file names and what is not there: "user x", "group y", "x as member of y"."""
    users = {entry[0]: entry[3] for entry in _entries(layout, "passwd")}
    groups = {entry[0]: entry for entry in _entries(layout, "group")}
    missing = []
    for line in definitions.read_text(encoding="utf-8").splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith("#"):
            continue
        kind, name = words[0].rstrip("!"), words[1]
        if kind == "u" and name not in users:
            missing.append(f"user {name}")
        elif kind == "g" and name not in groups:
            missing.append(f"group {name}")
        elif kind == "m" and len(words) > 2:
            group = groups.get(words[2])
            if group is None or (name not in group[3].split(",") and users.get(name) != group[2]):
                missing.append(f"{name} a member of {words[2]}")
    return missing


def _entry(layout: Layout, database: str, name: str) -> list[str]:
    for entry in _entries(layout, database):
        if entry[0] == name:
            return entry
    raise DeployError(f"{layout.below('/etc') / database}: {name} is not there; install again")


def _entries(layout: Layout, database: str) -> list[list[str]]:
    path = layout.below("/etc") / database
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [fields for line in lines if len(fields := line.split(":")) >= 4]
