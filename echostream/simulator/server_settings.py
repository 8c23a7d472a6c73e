"""What the control server is given, and what it tells of itself."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, field
from typing import Final, Literal

from echostream.wire.crypto import parse_key

KEY_BYTES: Final = 32

Offer = Literal["once", "every_connect", "new_port_every_connect"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds; seconds are those of the injected clock."""

    clients: int = 64
    port_silence_s: float = 30.0
    """A UDP port that hears nothing for this long is closed; the client's next connect opens it again."""
    empty_frame_s: float = 50.0
    drain_notice_s: float = 5.0
    handshake_s: float = 5.0
    closing_s: float = 2.0
    idle_s: float = 90.0
    """A WebSocket that says nothing for this long is a half-open one."""


@dataclass(frozen=True, slots=True)
class ServerStats:
    """A snapshot. `counts`: messages by kind, datagrams in and out, and everything that was refused."""

    clients: int
    open_ports: int
    channels: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)


def checked_key(aes_key: str) -> str:
    """The key as it is offered. Raises WireError for one that is none."""
    if aes_key == "generate":
        return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    if aes_key != "N/A":
        parse_key(aes_key)
    return aes_key
