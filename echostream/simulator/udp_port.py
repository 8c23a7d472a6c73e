"""One client's UDP port at the control server: where it hears the client, and how it answers."""

from __future__ import annotations

import errno
import logging
import socket
from typing import Any, Final

from echostream.wire.packet_v1 import MAX_DATAGRAM

log = logging.getLogger(__name__)

RECEIVE_BUFFER_BYTES: Final = 1 << 18


class UdpPort:
    """A socket that never blocks and learns its client's address from what arrives.

    Raises OSError when the port is taken.
    """

    def __init__(self, host: str, port: int, now: float) -> None:
        """`port` 0: any. The host says the family."""
        self.heard_at = now
        self._address: tuple[Any, ...] | None = None
        self._sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self._sock.bind((host, port))
        except OSError:
            self._sock.close()
            raise
        self.number = int(self._sock.getsockname()[1])

    def fileno(self) -> int:
        return self._sock.fileno()

    def receive(self, now: float) -> bytes | None:
        """The next datagram, None when there is none. At most one byte more than the protocol allows."""
        try:
            datagram, self._address = self._sock.recvfrom(MAX_DATAGRAM + 1)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):  # an ICMP error of an earlier send
                log.debug("UDP port %d: %s", self.number, error)
            return None
        self.heard_at = now
        return datagram

    def send(self, datagram: bytes) -> bool:
        """To the client, once it was heard. False: not sent."""
        if self._address is None:
            return False
        try:
            self._sock.sendto(datagram, self._address)
        except OSError as error:
            log.debug("UDP port %d: %s", self.number, error)
            return False
        return True

    def close(self) -> None:
        self._sock.close()
