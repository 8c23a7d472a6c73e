"""The versions on a machine: which there are, which one runs, switching between them, taking old ones away.

A version is one that is whole: its release.json is there, written last. What is being made or removed has a
name that begins with a dot, so that no moment of it looks like a version.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.deploy import files
from echostream.deploy.layout import ID_FORM, DeployError, Layout, Release, Tree

COMING: Final = ".coming"
"""Below versions/: what is being unpacked."""
GOING: Final = ".going-"
"""Before the name of one that is being removed."""
LOCK: Final = ".lock"


@dataclass(frozen=True, slots=True)
class Version:
    """One that is whole. current: the service starts it. previous: `echostream rollback` goes to it."""

    tree: Tree
    release: Release
    current: bool = False
    previous: bool = False


def versions(layout: Layout) -> list[Version]:
    """All that are whole, the one that was built last first."""
    now, before = current(layout), previous(layout)
    try:
        names = os.listdir(layout.versions)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        if not ID_FORM.fullmatch(name) or (release := complete(layout, name)) is None:
            continue
        found.append(Version(layout.tree(name), release, name == now, name == before))
    return sorted(found, key=lambda one: (one.release.built_at, one.release.id), reverse=True)


def complete(layout: Layout, version_id: str) -> Release | None:
    """What a version says of itself; None where it is not there, not whole, or not the one of its folder."""
    try:
        release = layout.tree(version_id).release()
    except DeployError:
        return None
    return release if release.id == version_id else None


def current(layout: Layout) -> str | None:
    """The version that the service starts; None where nothing is installed."""
    return _pointed(layout.current)


def previous(layout: Layout) -> str | None:
    """The version before; None where there was none."""
    return _pointed(layout.previous)


def switch(layout: Layout, version_id: str) -> None:
    """From now on `version_id` is what the service starts: at a power cut this one or the one before.

    Raises DeployError for one that is not whole.
    """
    if complete(layout, version_id) is None:
        raise DeployError(f"{layout.versions / version_id} is no whole version: install it again")
    files.point(layout.current, f"versions/{version_id}")


def set_previous(layout: Layout, version_id: str | None) -> None:
    """Where `echostream rollback` goes, and whose Python judges a trial; None: nowhere."""
    if version_id is not None:
        files.point(layout.previous, f"versions/{version_id}")
    elif layout.previous.is_symlink():
        layout.previous.unlink()
        files.sync_folder(layout.home)


def put_in_place(layout: Layout, made: Path, version_id: str) -> None:
    """A tree that was made beside becomes a version, at once and whole. Replaces one that was not whole."""
    place = layout.tree(version_id).path
    if complete(layout, version_id) is not None:
        raise DeployError(f"{version_id} is installed already ({place})")
    _sync(made)
    if place.exists() or place.is_symlink():
        remove(layout, version_id)
    made.rename(place)
    files.sync_folder(layout.versions)


def remove(layout: Layout, version_id: str) -> None:
    """Take a version away; never the one that runs."""
    place = layout.tree(version_id).path
    if version_id == current(layout):
        raise DeployError(f"{version_id} is the version that runs: it is not removed")
    going = layout.versions / (GOING + version_id)
    _remove(going)
    place.rename(going)
    files.sync_folder(layout.versions)
    _remove(going)


def prune(layout: Layout, keep: set[str]) -> list[str]:
    """Take away all but the version that runs, the one before and `keep`, and what was left half made or half
    removed. Returns the ids of those that went."""
    kept = keep | {name for name in (current(layout), previous(layout)) if name is not None}
    gone = []
    for name in sorted(os.listdir(layout.versions)):
        path = layout.versions / name
        if name == COMING or name.startswith(GOING):
            _remove(path)
        elif ID_FORM.fullmatch(name) and name not in kept and path.is_dir():
            remove(layout, name)
            gone.append(name)
    return gone


@contextmanager
def alone(layout: Layout, wait_s: float = 0.0, stop: threading.Event | None = None) -> Iterator[None]:
    """Only one at a time installs, tries and removes. DeployError where another one does after `wait_s`, or
    where `stop` is set meanwhile."""
    try:
        layout.home.mkdir(0o755, parents=True, exist_ok=True)
        lock = os.open(layout.home / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        remedy = "; run this with sudo" if isinstance(error, PermissionError) else ""
        raise DeployError(f"{layout.home}: {error.strerror}{remedy}") from None
    try:
        _take(lock, time.monotonic() + wait_s, stop or threading.Event())
        yield
    finally:
        os.close(lock)  # and with it the lock goes


def _take(lock: int, until_s: float, stop: threading.Event) -> None:
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until_s or stop.wait(0.1):
                break
    raise DeployError("another upgrade, trial or installation is under way; wait until it has ended")


def _pointed(link: Path) -> str | None:
    try:
        name = Path(os.readlink(link)).name
    except OSError:
        return None
    return name if ID_FORM.fullmatch(name) else None


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    """All that the file system of `path` holds is on the disk: thousands of small files, one request."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _syncfs(fd)
    finally:
        os.close(fd)


def _syncfs(fd: int) -> None:
    import ctypes  # no os.syncfs in Python; os.sync would wait for every disk of the machine

    library = ctypes.CDLL(None, use_errno=True)
    if library.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise DeployError(f"the disk refuses to take what was unpacked: {os.strerror(code)}")
