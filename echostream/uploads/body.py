"""A part of a file on its way: read piece by piece, at the pace that is allowed, and ended when we stop."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO, Final

from echostream.uploads.pace import Pace

PIECE: Final = 1 << 20


class Stopped(Exception):
    """Asked to end in the middle of something."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a file. number: from 1; md5: of its bytes."""

    number: int
    offset: int
    size: int
    md5: bytes


@dataclass(frozen=True, slots=True)
class Whole:
    """A file, read once. sha256: hex."""

    size: int
    sha256: str
    parts: tuple[Part, ...]


def look_through(file: BinaryIO, part_bytes: int, stopped: Callable[[], bool]) -> Whole:
    """The sums of a file and of its parts: the disk is read in pieces, whatever its size.

    Raises OSError, Stopped.
    """
    size = os.fstat(file.fileno()).st_size
    whole = hashlib.sha256()
    parts = list[Part]()
    file.seek(0)
    for number, offset in enumerate(range(0, max(size, 1), part_bytes), 1):
        md5, left = hashlib.md5(usedforsecurity=False), min(part_bytes, size - offset)
        while left > 0:
            if stopped():
                raise Stopped
            piece = file.read(min(PIECE, left))
            if not piece:
                raise OSError("it became shorter while it was read")
            whole.update(piece)
            md5.update(piece)
            left -= len(piece)
        parts.append(Part(number, offset, min(part_bytes, size - offset), md5.digest()))
    return Whole(size, whole.hexdigest(), tuple(parts))


class Body(io.RawIOBase):
    """Bytes [offset, offset + size) of an open file, as an HTTP library reads them.

    What reads to compute a signature goes at full speed; `sending` is set when the bytes leave.
    """

    def __init__(
        self,
        file: BinaryIO,
        part: Part,
        pace: Pace,
        wait: Callable[[float], bool],
        moved: Callable[[int], None],
    ) -> None:
        """wait: for so many seconds, True: we stop. moved: told how many bytes left."""
        super().__init__()
        self._file = file
        self._part = part
        self._pace = pace
        self._wait = wait
        self._moved = moved
        self._at = 0
        self.sending = False

    def __len__(self) -> int:
        return self._part.size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._part.size}[whence]
        self._at = min(max(base + offset, 0), self._part.size)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """Raises Stopped."""
        left = self._part.size - self._at
        count = left if size is None or size < 0 else min(size, left)
        if self.sending and self._pace.at_once is not None:
            count = min(count, self._pace.at_once)
        wait_s = self._pace.wait_s(count, time.monotonic()) if self.sending and count else 0.0
        if self._wait(wait_s):
            raise Stopped
        self._file.seek(self._part.offset + self._at)
        data = self._file.read(count)
        if count and not data:
            raise OSError("the file became shorter while it was sent")
        self._at += len(data)
        if self.sending:
            self._moved(len(data))
        return data
