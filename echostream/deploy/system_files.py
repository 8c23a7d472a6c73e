"""A version's files of the system: units, udev rules, users. Placed when it is switched to, so that units too
go back when it is gone back from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from echostream.deploy.files import write_file
from echostream.deploy.layout import InstallRecord, Layout, Tree
from echostream.deploy.systemd import Systemd

UNIT_SUFFIXES: Final = frozenset({".service", ".socket", ".timer", ".path", ".target"})


def place_system_files(layout: Layout, tree: Tree, record: InstallRecord, systemd: Systemd) -> list[str]:
    """Make the system's files those of `tree`; returns what was changed, in words, nothing the second time.

    A unit that was not there before is enabled if it can be; what somebody disabled stays disabled. Units of
    other versions that this one does not have go. Drop-ins (NAME.service.d) and other people's units stay.
    """
    unit_dir = layout.below(record.unit_dir)
    gone = _disable_units_of_others(layout, tree, unit_dir, systemd)
    new = [unit for unit in unit_names(tree) if not (unit_dir / unit).exists()]
    units = list(_copied(tree.units, unit_dir, layout))
    if gone or units:
        systemd.daemon_reload()
    enabled = [unit for unit in new if starts_at_boot(tree.units / unit)]
    if enabled:
        systemd.enable(enabled)
    rules = list(_copied(tree.udev, layout.below(record.udev_dir), layout))
    if rules:
        systemd.reload_udev()
    users = list(_copied(tree.sysusers, layout.below(record.sysusers_dir), layout))
    return [*gone, *units, *(f"{unit} starts at boot" for unit in enabled), *rules, *users]


def remove_system_files(layout: Layout, record: InstallRecord, systemd: Systemd) -> list[str]:
    """Take away the files of every version that is installed; returns what was removed, in words."""
    trees = _trees(layout)
    removed = []
    for folder, files in (
        (record.unit_dir, {name for tree in trees for name in unit_names(tree)}),
        (record.udev_dir, {path.name for tree in trees for path in _files(tree.udev)}),
        (record.sysusers_dir, {path.name for tree in trees for path in _files(tree.sysusers)}),
    ):
        for name in sorted(files):
            path = layout.below(folder) / name
            if path.is_file() and not path.is_symlink():
                path.unlink()
                removed.append(f"removed {_seen(path, layout)}")
    if removed:
        systemd.daemon_reload()
        systemd.reload_udev()
    return removed


def unit_names(tree: Tree) -> list[str]:
    """The units that a version brings."""
    return sorted(path.name for path in _files(tree.units) if path.suffix in UNIT_SUFFIXES)


def starts_at_boot(unit: Path) -> bool:
    """Whether it is made to be enabled by itself; a template needs a name first."""
    lines = unit.read_text(encoding="utf-8").splitlines()
    return "@." not in unit.name and any(line.startswith("WantedBy=") for line in lines)


def _disable_units_of_others(layout: Layout, tree: Tree, unit_dir: Path, systemd: Systemd) -> list[str]:
    others = {name for other in _trees(layout) if other.path != tree.path for name in unit_names(other)}
    gone = sorted(name for name in others - set(unit_names(tree)) if (unit_dir / name).is_file())
    for name in gone:
        systemd.disable([name])
        if systemd.is_active(name):
            systemd.stop([name])
        (unit_dir / name).unlink()
    return [f"removed {_seen(unit_dir / name, layout)}, which this version does not have" for name in gone]


def _copied(source: Path, target: Path, layout: Layout) -> Iterator[str]:
    for path in _files(source):
        content, to = path.read_bytes(), target / path.name
        if to.is_file() and not to.is_symlink() and to.read_bytes() == content:
            continue
        word = "changed" if to.exists() else "made"
        target.mkdir(parents=True, exist_ok=True)
        write_file(to, content)
        yield f"{word} {_seen(to, layout)}"


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _trees(layout: Layout) -> list[Tree]:
    """Every version that is there, complete or not."""
    folders = sorted(layout.versions.iterdir()) if layout.versions.is_dir() else []
    return [Tree(path) for path in folders if path.is_dir()]


def _seen(path: Path, layout: Layout) -> str:
    """As the machine itself names it."""
    return "/" + path.relative_to(layout.root).as_posix()
