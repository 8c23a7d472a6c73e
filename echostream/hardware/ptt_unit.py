"""The guard as a service: the socket it is started with, who may connect, what the service manager is told.

A few lines of its own for sd_listen_fds(3) and sd_notify(3), because the guard imports next to nothing.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import socket
from collections.abc import Callable
from typing import Final, NamedTuple

FIRST_DESCRIPTOR: Final = 3
BACKLOG: Final = 16


class Unit:
    """What systemd is told. Where it did not start us: nothing, and it costs nothing."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog = os.environ.get("WATCHDOG_USEC", "") if self._address else ""
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every_s = int(watchdog) / 4e6 if watchdog.isdecimal() and mine else None
        self._due = 0.0
        self._said = ""

    def ready(self, status: str) -> None:
        """The lines are held, and gateways may come."""
        self._said = status
        self._notify(f"READY=1\nSTATUS={status}")

    def alive(self, now: float, status: Callable[[], str]) -> None:
        """Once a turn: feed the watchdog when that is due, and say what changed."""
        if self._every_s is None or now < self._due:
            return
        self._due = now + self._every_s
        self._notify("WATCHDOG=1")
        words = status()
        if words != self._said:
            self._said = words
            self._notify(f"STATUS={words}")

    def deadline(self) -> float | None:
        """When `alive` is due again; None without a watchdog."""
        return self._due if self._every_s is not None else None

    def _notify(self, words: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(words.encode(), self._address)


def inherited_socket() -> socket.socket:
    """The socket that the service manager listens on. LookupError where there is none."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        raise LookupError("--listen without a path: expected one socket of echostream-ptt-guard.socket")
    os.set_inheritable(FIRST_DESCRIPTOR, False)
    sock = socket.socket(fileno=FIRST_DESCRIPTOR)
    if (sock.family, sock.type) != (socket.AF_UNIX, socket.SOCK_SEQPACKET):
        raise LookupError(
            f"the socket passed is {sock.family.name}: expected ListenSequentialPacket=/run/..."
        )
    return sock


def own_socket(path: str) -> socket.socket:
    """A socket at `path`, in place of one that a dead guard left. OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.connect(path)
    except FileNotFoundError:
        pass
    except ConnectionRefusedError:
        os.unlink(path)
    else:
        sock.close()
        raise OSError(f"{path}: another guard listens there")
    sock.close()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.bind(path)
    sock.listen(BACKLOG)
    return sock


class Admitted(NamedTuple):
    """Who may connect: these users, and members of this group."""

    users: frozenset[int]
    group: int | None


def admitted(name: str | None) -> Admitted:
    """Ourselves, root, the named user and the members of its group. KeyError when there is no such user."""
    if name is None:
        return Admitted(frozenset({0, os.geteuid()}), None)
    named = pwd.getpwnam(name)
    return Admitted(frozenset({0, os.geteuid(), named.pw_uid}), named.pw_gid)
