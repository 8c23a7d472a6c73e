"""A new file that grows at its end and is changed in few places, without a buffer between it and the kernel.

What was accepted is in the kernel's hands: a process that is killed loses nothing of it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

FILE_MODE: Final = 0o640
"""The service's own, and its group's: what was said is not for everybody on the machine."""


def leave_to_owner(made: Path, folder: Path | None = None) -> None:
    """What root made (`sudo echostream recordings protect ...`) belongs to whom its folder belongs to.

    The service could not read it otherwise. A file system without owners is left as it is.
    """
    if os.geteuid() != 0:
        return
    with contextlib.suppress(OSError):
        owner = (folder or made.parent).stat()
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)


class RawFile:
    """Never an existing file. All methods raise OSError, as files do. `size`: bytes that were accepted."""

    def __init__(self, path: Path) -> None:
        """FileExistsError when the path is taken."""
        self.path = path
        self.size = 0
        self._number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        leave_to_owner(path)

    @property
    def closed(self) -> bool:
        return self._number < 0

    def append(self, data: bytes | memoryview) -> None:
        """All of it or, with an OSError, nothing that counts: what comes next is written over it."""
        self._put(data, self.size)
        self.size += len(data)

    def change(self, data: bytes | memoryview, offset: int) -> None:
        """Write over what stands there; beyond the end it grows."""
        self._put(data, offset)
        self.size = max(self.size, offset + len(data))

    def close(self) -> None:
        """Without what was begun and not accepted. Idempotent."""
        if self._number < 0:
            return
        number, self._number = self._number, -1
        try:
            if os.fstat(number).st_size > self.size:
                os.ftruncate(number, self.size)
        finally:
            os.close(number)

    def _put(self, data: bytes | memoryview, offset: int) -> None:
        written = os.pwrite(self._number, data, offset)
        while written < len(data):  # a disk that is nearly full takes less
            written += os.pwrite(self._number, memoryview(data)[written:], offset + written)
