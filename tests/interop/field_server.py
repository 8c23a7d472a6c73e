"""A control server as deployments run it, written from the wire formats alone: no code of the gateway in it.

One thread, one selector. TCP is always read before UDP, so that what a client says before it sends is noted
before it is noted to send.
"""

from __future__ import annotations

import contextlib
import json
import queue
import selectors
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.interop.field_diary import Diary, Happening, Manners

SUBPROTOCOL: Final = "audio-protocol"
TIMESTAMP_NS: Final = 35  # SO_TIMESTAMPNS of Linux: the kernel's own clock on each datagram


@dataclass(slots=True, eq=False)
class _Client:
    """One connection."""

    number: int
    sock: socket.socket
    protocol: ServerProtocol
    udp: socket.socket | None = None
    port: int = 0
    address: tuple[str, int] | None = None
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    open: bool = False


class FieldServer(Diary):
    """`with FieldServer(manners) as server:`; the port stays the same over `crash` and `revive`."""

    def __init__(self, manners: Manners | None = None, tls: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self.manners = manners or Manners()
        self._tls = tls
        self._clients: dict[int, _Client] = {}
        self._openings = 0
        self._jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_in, selectors.EVENT_READ, None)
        self._listener: socket.socket | None = None
        self.port = 0
        self._listen()
        self._running = True
        self.fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="field-server")

    # ---- any thread

    @property
    def url(self) -> str:
        return f"{'wss' if self._tls else 'ws'}://127.0.0.1:{self.port}/ws"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        self._wake_out.send(b"x")
        self._thread.join(5)
        for client in list(self._clients.values()):
            self._forget(client, "stop")
        if self._listener is not None:
            self._listener.close()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
        if self.fault is not None:
            raise self.fault

    def call(self, job: Callable[[], None]) -> None:
        """Run `job` on the server's thread and wait for its end; what it raises ends the server."""
        done = threading.Event()

        def work() -> None:
            try:
                job()
            finally:
                done.set()

        self._jobs.put(work)
        self._wake_out.send(b"x")
        assert done.wait(30), "the server's thread does not answer"

    def say(self, text: str, opening: int | None = None) -> None:
        """A text frame to every client, or to one."""

        def job() -> None:
            for client in list(self._clients.values()):
                if client.open and opening in (None, client.number):
                    self._say(client, text)

        self.call(job)

    def send_datagrams(self, *datagrams: bytes, opening: int | None = None) -> int:
        """To every client whose address is known, or to one; to how many clients they went."""
        reached: list[int] = []

        def job() -> None:
            for client in self._clients.values():
                if opening in (None, client.number) and client.udp is not None and client.address is not None:
                    for data in datagrams:
                        client.udp.sendto(data, client.address)
                    reached.append(client.number)

        self.call(job)
        return len(reached)

    def hang_up(self, code: int = 1001) -> None:
        """Close every WebSocket properly."""

        def job() -> None:
            for client in list(self._clients.values()):
                client.protocol.send_close(code, "")
                self._flush(client)
                self._forget(client, "closed")

        self.call(job)

    def crash(self) -> None:
        """As kill -9: every connection is reset, nobody listens, the UDP ports are gone."""

        def job() -> None:
            if self._listener is not None:
                self._selector.unregister(self._listener)
                self._listener.close()
                self._listener = None
            for client in list(self._clients.values()):
                client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._forget(client, "crash")

        self.call(job)

    def revive(self) -> None:
        """Listen again on the same port."""
        self.call(self._listen)

    def renew_ports(self, same_number: bool, offer: bool) -> None:
        """Each client's UDP socket is made anew, its address forgotten; silently, or with a new offer."""

        def job() -> None:
            for client in self._clients.values():
                number = client.port if same_number else 0
                self._close_port(client)
                self._open_port(client, number)
                if offer:
                    self._offer(client)

        self.call(job)

    # ---- the thread

    def _listen(self) -> None:
        sock = socket.create_server(("127.0.0.1", self.port), backlog=16)
        sock.setblocking(False)
        self.port = sock.getsockname()[1]
        self._listener = sock
        self._selector.register(sock, selectors.EVENT_READ, None)

    def _run(self) -> None:
        try:
            while self._running:
                self._turn()
        except Exception as error:  # noqa: BLE001 - the test must hear of it: __exit__ raises it
            self.fault = error

    def _turn(self) -> None:
        ready = self._selector.select(0.2)
        clients = [(key.data, key.fileobj) for key, _ in ready if isinstance(key.data, _Client)]
        for client, sock in clients:
            if sock is client.sock:
                self._read_tcp(client)
        for client, sock in clients:
            if sock is client.udp:
                self._read_tcp(client)  # again: it may have come since
                self._read_udp(client)
        for key, _ in ready:
            if key.fileobj is self._wake_in:
                with contextlib.suppress(BlockingIOError):
                    self._wake_in.recv(4096)
            elif key.data is None and key.fileobj is self._listener:
                self._accept()
        while True:
            try:
                self._jobs.get_nowait()()
            except queue.Empty:
                break

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.settimeout(2.0)
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        sock.setblocking(False)
        self._openings += 1
        names = [Subprotocol(SUBPROTOCOL)] if self.manners.names_subprotocol else None
        select = None if names else (lambda protocol, offered: None)
        protocol = ServerProtocol(subprotocols=names, select_subprotocol=select, max_size=2**20)
        client = _Client(self._openings, sock, protocol)
        self._clients[client.number] = client
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _read_tcp(self, client: _Client) -> None:
        while client.number in self._clients:
            try:
                data = client.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except OSError:
                self._forget(client, "reset")
                return
            if not data:
                self._forget(client, "eof")
                return
            client.protocol.receive_data(data)
            for event in client.protocol.events_received():
                if isinstance(event, Request):
                    self._shake_hands(client, event)
                else:
                    assert isinstance(event, Frame)
                    self._frame(client, event)
            self._flush(client)
            if client.protocol.close_rcvd is not None:  # its answer is out: the server closes TCP first
                self._forget(client, "closed")
                return

    def _shake_hands(self, client: _Client, request: Request) -> None:
        client.protocol.send_response(client.protocol.accept(request))
        client.open = True
        self.note(Happening(time.time(), "open", client.number, body=request))
        self._open_port(client, 0)
        self._offer(client)

    def _frame(self, client: _Client, frame: Frame) -> None:
        if frame.opcode is not Opcode.TEXT:
            return
        text = bytes(frame.data).decode()
        try:
            body = json.loads(text)
        except ValueError:
            body = text
        self.note(Happening(time.time(), "text", client.number, bytes(frame.data), body))
        if isinstance(body, dict):
            self._message(client, body, text)

    def _message(self, client: _Client, body: dict[str, Any], text: str) -> None:
        if "connect" in body:
            self._connect(client, body["connect"])
        elif "disconnect" in body:
            channel = str(body["disconnect"]["channel_id"])
            if client.channels.pop(channel, None) is not None:
                self._tell_users(channel)
        elif "transmit_started" in body or "transmit_ended" in body:
            key = "transmit_started" if "transmit_started" in body else "transmit_ended"
            channel = str(body[key]["channel_id"])
            if self.manners.acknowledges:
                self._say(client, json.dumps({"transmit_ack": {"channel_id": channel}}))
            if self.manners.relays:
                for other in list(self._clients.values()):
                    if other is not client and channel in other.channels:
                        self._say(other, text)

    def _connect(self, client: _Client, who: dict[str, Any]) -> None:
        channel = str(who["channel_id"])
        if self.manners.known is not None and channel not in self.manners.known:
            self._say(
                client,
                json.dumps({"error": True, "message": "Channel not found", "code": "CHANNEL_NOT_FOUND"}),
            )
            return
        new = channel not in client.channels
        client.channels[channel] = who
        if client.udp is None:
            self._open_port(client, client.port)
        if self.manners.offer != "once":
            self._offer(client)
        if new:
            self._tell_users(channel)

    def _tell_users(self, channel: str) -> None:
        users = [
            {key: who[key] for key in ("affiliation_id", "user_name", "agency_name", "time")}
            for who in (client.channels.get(channel) for client in self._clients.values())
            if who is not None
        ]
        flat = {"channel_id": channel, "users_connected": users}
        nested = {"users_connected": {"total": len(users), "connected": users}}
        text = json.dumps(nested if self.manners.nested_users else flat)
        for client in list(self._clients.values()):
            if channel in client.channels:
                self._say(client, text)

    def _offer(self, client: _Client) -> None:
        offer = {
            "udp_port": client.port,
            "udp_host": self.manners.udp_host,
            "websocket_id": client.port,
            "aes_key": self.manners.aes_key,
        }
        self._say(client, json.dumps(offer))

    def _say(self, client: _Client, text: str) -> None:
        if client.protocol.state is not State.OPEN:
            return
        client.protocol.send_text(text.encode())
        self._flush(client)

    def _flush(self, client: _Client) -> None:
        for data in client.protocol.data_to_send():
            if data:
                with contextlib.suppress(OSError):
                    client.sock.sendall(data)

    def _open_port(self, client: _Client, port: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, TIMESTAMP_NS, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", port))
        client.udp, client.port = sock, sock.getsockname()[1]
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _close_port(self, client: _Client) -> None:
        if client.udp is not None:
            self._selector.unregister(client.udp)
            client.udp.close()
            client.udp = None
        client.address = None

    def _read_udp(self, client: _Client) -> None:
        while client.udp is not None:
            try:
                data, ancillary, _, address = client.udp.recvmsg(65536, 64)
            except BlockingIOError:
                return
            at = time.time()
            for _, kind, stamp in ancillary:
                if kind == TIMESTAMP_NS:
                    seconds, nanoseconds = struct.unpack("qq", stamp[:16])
                    at = seconds + nanoseconds / 1e9
            client.address = address
            try:
                body = json.loads(data)
            except ValueError:
                body = None
            self.note(Happening(at, "datagram", client.number, data, body, client.port, address))
            if isinstance(body, dict) and body.get("type") == "audio":
                self._relay(client, body)

    def _relay(self, client: _Client, body: dict[str, Any]) -> None:
        channel = str(body.get("channel_id"))
        if not self.manners.relays or channel not in client.channels:
            return
        # Parsed and written again: other spacing, other order.
        data = json.dumps(dict(sorted(body.items())), indent=1).encode()
        for other in self._clients.values():
            if other is client and not self.manners.reflects:
                continue
            if channel in other.channels and other.udp is not None and other.address is not None:
                other.udp.sendto(data, other.address)

    def _forget(self, client: _Client, why: str) -> None:
        if self._clients.pop(client.number, None) is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(client.sock)
        client.sock.close()
        self._close_port(client)
        goodbye = client.protocol.close_rcvd
        body = f"close {goodbye.code}" if goodbye is not None else why
        self.note(Happening(time.time(), "lost", client.number, body=body))
        for channel in client.channels:
            self._tell_users(channel)
