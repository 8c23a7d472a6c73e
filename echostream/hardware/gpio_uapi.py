"""The kernel's GPIO character device, version 2 (linux/gpio.h, Linux 5.10 and newer), by ioctl alone.

No library, no thread, next to no imports (dataclasses alone cost 1.4 MB). The guard that holds
the keyed outputs stands on this, and so does the question which chips there are and who holds a line. Every
function raises the kernel's own OSError.
"""

from __future__ import annotations

import fcntl
import os
import struct
from typing import Final, NamedTuple

GET_CHIPINFO: Final = 0x8044B401
GET_LINEINFO: Final = 0xC100B405
GET_LINE: Final = 0xC250B407
SET_CONFIG: Final = 0xC110B40D
GET_VALUES: Final = 0xC010B40E
SET_VALUES: Final = 0xC010B40F

FLAG_USED: Final = 1 << 0
FLAG_ACTIVE_LOW: Final = 1 << 1
FLAG_INPUT: Final = 1 << 2
FLAG_OUTPUT: Final = 1 << 3
FLAG_PULL_UP: Final = 1 << 8
FLAG_PULL_DOWN: Final = 1 << 9

ATTR_OUTPUT_VALUES: Final = 2

_CHIP = struct.Struct("<32s32sI")
_LINE_INFO = struct.Struct("<32s32sIIQ160s16s")
_VALUES = struct.Struct("<QQ")
# flags, num_attrs, padding, then ten attributes of (id, padding, value, mask)
_CONFIG = struct.Struct("<QI20sIIQQ216s")
_REQUEST = struct.Struct("<I252s32s272sII20si")
assert (_CHIP.size, _LINE_INFO.size, _VALUES.size, _CONFIG.size, _REQUEST.size) == (68, 256, 16, 272, 592)


class ChipInfo(NamedTuple):
    """One GPIO chip: /dev path, the driver's label, number of lines."""

    path: str
    label: str
    lines: int


class LineInfo(NamedTuple):
    """One line as the kernel sees it. `consumer`: who holds it, "" when nobody says."""

    used: bool
    consumer: str
    flags: int


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def read_chip(path: str) -> ChipInfo:
    """What chip is at `path`. ENOTTY when that is no GPIO chip."""
    buffer = bytearray(_CHIP.size)
    fd = _open(path)
    try:
        fcntl.ioctl(fd, GET_CHIPINFO, buffer)
    finally:
        os.close(fd)
    _name, label, lines = _CHIP.unpack(buffer)
    return ChipInfo(path, _text(label), lines)


def read_line_info(path: str, pin: int) -> LineInfo:
    """Who holds line `pin` and how it is set. EINVAL when the chip has no such line."""
    buffer = bytearray(_LINE_INFO.pack(b"", b"", pin, 0, 0, b"", b""))
    fd = _open(path)
    try:
        fcntl.ioctl(fd, GET_LINEINFO, buffer)
    finally:
        os.close(fd)
    _name, consumer, _offset, _count, flags, _attrs, _padding = _LINE_INFO.unpack(buffer)
    return LineInfo(bool(flags & FLAG_USED), _text(consumer), flags)


def _config(flags: int, inactive_output: bool) -> bytes:
    """Line settings; an output starts at logical 0, in the same step in which it becomes one."""
    if inactive_output:
        return _CONFIG.pack(flags, 1, b"", ATTR_OUTPUT_VALUES, 0, 0, 1, b"")
    return _CONFIG.pack(flags, 0, b"", 0, 0, 0, 0, b"")


class OutputRequest:
    """One line held as an output, inactive from the first moment.

    Raises OSError: EBUSY (somebody holds it), EACCES, EINVAL (no such line), ENOENT (no such chip).
    """

    def __init__(self, chip_path: str, pin: int, *, active_low: bool, consumer: str) -> None:
        self._active_low = active_low
        flags = FLAG_OUTPUT | (FLAG_ACTIVE_LOW if active_low else 0)
        name = consumer.encode()[:31]
        buffer = bytearray(_REQUEST.pack(pin, b"", name, _config(flags, True), 1, 0, b"", -1))
        chip = _open(chip_path)
        try:
            fcntl.ioctl(chip, GET_LINE, buffer)
        finally:
            os.close(chip)
        self._fd: int = _REQUEST.unpack(buffer)[-1]
        os.set_inheritable(self._fd, False)

    def set(self, active: bool) -> None:
        """Drive the line."""
        fcntl.ioctl(self._fd, SET_VALUES, bytearray(_VALUES.pack(int(active), 1)))

    def get(self) -> bool:
        """The line's logical level as the chip reads it back."""
        buffer = bytearray(_VALUES.pack(0, 1))
        fcntl.ioctl(self._fd, GET_VALUES, buffer)
        return bool(_VALUES.unpack(buffer)[0] & 1)

    def park(self) -> None:
        """Make it an input that is pulled towards inactive, so that it stays there once it is released.

        Where the chip has no such resistor the line stays the inactive output that it is.
        """
        pull = FLAG_PULL_UP if self._active_low else FLAG_PULL_DOWN
        flags = FLAG_INPUT | pull | (FLAG_ACTIVE_LOW if self._active_low else 0)
        fcntl.ioctl(self._fd, SET_CONFIG, bytearray(_config(flags, False)))

    def close(self) -> None:
        """Release the line. Raspberry Pi kernels leave a released output at its last level. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
