"""What belongs to the gateways of a machine, and would be missed: where it lies, and how it is copied."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from echostream.config.load import InvalidConfig, load_config
from echostream.config.models import Config, Secret
from echostream.config.secrets import references
from echostream.deploy.index_kept import KEPT
from echostream.deploy.layout import Layout

Kind = Literal["file", "sqlite"]

ASIDE: Final = ".before-restore"
SCRATCH: Final = ".restoring"
DATABASES: Final = frozenset({"index.sqlite3", "mqtt.sqlite3", "alerts.sqlite3"})
"""Copied by SQLite itself: what a running gateway writes meanwhile does not tear them."""
LOCK: Final = ".lock"
"""Of the event log: its counter is of this boot, and is made again from the log."""
_PARTS: Final = ("-wal", "-shm", "-journal")
_OURS_ELSEWHERE: Final = ("/usr/", "/etc/ssl/", "/run/")
"""Comes with the system, or is gone with it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One file. path: as the machine itself names it, absolute."""

    path: str
    kind: Kind = "file"


@dataclass(slots=True)
class Plan:
    """Everything that is kept. databases: the configurations whose index is in PostgreSQL, with where its
    address is. left_out: what could not be looked at, with the reason, in words."""

    pieces: dict[str, Piece] = field(default_factory=dict)
    databases: dict[str, Secret] = field(default_factory=dict)
    gateways: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, path: str) -> None:
        kind: Kind = "sqlite" if os.path.basename(path) in DATABASES else "file"
        self.pieces.setdefault(path, Piece(path, kind))


def plan_of(layout: Layout, recordings: bool) -> Plan:
    """What of this machine a backup holds. recordings: they too, which may be very much."""
    plan = Plan()
    _add_folder(plan, layout, "/etc/echostream")
    configs = sorted(layout.config_dir.glob("*.json")) if layout.config_dir.is_dir() else []
    _add_folder(plan, layout, "/var/lib/echostream", skip=_directories(layout, configs, recordings))
    for path in configs:
        try:
            config = load_config(path).config
        except InvalidConfig as error:
            words = str(error).splitlines()[0]
            plan.left_out.append(f"what {_named(path, layout)} names: {words}")
            continue
        _add_gateway(plan, layout, config, _named(path, layout), recordings)
    return plan


def _directories(layout: Layout, configs: list[Path], recordings: bool) -> set[str]:
    """Folders of recordings: walked by themselves, if at all."""
    skipped = {"/var/lib/echostream/recordings"}
    for path in configs:
        try:
            skipped.add(_absolute(load_config(path).config.recording.directory))
        except InvalidConfig:
            continue
    return set() if recordings else skipped


def _add_gateway(plan: Plan, layout: Layout, config: Config, name: str, recordings: bool) -> None:
    plan.gateways.append(config.gateway.id)
    audio = _absolute(config.recording.directory)
    _add_folder(plan, layout, _absolute(config.events.directory), skip=set() if recordings else {audio})
    if recordings:
        _add_folder(plan, layout, audio)
    for beside in ("index.sqlite3", "archive-id"):
        if layout.below(f"{audio}/{beside}").is_file():
            plan.add(f"{audio}/{beside}")
    for path in _named_files(config):
        if path.startswith(_OURS_ELSEWHERE):
            continue
        if layout.below(path).is_file():
            plan.add(path)
        else:
            plan.left_out.append(f"{path}: named in {name}, and not there")
    if config.recording.database is not None:
        plan.databases[name] = config.recording.database


def _named_files(config: Config) -> Iterator[str]:
    """Secrets and certificates that the configuration names by their files."""
    for ref in references(config).values():
        if ref.file is not None:
            yield _absolute(os.path.expanduser(ref.file))
    yield from _files_below(config.model_dump(mode="json"))


def _files_below(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key.endswith("_file") and isinstance(inner, str):
                yield _absolute(inner)
            else:
                yield from _files_below(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _files_below(inner)


def _add_folder(plan: Plan, layout: Layout, folder: str, skip: Container[str] = ()) -> None:
    """Every regular file below it; links are followed by nobody, sockets and pipes are none."""

    def refused(error: OSError) -> None:
        plan.left_out.append(f"{error.filename}: {error.strerror}")

    top = layout.below(folder)
    if not top.is_dir():
        return
    for place, folders, names in os.walk(top, onerror=refused):
        below = _named(Path(place), layout)
        folders[:] = sorted(
            one for one in folders if f"{below}/{one}" not in skip and not one.endswith(ASIDE)
        )
        for name in sorted(names):
            if name == LOCK or name.endswith((ASIDE, SCRATCH, KEPT, ".new", ".broken", *_PARTS)):
                continue
            mode = Path(place, name).lstat().st_mode
            if stat.S_ISREG(mode):
                plan.add(f"{below}/{name}")


def _named(path: Path, layout: Layout) -> str:
    """As the machine itself names it."""
    return "/" + path.relative_to(layout.root).as_posix()


def _absolute(path: str) -> str:
    return os.path.normpath(os.path.join("/", path))
