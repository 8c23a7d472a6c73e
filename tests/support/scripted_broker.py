"""A broker that does what a test says: it hangs up, keeps silent, refuses, or has narrow limits.

It understands so much of MQTT 5 and 3.1.1 (OASIS standards) as a publisher needs; real brokers are in
mosquitto.py.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, PINGREQ, DISCONNECT = 1, 2, 3, 4, 8, 9, 12, 14
HANG_UP = -1
SILENT = -2


@dataclass(frozen=True, slots=True)
class Published:
    """As it came, on which connection (from 1)."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    connection: int


@dataclass
class Script:
    """connack: reason code, HANG_UP or SILENT; properties: of the CONNACK, packed. judge: of each publication
    the reason code, HANG_UP or SILENT. before: sent at once, in place of an MQTT answer."""

    connack: int = 0
    properties: bytes = b""
    judge: Callable[[Published], int] = lambda one: 0
    subscription: int = 1
    pings: bool = True
    before: bytes = b""


@dataclass
class ScriptedBroker:
    """One thread for all, one connection at a time is served by each thread of its own."""

    script: Script = field(default_factory=Script)

    def __post_init__(self) -> None:
        self.published: list[Published] = []
        self.connections = 0
        self.subscribed: list[str] = []
        self.goodbyes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = []
        self._changed = threading.Condition()
        self._accepting = threading.Thread(target=self._accept, name="scripted-broker")
        self._accepting.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in [self._accepting, *self._threads]:
            thread.join(5)

    def wait_for(self, found: Callable[[], bool], timeout_s: float = 10.0) -> None:
        with self._changed:
            assert self._changed.wait_for(found, timeout_s), f"only {self.published[-5:]}, {self.connections}"

    def payloads(self, topic: str) -> list[bytes]:
        return [one.payload for one in self.published if one.topic == topic]

    def send_to_all(self, data: bytes) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                one.sendall(data)

    # ---- inside

    def _accept(self) -> None:
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(one)
            with self._changed:
                self.connections += 1
                number = self.connections
                self._changed.notify_all()
            thread = threading.Thread(target=self._serve, args=(one, number), name="scripted-connection")
            self._threads.append(thread)
            thread.start()

    def _serve(self, one: socket.socket, connection: int) -> None:
        with one, contextlib.suppress(OSError, EOFError):
            one.sendall(self.script.before)
            v5 = False
            while True:
                kind, flags, body = _packet(one)
                if kind == CONNECT:
                    v5 = body[6] == 5
                    code = self.script.connack
                    if code == HANG_UP:
                        return
                    if code != SILENT:
                        more = bytes([len(self.script.properties)]) + self.script.properties if v5 else b""
                        one.sendall(_packed(CONNACK, 0, bytes([0, code]) + more))
                elif kind == PUBLISH:
                    if not self._publication(one, flags, body, v5, connection):
                        return
                elif kind == SUBSCRIBE:
                    if not self._subscription(one, body, v5):
                        return
                elif kind == PINGREQ and self.script.pings:
                    one.sendall(_packed(13, 0, b""))
                elif kind == DISCONNECT:
                    with self._changed:
                        self.goodbyes += 1
                        self._changed.notify_all()
                    return

    def _publication(self, one: socket.socket, flags: int, body: bytes, v5: bool, connection: int) -> bool:
        (length,) = struct.unpack_from("!H", body)
        topic, at, qos = body[2 : 2 + length].decode(), 2 + length, flags >> 1 & 3
        number = body[at : at + 2] if qos else b""
        at += len(number)
        if v5:
            size, at = _number(body, at)
            at += size
        published = Published(topic, body[at:], qos, bool(flags & 1), connection)
        with self._changed:
            self.published.append(published)
            self._changed.notify_all()
        code = self.script.judge(published)
        if code == HANG_UP:
            return False
        if qos and code != SILENT:
            one.sendall(_packed(PUBACK, 0, number + (bytes([code]) if v5 else b"")))
        return True

    def _subscription(self, one: socket.socket, body: bytes, v5: bool) -> bool:
        at = 3 + body[2] if v5 else 2
        (length,) = struct.unpack_from("!H", body, at)
        with self._changed:
            self.subscribed.append(body[at + 2 : at + 2 + length].decode())
            self._changed.notify_all()
        if self.script.subscription == HANG_UP:
            return False
        one.sendall(_packed(SUBACK, 0, body[:2] + (b"\0" if v5 else b"") + bytes([self.script.subscription])))
        return True


def publish_packet(topic: str, payload: bytes, v5: bool = True, retain: bool = False) -> bytes:
    """QoS 0, as a broker delivers it."""
    name = topic.encode()
    body = struct.pack("!H", len(name)) + name + (b"\0" if v5 else b"") + payload
    return _packed(PUBLISH, int(retain), body)


def disconnect_packet(code: int) -> bytes:
    return _packed(DISCONNECT, 0, bytes([code, 0]))


def _packed(kind: int, flags: int, body: bytes) -> bytes:
    length, size = b"", len(body)
    while True:
        size, rest = divmod(size, 128)
        length += bytes([rest | (0x80 if size else 0)])
        if not size:
            return bytes([kind << 4 | flags]) + length + body


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 0x80:
            return value, at


def _packet(one: socket.socket) -> tuple[int, int, bytes]:
    first = _exactly(one, 1)[0]
    length = b""
    while not length or length[-1] & 0x80:
        length += _exactly(one, 1)
    return first >> 4, first & 15, _exactly(one, _number(length, 0)[0])


def _exactly(one: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = one.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data
