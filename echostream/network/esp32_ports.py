"""The two ports that devices send to. One that cannot be had is tried again; the other goes on."""

from __future__ import annotations

import logging
import selectors
import socket
from math import inf
from typing import Final

log = logging.getLogger(__name__)

RETRY_S: Final = 5.0
BACKLOG: Final = 256
TCP_BUFFER_BYTES: Final = 1 << 17
"""Of each connection, in the kernel: four seconds of 16 kHz, 0.7 s of 48 kHz floats."""
UDP_BUFFER_BYTES: Final = 1 << 20
"""For all devices together: a second of thirty of 16 kHz."""


class PortHolder:
    """Keeps one port open in a selector; `data` comes back with it from there."""

    def __init__(self, kind: socket.SocketKind, selector: selectors.BaseSelector, data: object) -> None:
        self.sock: socket.socket | None = None
        self._kind = kind
        self._selector = selector
        self._data = data
        self._wanted: tuple[str, int] | None = None
        self._next_s = inf
        self._complained = False
        self._paused = False

    @property
    def port(self) -> int:
        """0 while it is not open."""
        sock = self.sock
        return 0 if sock is None else int(sock.getsockname()[1])

    @property
    def due_at_s(self) -> float:
        """Monotonic seconds at which `open_if_due` has something to do; inf: nothing."""
        return self._next_s

    def want(self, host: str, port: int | None, now: float) -> None:
        """From now on this one; None: none. The same as before changes nothing."""
        wanted = None if port is None else (host, port)
        if wanted == self._wanted:
            return
        self.close()
        self._wanted = wanted
        self._next_s = inf if wanted is None else now
        self._complained = False

    def pause(self, until_s: float) -> None:
        """Nothing can be taken at this moment: do not look until then. Who connects waits meanwhile."""
        if self.sock is not None:
            self._selector.unregister(self.sock)
            self._paused = True
            self._next_s = until_s

    def open_if_due(self, now: float) -> None:
        """Open it, or say why not and try again later."""
        if self._wanted is None or now < self._next_s:
            return
        if self._paused and self.sock is not None:
            self._next_s, self._paused = inf, False
            self._selector.register(self.sock, selectors.EVENT_READ, self._data)
            return
        host, port = self._wanted
        what = "TCP" if self._kind == socket.SOCK_STREAM else "UDP"
        try:
            self.sock = _bound(self._kind, host, port)
        except OSError as error:
            self._next_s = now + RETRY_S
            if not self._complained:
                self._complained = True
                reason = error.strerror or str(error)
                log.error("esp32: %s port %d of %s: %s; trying again", what, port, host, reason)
            return
        self._next_s, self._complained = inf, False
        self._selector.register(self.sock, selectors.EVENT_READ, self._data)
        log.info("esp32: devices are heard on %s port %d of %s", what, self.port, host)

    def close(self) -> None:
        """Until it is wanted again. Idempotent."""
        self._shut()
        self._wanted = None
        self._next_s = inf

    def _shut(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            if not self._paused:
                self._selector.unregister(sock)
            self._paused = False
            sock.close()


def _bound(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, TCP_BUFFER_BYTES)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
