"""Lines of a file from its end to its beginning, a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO, Final

BLOCK: Final = 65_536


def lines_backwards(file: BinaryIO, end: int | None = None) -> Iterator[bytes]:
    """Whole lines without their ends, the last one first; what follows the last "\\n" is left out.

    end: as if the file ended there. OSError.
    """
    at = file.seek(0, os.SEEK_END) if end is None else end
    rest: bytes | None = None  # of a line whose beginning is in an earlier block; None: nothing is whole yet
    while at > 0:
        begin = max(0, at - BLOCK)
        file.seek(begin)
        parts = file.read(at - begin).split(b"\n")
        at = begin
        if len(parts) == 1:
            rest = None if rest is None else parts[0] + rest
            continue
        if rest is not None:
            yield parts[-1] + rest
        yield from reversed(parts[1:-1])
        rest = parts[0]
    if rest is not None:
        yield rest


def last_lines(file: BinaryIO, size: int, most: int) -> bytes:
    """What follows the last "\\n" of a file of `size` bytes; the whole file where there is none. OSError.

    most: a line is not longer; more than twice that is read only where it is.
    """
    at, rest = size, b""
    while at > 0:
        begin = max(0, at - max(BLOCK, most))
        file.seek(begin)
        block = file.read(at - begin)
        cut = block.rfind(b"\n")
        if cut >= 0:
            return block[cut + 1 :] + rest
        at, rest = begin, block + rest
    return rest
