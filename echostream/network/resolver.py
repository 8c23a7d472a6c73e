"""Name lookups that can be given up: getaddrinfo itself can neither be interrupted nor bounded."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from typing import Any, Final

log = logging.getLogger(__name__)

MAX_ADDRESSES: Final = 4  # of one name; a name server must not make us try a hundred

Address = tuple[socket.AddressFamily, tuple[Any, ...]]


def numeric(host: str, port: int, kind: socket.SocketKind) -> list[Address]:
    """The address when `host` is an IP literal, else an empty list. Never asks a name server."""
    try:
        return _addresses(host, port, kind, socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return []


def _addresses(host: str, port: int, kind: socket.SocketKind, flags: int = 0) -> list[Address]:
    found: list[Address] = []
    for family, _, _, _, address in socket.getaddrinfo(host, port, type=kind, flags=flags):
        if (family, address) not in found:
            found.append((family, address))
    if kind == socket.SOCK_DGRAM:
        # UDP cannot tell that nobody listens, so the families cannot be tried in turn. Servers of the field
        # take audio on IPv4; "localhost" would otherwise mean ::1 first.
        found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return found[:MAX_ADDRESSES]


class Lookup:
    """One lookup, under way or done. IP literals are done at once; names are asked for on a thread.

    The thread is a daemon and is not joined: a name server that never answers can hold it for half a minute,
    and nothing may wait for that. An owner has at most one lookup under way (see `Resolver`).
    """

    def __init__(self, host: str, port: int, kind: socket.SocketKind, on_done: Callable[[], None]) -> None:
        self.key = (host, port, kind)
        self.addresses: list[Address] = numeric(host, port, kind)
        self.error = ""
        self.taken = False
        self.done = bool(self.addresses)
        self._on_done = on_done
        if not self.done:
            threading.Thread(target=self._run, name=f"dns-{host}", daemon=True).start()

    def result(self) -> list[Address]:
        """The addresses once it is done, an empty list when there are none (then `error` says why)."""
        self.taken = True
        return self.addresses

    def _run(self) -> None:
        try:
            self.addresses = _addresses(*self.key)
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be an IDNA name
            self.error = str(error) or type(error).__name__
        self.done = True
        self._on_done()


class Resolver:
    """Lookups of one owner, never more than one under way. Called from one thread."""

    def __init__(self, on_done: Callable[[], None]) -> None:
        """`on_done` is called on the lookup's thread: it may only wake the owner."""
        self._on_done = on_done
        self._current: Lookup | None = None

    def ask(self, host: str, port: int, kind: socket.SocketKind) -> Lookup | None:
        """A lookup of this name, perhaps one that is already under way; None while an older name blocks.

        One whose result was taken is not handed out again: the next call asks anew.
        """
        current = self._current
        if current is not None and current.key == (host, port, kind) and not current.taken:
            return current
        if current is not None and not current.done:
            return None
        self._current = Lookup(host, port, kind, self._on_done)
        return self._current
