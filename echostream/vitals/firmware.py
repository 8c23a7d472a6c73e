"""The firmware of a Raspberry Pi, asked whether its power supply sags.

Older kernels put the answer into a file, `get_throttled`; newer ones, and the Pi 5, do not. There it is asked
through /dev/vcio, the mailbox that `vcgencmd` uses: a property message as described in the wiki of
raspberrypi/firmware, "Mailbox property interface". The service must be in the group `video` for it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
from array import array
from pathlib import Path
from typing import Final

MAILBOX: Final = Path("/dev/vcio")
_GET_THROTTLED: Final = 0x0003_0046
_REQUEST: Final = 0
_SUCCESS: Final = 0x8000_0000
_CLEAR_NOTHING: Final = 0
"""Of the bits that say what was: `rpi_volt` and others read them too."""
_IOCTL: Final = 3 << 30 | ctypes.sizeof(ctypes.c_void_p) << 16 | 100 << 8
"""_IOWR(100, 0, char *)."""


def throttled_bits(mailbox: Path = MAILBOX) -> int | None:
    """As `vcgencmd get_throttled` says them; None where there is no such firmware, or it may not be asked."""
    message = request()
    try:
        number = os.open(mailbox, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.ioctl(number, _IOCTL, message, True)
    except OSError:
        return None
    finally:
        os.close(number)
    return answer(message)


def request() -> array[int]:
    """Eight words: size in bytes, what it is, tag, room for the answer, length, value, end, padding."""
    return array("I", [32, _REQUEST, _GET_THROTTLED, 4, 4, _CLEAR_NOTHING, 0, 0])


def answer(message: array[int]) -> int | None:
    """What the firmware has put in place of the request; None: it refused."""
    return message[5] if message[1] == _SUCCESS and message[4] & _SUCCESS else None
