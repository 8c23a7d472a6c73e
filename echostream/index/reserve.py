"""Space that is kept for the day on which others have filled the disk.

SQLite cannot even be opened on a disk without a free byte, so nothing could be deleted there, and it would
stay full for ever. A file of some megabytes is given up then; it is made again as soon as there is room.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from echostream.archive.raw_file import FILE_MODE, leave_to_owner

log = logging.getLogger(__name__)

FILE_NAME: Final = ".reserve"
SIZE: Final = 4_000_000
"""Enough for the index to forget some thousand recordings."""
MADE_ABOVE: Final = 16 * SIZE
"""Free bytes from which on it is made."""


class Reserve:
    """One file. Nothing raises: where it cannot be made, things are as they would be without."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / FILE_NAME

    def keep(self, free: int) -> None:
        """Make it where it is missing and `free` bytes are plenty."""
        if free < MADE_ABOVE or self._path.exists():
            return
        try:
            number = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                os.posix_fallocate(number, 0, SIZE)
            finally:
                os.close(number)
            leave_to_owner(self._path)
        except OSError as error:
            log.debug("no reserve at %s: %s", self._path, error)
            self._path.unlink(missing_ok=True)

    def give_up(self) -> bool:
        """Whether there was one to give up."""
        try:
            self._path.unlink()
        except OSError:
            return False
        log.warning("the disk is full: %s is given up so that recordings can be deleted", self._path)
        return True
