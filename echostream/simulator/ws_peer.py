"""The server's end of one WebSocket on a socket that never blocks.

Over the sans-I/O half of the `websockets` library: bytes in, events and bytes out. Its threaded server takes
three threads a client and blocks in send() on a client that does not read; this one is driven by the control
server's one selector thread, and a client that does not read is dropped once its buffer is full.
"""

from __future__ import annotations

import http
import logging
import selectors
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import CONNECTING, OPEN
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

_protocol_log = logging.getLogger("echostream.websockets")
_protocol_log.setLevel(logging.WARNING)  # below that the library logs headers and messages: tokens and keys

SUBPROTOCOL: Final = Subprotocol("audio-protocol")
MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_UNSENT_BYTES: Final = 256 * 1024
READ_BYTES: Final = 65_536
READS: Final = 8  # per turn, so that one client cannot hold the others up

# Decides on a handshake: None lets it in, else the status to refuse it with.
Gate = Callable[[Request], http.HTTPStatus | None]


def _choose(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours when it is asked for; a client that asks for none is served as well."""
    return SUBPROTOCOL if SUBPROTOCOL in offered else None


class WsPeer:
    """One client. Only the server's thread calls it."""

    def __init__(self, sock: socket.socket, gate: Gate, tls: ssl.SSLContext | None, now: float) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.accepted_at = now
        self.heard_at = now
        self.closing_since: float | None = None
        self.closed = False
        self.why = ""
        self._gate = gate
        self._sock = sock
        self._shaking: ssl.SSLSocket | None = None
        if tls is not None:
            self._shaking = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self._sock = self._shaking
        self._protocol = ServerProtocol(
            subprotocols=[SUBPROTOCOL],
            select_subprotocol=_choose,
            max_size=MAX_MESSAGE_BYTES,
            logger=_protocol_log,
        )
        self._unsent = bytearray()
        self._last_bytes = False
        self._parts: list[bytes] = []

    @property
    def open(self) -> bool:
        """The handshake is done and nobody has closed."""
        return not self.closed and self._protocol.state is OPEN

    @property
    def interest(self) -> int:
        """What to ask the selector for."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def fileno(self) -> int:
        return self._sock.fileno()

    def turn(self, now: float) -> list[str]:
        """Read and write what can be; returns the text messages that are complete."""
        if self.closed or not self._shake_hands():
            return []
        reads = 0
        while reads < READS or self._pending():
            reads += 1
            try:
                data = self._sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError):
                break
            except OSError as error:
                self.drop(str(error))
                return []
            if not data:
                self._protocol.receive_eof()
                self._last_bytes = True
                break
            self.heard_at = now
            self._protocol.receive_data(data)
        texts = [text for event in self._protocol.events_received() for text in self._event(event)]
        self._flush()
        return texts

    def _pending(self) -> bool:
        """TLS holds bytes that the selector does not see."""
        return isinstance(self._sock, ssl.SSLSocket) and self._sock.pending() > 0

    def _shake_hands(self) -> bool:
        if self._shaking is None:
            return True
        try:
            self._shaking.do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError as error:
            self.drop(f"TLS: {error}")
            return False
        self._shaking = None
        return True

    def _event(self, event: object) -> list[str]:
        if isinstance(event, Request):
            if self._protocol.state is not CONNECTING:
                return []  # it asked and hung up before we read it
            status = self._gate(event)
            if status is None:
                self._protocol.send_response(self._protocol.accept(event))
            else:
                self._protocol.send_response(self._protocol.reject(status, f"{status.phrase}\n"))
        elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._parts.append(bytes(event.data))  # the protocol bounds their sum
            if event.fin:
                whole, self._parts = b"".join(self._parts), []
                return [whole.decode("utf-8", errors="replace")]
        return []

    def send(self, text: str) -> None:
        """Queue a message and send what the socket takes."""
        if self.open:
            self._protocol.send_text(text.encode())
            self._flush()

    def close(self, code: int, why: str, now: float) -> None:
        """Begin the closing handshake."""
        if self.open:
            self.closing_since = now
            self._protocol.send_close(code, why)
            self._flush()

    def drop(self, why: str) -> None:
        """It is over. The socket stays until release(): none may get its number while a selector has it."""
        if not self.closed:
            self.closed = True
            self.why = why

    def release(self) -> None:
        """Close the socket. Idempotent."""
        self.drop("released")
        self._sock.close()

    def _flush(self) -> None:
        for chunk in self._protocol.data_to_send():
            self._unsent += chunk
            self._last_bytes |= not chunk  # b"" stands for the end of the stream
        while self._unsent and not self.closed:
            try:
                sent = self._sock.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, InterruptedError):
                break
            except OSError as error:
                self.drop(str(error))
                return
            del self._unsent[:sent]
        if len(self._unsent) > MAX_UNSENT_BYTES:
            self.drop("does not read")
        elif self._last_bytes and not self._unsent:
            self.drop("closed")
