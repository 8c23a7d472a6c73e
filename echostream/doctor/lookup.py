"""Addresses of a name, within a time: getaddrinfo itself has none."""

from __future__ import annotations

import socket
import threading
from typing import Final

from echostream.errors import EchoStreamError
from echostream.network.resolver import Address, Lookup

LOOKUP_S: Final = 6.0


class NoAddress(EchoStreamError):
    """The name has none, or nobody answered."""


def addresses(host: str, port: int, kind: socket.SocketKind) -> list[Address]:
    """Of a name or literal. Raises NoAddress."""
    came = threading.Event()
    lookup = Lookup(host, port, kind, came.set)
    if not lookup.done and not came.wait(LOOKUP_S):
        raise NoAddress(f"no answer to the lookup of {host} within {LOOKUP_S:.0f} s")
    found = lookup.result()
    if not found:
        raise NoAddress(f"lookup of {host}: {lookup.error}")
    return found
