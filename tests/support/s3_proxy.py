"""Stands between a sender and an S3 server, counts what passes, and does to it what networks do."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

_HOPS: Final = {"expect", "connection", "transfer-encoding", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Passed:
    """One request. what: "PUT", or "PUT part" and so on; status: what came of it, 0: nothing."""

    what: str
    key: str
    status: int
    size: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One request before it passes. number: how many of that kind there were before."""

    what: str
    key: str
    number: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done.

    status, code: answered instead of the server. cut_after: bytes of the body after which the connection is
    reset. lose: the server gets it, and its answer is lost. hang: nothing is ever said.
    """

    status: int = 0
    code: str = ""
    cut_after: int | None = None
    lose: bool = False
    hang: bool = False


def answer(status: int, code: str) -> Fault:
    """An error of S3's own."""
    return Fault(status, code)


Faults = Callable[[Asked], Fault | None]


def none(asked: Asked) -> Fault | None:
    """All goes well."""
    return None


@dataclass
class Proxy:
    """url: what the sender is told. faults: may be changed at any time."""

    url: str
    port: int
    faults: Faults = none
    passed: list[Passed] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, key: str = "", good: bool = True) -> int:
        """Requests of that kind that passed; good: those that the server took."""
        return sum(
            one.what == what and (not key or one.key == key) and (not good or 200 <= one.status < 300)
            for one in self.passed
        )

    def decide(self, what: str, key: str) -> Fault | None:
        with self._lock:
            number = self._counts.get(what, 0)
            self._counts[what] = number + 1
        return self.faults(Asked(what, key, number))


@contextmanager
def proxy(
    upstream: str, pair: tuple[Path, Path] | None = None, context: ssl.SSLContext | None = None
) -> Iterator[Proxy]:
    """In front of http://HOST:PORT. pair: certificate and key, to be reached by https. context: which has
    them, and may get others."""
    host = urlsplit(upstream).netloc
    server = _Server(("127.0.0.1", 0), _Handler)
    port = int(server.server_address[1])
    if pair is not None:
        context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Proxy(f"{'http' if pair is None else 'https'}://127.0.0.1:{port}", port)
    server.proxy, server.upstream = found, host
    thread = threading.Thread(target=server.serve_forever, name="s3-proxy", kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.ended.set()
        server.server_close()
        thread.join(10)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: Proxy
    upstream: str
    ended: threading.Event

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(address, handler)
        self.ended = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients go in the middle of everything here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def handle_request(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query, keep_blank_values=True)
        key = parts.path.lstrip("/").partition("/")[2]
        what = self.command + (
            " part"
            if "partNumber" in query
            else " parts"
            if "uploadId" in query or "uploads" in query
            else ""
        )
        size = int(self.headers.get("Content-Length") or 0)
        fault = self.server.proxy.decide(what, key)
        if fault is not None and not fault.lose:
            self._do(fault, what, key, size)
            return
        status, headers, data = self._forwarded(self.rfile.read(size))
        self.server.proxy.passed.append(Passed(what, key, status, size))
        if fault is not None:
            self._reset()
            return
        self._answer(status, headers, data)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815 - the base class's names

    def _do(self, fault: Fault, what: str, key: str, size: int) -> None:
        self.server.proxy.passed.append(Passed(what, key, fault.status, size))
        if fault.hang:
            self.server.ended.wait(120)
            self._reset()
        elif fault.cut_after is not None:
            self.rfile.read(min(size, fault.cut_after))
            self._reset()
        else:
            self.rfile.read(size)
            text = f"<Error><Code>{fault.code}</Code><Message>on purpose</Message></Error>".encode()
            headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))]
            self._answer(fault.status, headers, text)

    def _forwarded(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOPS:
                    upstream.putheader(name, value)
            upstream.endheaders(body)
            back = upstream.getresponse()
            data = back.read()
            headers = [one for one in back.getheaders() if one[0].lower() not in {*_HOPS, "content-length"}]
            length = back.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
            return back.status, [*headers, ("Content-Length", length or "0")], data
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _reset(self) -> None:
        """Not a word more: RST."""
        self.close_connection = True
        with suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
