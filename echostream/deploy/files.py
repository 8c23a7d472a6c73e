"""Files and links that are whole at every moment: written beside, flushed to the disk, renamed into place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BESIDE: Final = ".new"


def write_file(path: Path, content: bytes, mode: int = 0o644, owner: tuple[int, int] | None = None) -> None:
    """Make `path` hold `content`; at a power cut it holds the old or the new. `owner`: user and group id."""
    beside = path.with_name(f".{path.name}{BESIDE}")
    beside.unlink(missing_ok=True)
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "wb") as file:
        if owner is not None:
            os.fchown(fd, *owner)
        os.fchmod(fd, mode)
        file.write(content)
        file.flush()
        os.fsync(fd)
    beside.replace(path)
    sync_folder(path.parent)


def point(link: Path, target: str) -> None:
    """Make `link` a symbolic link to `target`; at a power cut it points to the old or the new."""
    beside = link.with_name(f".{link.name}{BESIDE}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)
    sync_folder(link.parent)


def sync_folder(path: Path) -> None:
    """What was made, renamed or removed in the folder is on the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
