"""Those who are told: HTTP and SMTP servers on loopback, as good or as bad as a test wants them."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from authority import Pair


class Receiver:
    """What one of them got, and how it behaves: status of its answers; slow_s: before each."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.got: list[dict[str, Any]] = []
        self.at_s: list[float] = []
        self.status = 200
        self.slow_s = 0.0
        self.port = 0
        self.stopping = threading.Event()

    def wait_for(self, count: int, within_s: float = 20.0) -> bool:
        """Until so many have come."""
        until_s = time.monotonic() + within_s
        while len(self.got) < count and time.monotonic() < until_s:
            self.stopping.wait(0.05)
        return len(self.got) >= count


@contextlib.contextmanager
def http_receiver(tls: Pair | None = None) -> Iterator[Receiver]:
    """Takes JSON on a port of its own: json://127.0.0.1:PORT/, or jsons:// with a certificate."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.0"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.asked.set()
            receiver.stopping.wait(receiver.slow_s)
            with contextlib.suppress(OSError):
                self.send_response(receiver.status)
                self.end_headers()
            if receiver.status == 200:
                receiver.at_s.append(time.monotonic())
                receiver.got.append(json.loads(body))

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that trusts it not
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.cert, tls.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    with _served(server, receiver):
        yield receiver


@contextlib.contextmanager
def smtp_receiver(password: str | None = None) -> Iterator[Receiver]:
    """Takes mail (RFC 5321): each as {"from", "to", "data"}. password: what AUTH PLAIN must say."""
    receiver = Receiver()
    server = _Smtp(("127.0.0.1", 0), _SmtpHandler)
    server.receiver, server.password = receiver, password
    with _served(server, receiver):
        yield receiver


@contextlib.contextmanager
def deaf_receiver() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def dead_port() -> int:
    """One at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


class _Smtp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    receiver: Receiver
    password: str | None


class _SmtpHandler(socketserver.StreamRequestHandler):
    server: _Smtp
    GREETING: ClassVar = {"EHLO": "250-localhost\r\n250 AUTH PLAIN LOGIN", "HELO": "250 localhost"}

    def handle(self) -> None:
        mail: dict[str, Any] = {"to": []}
        self._say("220 localhost ready")
        while line := self.rfile.readline().decode("utf-8", "replace").strip():
            verb = line.split()[0].upper()
            if verb in self.GREETING:
                self._say(self.GREETING[verb])
            elif verb == "AUTH":
                self._say(self._auth(line))
            elif verb == "MAIL":
                mail["from"] = line
                self._say("250 fine")
            elif verb == "RCPT":
                mail["to"].append(line)
                self._say("250 fine")
            elif verb == "DATA":
                self._say("354 go on")
                mail["data"] = self._data()
                self.server.receiver.at_s.append(time.monotonic())
                self.server.receiver.got.append(mail)
                self._say("250 taken")
            elif verb == "QUIT":
                self._say("221 bye")
                return
            else:
                self._say("250 fine")

    def _auth(self, line: str) -> str:
        import base64

        wanted = self.server.password
        said = base64.b64decode(line.split()[-1]).decode()
        return "235 in" if wanted is None or said.endswith("\0" + wanted) else "535 authentication failed"

    def _data(self) -> str:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line.decode("utf-8", "replace"))
        return "".join(lines)

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextlib.contextmanager
def _served(server: socketserver.TCPServer, receiver: Receiver) -> Iterator[None]:
    receiver.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="receiver")
    thread.start()
    try:
        yield
    finally:
        receiver.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(5.0)
