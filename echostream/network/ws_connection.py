"""One WebSocket connection: websocket-client's handshake and frames over an interruptible stream."""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import websocket

from echostream.config.models import ControlServer
from echostream.errors import ConfigError
from echostream.network import tls
from echostream.network.resolver import Address
from echostream.network.stream import Stream, StreamInterrupted

SUBPROTOCOL: Final = "audio-protocol"
MAX_MESSAGE_BYTES: Final = 256 * 1024
MAX_HANDSHAKE_BYTES: Final = 64 * 1024
FRAME_HEADER_BYTES: Final = 14
SWITCHING_PROTOCOLS: Final = 101
PROXY_STATUSES: Final = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Timing:
    """Bounds, in seconds, of everything a server can make us wait for."""

    resolve_s: float = 5.0
    connect_s: float = 2.0
    """TCP, per address: a SYN of the first attempt is repeated after 1 s, a new attempt sends a new one."""
    handshake_s: float = 5.0
    """TLS and WebSocket together."""
    send_s: float = 5.0
    offer_s: float = 10.0
    """From the open WebSocket to the first message."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control frame came. `pong`: the answer to our ping; otherwise a ping, already answered."""

    pong: bool


class ConnectionEnded(Exception):
    """The connection or the attempt is over; the message says why, without URL or token."""


class Endpoint:
    """Where to connect and how: URL, token, TLS settings. Raises ConfigError for what cannot hold."""

    def __init__(self, settings: ControlServer, token: str | None) -> None:
        try:
            parts = urlsplit(settings.url)
            port = parts.port
        except ValueError as error:
            raise ConfigError(f"control_server.url: {error}; expected ws://host or wss://host") from error
        if parts.scheme not in ("ws", "wss") or not parts.hostname:
            raise ConfigError("control_server.url: expected ws://host or wss://host")
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "wss" else 80)
        self.shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        """The URL as it may be logged: no user, no path, no query, for each may hold a secret."""
        self.context = tls.build_context(settings.tls) if parts.scheme == "wss" else None
        self.pin = tls.pin(settings.tls)
        self.server_name = settings.tls.server_name or self.host
        self.headers = [f"Sec-WebSocket-Protocol: {SUBPROTOCOL}"]
        query = parts.query
        token = _checked_token(settings, token)
        if token and settings.token_header:
            self.headers.append(f"{settings.token_header}: {token}")
        if token and settings.token_query:
            pair = f"{quote(settings.token_query, safe='')}={quote(token, safe='')}"
            query = f"{query}&{pair}" if query else pair
        netloc = parts.netloc.rpartition("@")[2]
        self.url = urlunsplit((parts.scheme, netloc, parts.path, query, ""))

    def __repr__(self) -> str:
        return f"Endpoint({self.shown!r})"


def _checked_token(settings: ControlServer, token: str | None) -> str | None:
    if token is None:
        return None
    token = token.strip()
    if not token or not token.isprintable() or not token.isascii():
        raise ConfigError("control_server.token: expected printable ASCII on one line")
    if not settings.token_header and not settings.token_query:
        raise ConfigError("control_server.token: say where it goes: token_header or token_query")
    return token


class WsConnection:
    """An open WebSocket. One thread receives, another may send."""

    def __init__(self, stream: Stream, library: websocket.WebSocket) -> None:
        self.link = 0
        self._stream = stream
        self._library = library
        self._sending = threading.Lock()
        self._send_failure = ""
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._opcode = 0

    def receive(self, until: float) -> str | bytes | Control | None:
        """The next message or control frame; None at `until` (monotonic seconds). Raises ConnectionEnded."""
        self._stream.deadline = until
        while True:
            try:
                frame = self._library.recv_frame()  # type: ignore[no-untyped-call]
            except websocket.WebSocketTimeoutException:
                return None  # the library keeps the part of a frame that came
            except (OSError, websocket.WebSocketException, ValueError) as error:
                raise ConnectionEnded(self._send_failure or reason(error)) from error
            self._stream.budget = MAX_MESSAGE_BYTES + FRAME_HEADER_BYTES
            result = self._take(frame)
            if result is not None:
                return result

    def _take(self, frame: websocket.ABNF) -> str | bytes | Control | None:
        """What a frame completes, if anything. Fragments are put together here, within the bound."""
        data: bytes = frame.data if isinstance(frame.data, bytes) else frame.data.encode()
        match frame.opcode:
            case websocket.ABNF.OPCODE_PING:
                self._send(data, websocket.ABNF.OPCODE_PONG)
                return Control(pong=False)
            case websocket.ABNF.OPCODE_PONG:
                return Control(pong=True)
            case websocket.ABNF.OPCODE_CLOSE:
                with contextlib.suppress(ConnectionEnded):
                    self._send(data[:2], websocket.ABNF.OPCODE_CLOSE)
                code = int.from_bytes(data[:2], "big") or "none"
                raise ConnectionEnded(f"the server closed with code {code}")
            case websocket.ABNF.OPCODE_CONT if not self._opcode:
                raise ConnectionEnded("protocol error: a continuation of nothing")
            case websocket.ABNF.OPCODE_TEXT | websocket.ABNF.OPCODE_BINARY if self._opcode:
                raise ConnectionEnded("protocol error: a new message inside another")
            case _:
                return self._assemble(frame.opcode, data, bool(frame.fin))

    def _assemble(self, opcode: int, data: bytes, final: bool) -> str | bytes | None:
        self._opcode = self._opcode or opcode
        self._parts.append(data)
        self._parts_bytes += len(data) + 1  # empty fragments count too
        if self._parts_bytes > MAX_MESSAGE_BYTES:
            raise ConnectionEnded(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        if not final:
            return None
        whole, opcode = b"".join(self._parts), self._opcode
        self._parts, self._parts_bytes, self._opcode = [], 0, 0
        if opcode == websocket.ABNF.OPCODE_BINARY:
            return whole
        return whole.decode("utf-8", errors="replace")

    def send_text(self, text: str) -> None:
        """Blocks for at most the send timeout. Raises ConnectionEnded: the connection is unusable then."""
        self._send(text.encode(), websocket.ABNF.OPCODE_TEXT)

    def ping(self) -> None:
        """Raises ConnectionEnded."""
        self._send(b"", websocket.ABNF.OPCODE_PING)

    def goodbye(self) -> None:
        """Send a close frame. Raises ConnectionEnded."""
        self._send((1000).to_bytes(2, "big"), websocket.ABNF.OPCODE_CLOSE)

    def _send(self, data: bytes, opcode: int) -> None:
        try:
            with self._sending:
                self._library.send(data, opcode)
        except (OSError, websocket.WebSocketException, ValueError) as error:
            self._send_failure = self._send_failure or f"send: {reason(error)}"
            self._stream.interrupt()  # half a frame may have gone: nothing can follow it
            raise ConnectionEnded(self._send_failure) from error

    def interrupt(self) -> None:
        """End every wait, from any thread."""
        self._stream.interrupt()

    def release(self) -> None:
        """Close, by the receiving thread."""
        self._stream.close()
        with self._sending:
            self._stream.release()


def open_connection(
    endpoint: Endpoint, addresses: list[Address], timing: Timing, on_stream: Callable[[Stream], None]
) -> WsConnection:
    """Connect to the first address that accepts. `on_stream` sees each stream before it may block.

    Raises Unanswered when nobody accepted, ConnectionEnded when somebody did and then failed.
    """
    stream = _first_that_accepts(addresses, timing, on_stream)
    stream.deadline = time.monotonic() + timing.handshake_s
    stream.budget = MAX_HANDSHAKE_BYTES
    try:
        if endpoint.context is not None:
            tls.check_pin(endpoint.pin, stream.start_tls(endpoint.context, endpoint.server_name))
        # The subprotocol is asked for in a header of our own: asked through the library's option, a server
        # that leaves it out of its answer is refused, which RFC 6455 section 4.1 does not demand.
        library = websocket.create_connection(
            endpoint.url, socket=stream, header=endpoint.headers, redirect_limit=0, skip_utf8_validation=True
        )
        if library.getstatus() != SWITCHING_PROTOCOLS:
            raise ConnectionEnded(f"the server answered with HTTP status {library.getstatus()}")
        selected = (library.getheaders() or {}).get("sec-websocket-protocol", SUBPROTOCOL)
        if selected.strip().lower() != SUBPROTOCOL:
            raise ConnectionEnded("the server chose another subprotocol")
    except (OSError, websocket.WebSocketException, ValueError) as error:
        stream.release()
        if _server_is_away(error):
            raise Unanswered(reason(error)) from error
        raise ConnectionEnded(f"handshake: {reason(error)}") from error
    except BaseException:
        stream.release()
        raise
    stream.budget = MAX_MESSAGE_BYTES + FRAME_HEADER_BYTES
    return WsConnection(stream, library)


def knock(addresses: list[Address], timing: Timing, on_stream: Callable[[Stream], None]) -> None:
    """Find out whether somebody accepts, and leave. Raises Unanswered."""
    _first_that_accepts(addresses, timing, on_stream).release()


class Unanswered(Exception):
    """Nobody accepted the connection, or a proxy said so for the server behind it."""


def _first_that_accepts(
    addresses: list[Address], timing: Timing, on_stream: Callable[[Stream], None]
) -> Stream:
    failure = "no address"
    for family, address in addresses:
        stream = Stream(timing.send_s)
        try:
            on_stream(stream)
            stream.connect(family, address, time.monotonic() + timing.connect_s)
            return stream
        except OSError as error:
            failure = reason(error)
            stream.release()
    raise Unanswered(failure)


def _server_is_away(error: BaseException) -> bool:
    """A proxy answered for a server that is not there, and did not ask us to keep away."""
    if not isinstance(error, websocket.WebSocketBadStatusException):
        return False
    return error.status_code in PROXY_STATUSES and "retry-after" not in (error.resp_headers or {})


def reason(error: BaseException) -> str:
    """An error in words of our own: the library's may quote the server's headers."""
    if isinstance(error, StreamInterrupted):
        return "left on request"
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"the server answered with HTTP status {error.status_code}"
    if isinstance(error, TimeoutError | websocket.WebSocketTimeoutException):
        return "timed out"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, tls.PinMismatch):
        return str(error.args[0])
    if isinstance(error, websocket.WebSocketConnectionClosedException):
        return "the server closed the connection"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return f"protocol error ({type(error).__name__})"
