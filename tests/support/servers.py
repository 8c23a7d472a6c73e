"""Servers that misbehave on purpose, certificates, and a place where events arrive. All on 127.0.0.1."""

from __future__ import annotations

import base64
import datetime
import hashlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from echostream.config.models import ControlServer as Settings
from echostream.config.models import Tls
from echostream.events import Event
from echostream.network.udp_manager import UdpManager
from echostream.network.websocket_client import WebSocketClient
from echostream.network.ws_connection import Timing
from echostream.simulator.control_server import ControlServer

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 section 1.3
OFFER = '{"udp_port": 51234, "udp_host": "127.0.0.1", "websocket_id": 51234, "aes_key": "N/A"}'

E = TypeVar("E")


class Events:
    """What was posted, in order, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[Event] = []
        self._changed = threading.Condition()

    def post(self, event: Event) -> None:
        with self._changed:
            self.seen.append(event)
            self._changed.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in list(self.seen) if isinstance(event, kind)]

    def wait(self, kind: type[E], count: int = 1, timeout_s: float = 3.0) -> E:
        """The `count`-th event of this kind."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.of(kind)) >= count, timeout_s)
        assert came, f"no {kind.__name__} number {count} within {timeout_s} s; seen: {self.seen}"
        return self.of(kind)[count - 1]


def stop_what_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Body of a fixture: a test that fails half way must not leave threads that keep pytest from ending.

    Stopping twice is allowed, so what the test stopped itself is stopped again.
    """
    made: list[WebSocketClient | ControlServer | UdpManager] = []

    def remembering(real: Callable[..., None]) -> Callable[..., None]:
        def remember(self: WebSocketClient | ControlServer | UdpManager, *args: Any, **options: Any) -> None:
            real(self, *args, **options)
            made.append(self)

        return remember

    for kind in (WebSocketClient, ControlServer, UdpManager):
        monkeypatch.setattr(kind, "__init__", remembering(kind.__init__))
    before = set(threading.enumerate())
    yield
    for one in made:
        assert one.stop()
    assert eventually(lambda: not set(threading.enumerate()) - before), "a thread outlived its test"


def eventually(condition: Callable[[], bool], timeout_s: float = 2.0) -> bool:
    """Ask every 5 ms until it holds."""
    pause = threading.Event()
    for _ in range(int(timeout_s / 0.005)):
        if condition():
            return True
        pause.wait(0.005)
    return condition()


QUICK = Timing(resolve_s=0.5, connect_s=0.5, handshake_s=0.3, send_s=0.5, offer_s=0.3)


def settings(
    url: str,
    *,
    tls: Tls | None = None,
    ping_s: float = 20.0,
    token_header: str | None = None,
    token_query: str | None = None,
) -> Settings:
    """With back-off short enough for a test."""
    return Settings(
        url=url,
        tls=tls or Tls(),
        ping_s=ping_s,
        token_header=token_header,
        token_query=token_query,
        reconnect_min_s=0.02,
        reconnect_max_s=0.1,
        probe_s=0.1,
    )


def client(to: Settings, events: Events, timing: Timing = QUICK, token: str | None = None) -> WebSocketClient:
    return WebSocketClient(to, token, events.post, timing=timing)


Script = Callable[[socket.socket], None]


class ScriptedServer:
    """Runs a script on each connection, one after another, and closes it when the script returns."""

    def __init__(self, *scripts: Script, backlog: int = 16) -> None:
        """The last script serves all further connections."""
        self._scripts = scripts
        self.connections = 0
        self.stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/"
        self._current: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="scripted-server")

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._current = sock
            script = self._scripts[min(self.connections, len(self._scripts) - 1)]
            self.connections += 1
            with sock:
                sock.settimeout(5.0)
                try:
                    script(sock)
                except OSError:
                    continue

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._current is not None:
            try:
                self._current.shutdown(socket.SHUT_RDWR)
            except OSError:
                self._current.close()
        self._thread.join(2.0)
        assert not self._thread.is_alive()


def read_request(sock: socket.socket) -> str:
    """The HTTP request, up to the empty line."""
    request = b""
    while b"\r\n\r\n" not in request:
        more = sock.recv(4096)
        if not more:
            raise ConnectionError("the client went")
        request += more
    return request.decode()


def shake_hands(sock: socket.socket, subprotocol: str | None = "audio-protocol") -> str:
    """Accept a WebSocket; returns the request."""
    request = read_request(sock)
    key = next(line for line in request.split("\r\n") if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key.split(":")[1].strip().encode() + GUID).digest()).decode()
    chosen = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    sock.sendall(
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n{chosen}\r\n"
        ).encode()
    )
    return request


def frame(data: bytes | str, opcode: int = 1, fin: bool = True) -> bytes:
    """A server's frame: not masked."""
    body = data.encode() if isinstance(data, str) else data
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(body) < 126:
        return head + bytes([len(body)]) + body
    if len(body) < 1 << 16:
        return head + b"\x7e" + len(body).to_bytes(2, "big") + body
    return head + b"\x7f" + len(body).to_bytes(8, "big") + body


def until_closed(sock: socket.socket) -> None:
    """Read and forget until the client goes."""
    while sock.recv(65_536):
        continue


def free_port() -> int:
    """A TCP port on which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass(frozen=True)
class Certificates:
    """An authority, and a server certificate of it for `localhost` and 127.0.0.1."""

    ca_file: str
    server_file: str
    fingerprint: str


def make_certificates(folder: Path, name: str = "localhost", days: int = 1) -> Certificates:
    """Fresh ones, elliptic-curve keys, valid from yesterday on."""
    folder.mkdir(parents=True, exist_ok=True)
    ca_key, ca = _certificate("EchoStream test authority", None, None, days)
    key, server = _certificate(name, ca_key, ca, days)
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    server_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + server.public_bytes(serialization.Encoding.PEM)
    )
    return Certificates(str(ca_file), str(server_file), server.fingerprint(hashes.SHA256()).hex())


def _certificate(
    name: str,
    signer: ec.EllipticCurvePrivateKey | None,
    issuer: x509.Certificate | None,
    days: int,
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(signer or key, hashes.SHA256())
