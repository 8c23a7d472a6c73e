"""What a version has outside its own folder: units, udev rules, users. Switching brings its own each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from echostream.deploy import files
from echostream.deploy.layout import InstallRecord, Layout, Tree
from echostream.deploy.systemd import Systemd


def place_system_files(layout: Layout, tree: Tree, record: InstallRecord, systemd: Systemd) -> list[str]:
    """Make the units, rules and users of this machine those of `tree`. Returns what was changed; empty: nothing.

    Units of ours that this version does not have go: a rollback leaves nothing behind that calls commands
    which are not there. Raises OSError, DeployError.
    """
    unit_dir = layout.below(record.unit_dir)
    changed = [*_copy(tree.units, unit_dir), *_take_away(tree.units, unit_dir, systemd)]
    changed += _copy(tree.udev, layout.below(record.udev_dir))
    changed += _copy(tree.sysusers, layout.below(record.sysusers_dir))
    if changed:
        systemd.daemon_reload()
    return changed


def _copy(source: Path, target: Path) -> Iterator[str]:
    if not source.is_dir():
        return
    target.mkdir(0o755, parents=True, exist_ok=True)
    for one in sorted(source.iterdir()):
        if not one.is_file():
            continue
        content, place = one.read_bytes(), target / one.name
        if place.is_symlink() or not place.is_file() or place.read_bytes() != content:
            files.write_file(place, content)
            yield str(place)


def _take_away(units: Path, unit_dir: Path, systemd: Systemd) -> Iterator[str]:
    if not units.is_dir() or not unit_dir.is_dir():
        return
    wanted = set(os.listdir(units))
    for place in sorted(unit_dir.glob("echostream*")):
        if place.name in wanted or place.suffix not in {".service", ".socket", ".timer", ".path", ".target"}:
            continue
        if place.is_symlink() or not place.is_file():
            continue  # what an administrator has put there
        systemd.disable([place.name])
        place.unlink()
        files.sync_folder(unit_dir)
        yield str(place)
