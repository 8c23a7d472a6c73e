"""Messages between the gateway and its PTT guard: one a packet of a socket, 16 bytes and a short text.

Pure. Both ends come from one release; the version is checked all the same, because the two processes can be
of different ages while a package is being upgraded under them.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from echostream.errors import WireError

MAGIC: Final = b"EG"
VERSION: Final = 2
HEAD: Final = struct.Struct("<2sBBBBHII")
"""magic, version, kind, line, flag, number, value, length of the text"""
MAX_TEXT: Final = 240
MAX_MESSAGE: Final = HEAD.size + MAX_TEXT
MAX_LINES: Final = 64

# From the gateway.
ADD: Final = 1
"""Take a line. flag: bits below; number: BCM pin; value: longest keying in ms; text: chip path or card."""
REMOVE: Final = 2
KEY: Final = 3
"""Key, or renew the lease."""
UNKEY: Final = 4
PING: Final = 5
ATTACH: Final = 6
"""Who speaks, to a guard that serves several gateways. text: the gateway's name among them."""
COMPLETE: Final = 7
"""Those were all of my lines: what the guard still holds for me from earlier can go."""
# From the guard.
HELLO: Final = 16
"""Ready. value: its process id."""
STATE: Final = 17
"""flag: one of the states below; number: errno of a fault."""
PONG: Final = 18
REFUSED: Final = 19
"""Another gateway of this name is served already. value: its process id."""

ADD_ACTIVE_LOW: Final = 1
ADD_CM108: Final = 2

# States of a line, as the guard reports them.
UNKEYED: Final = 0
KEYED: Final = 1
EXPIRED: Final = 2
LATCHED: Final = 3
FAULT: Final = 4
STOPPING: Final = 5
STATE_NAMES: Final = ("unkeyed", "keyed", "expired", "latched", "fault", "stopping")

_FROM_GATEWAY: Final = (ADD, REMOVE, KEY, UNKEY, PING, ATTACH, COMPLETE)
_FROM_GUARD: Final = (HELLO, STATE, PONG, REFUSED)


class OtherVersion(WireError):
    """Said by a gateway or guard of another release."""


class Message(NamedTuple):
    """One message; what the fields mean depends on `kind`."""

    kind: int
    line: int = 0
    flag: int = 0
    number: int = 0
    value: int = 0
    text: str = ""


def pack(message: Message) -> bytes:
    """Bytes of a message. ValueError when a field is out of range."""
    text = message.text.encode()
    if len(text) > MAX_TEXT or not 0 <= message.line < MAX_LINES:
        raise ValueError(f"PTT guard message out of range: {message}")
    kind, line, flag, number, value, _ = message
    return HEAD.pack(MAGIC, VERSION, kind, line, flag, number, value, len(text)) + text


def unpack(data: bytes) -> Message:
    """The message in a packet. WireError for anything that `pack` would not have made: OtherVersion where it
    is of another release."""
    if len(data) < HEAD.size:
        raise WireError(f"PTT guard message: {len(data)} bytes, expected at least {HEAD.size}")
    magic, version, kind, line, flag, number, value, length = HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        kind_of = OtherVersion if magic == MAGIC else WireError
        raise kind_of(f"PTT guard message: {magic!r} version {version}, expected {MAGIC!r} {VERSION}")
    if len(data) != HEAD.size + length or length > MAX_TEXT:
        raise WireError(f"PTT guard message: {len(data)} bytes with a text of {length}")
    if kind not in _FROM_GATEWAY and kind not in _FROM_GUARD:
        raise WireError(f"PTT guard message: unknown kind {kind}")
    if line >= MAX_LINES or (kind == STATE and flag >= len(STATE_NAMES)):
        raise WireError(f"PTT guard message: kind {kind} with line {line}, flag {flag}")
    try:
        text = data[HEAD.size :].decode()
    except UnicodeDecodeError:
        raise WireError("PTT guard message: text is not UTF-8") from None
    return Message(kind, line, flag, number, value, text)
