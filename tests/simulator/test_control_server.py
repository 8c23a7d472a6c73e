"""Our own control server over real sockets, spoken to with the websockets library as other clients do."""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from servers import eventually, frame, make_certificates, stop_what_is_left
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from echostream.errors import WireError
from echostream.simulator.control_server import ControlServer, Limits
from echostream.simulator.control_server_options import add_arguments
from echostream.wire import signalling_v1 as signalling

PORCH = signalling.Identity("a1", "Porch", "Fire")
KEY = base64.b64encode(bytes(range(32))).decode()
KEEP_ALIVE = b'{"type": "KEEP_ALIVE"}'
PATIENT = Limits(idle_s=1e9)


@pytest.fixture(autouse=True)
def _stop_what_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from stop_what_is_left(monkeypatch)


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def move(self, server: ControlServer, seconds: float) -> None:
        self.now += seconds
        assert server.settle()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[ControlServer]:
    server = ControlServer(**options)
    server.start()
    try:
        yield server
    finally:
        began = time.monotonic()
        assert server.stop()
        assert time.monotonic() - began < 1.0


@contextlib.contextmanager
def dial(url: str, **options: Any) -> Iterator[ClientConnection]:
    """A WebSocket over a socket of our own: no proxy of the machine comes between."""
    parts = urlsplit(url)
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=2.0) as sock,
        connect(url, sock=sock, close_timeout=0.5, **options) as ws,
    ):
        yield ws


class User:
    """A client as others write them: WebSocket, offer, UDP socket."""

    def __init__(self, server: ControlServer, udp_family: socket.AddressFamily = socket.AF_INET) -> None:
        with contextlib.ExitStack() as stack:
            self.ws = stack.enter_context(dial(server.url, subprotocols=[Subprotocol("audio-protocol")]))
            self.offer = self.read()
            self.udp = stack.enter_context(socket.socket(udp_family, socket.SOCK_DGRAM))
            self.udp.settimeout(1.0)
            self._stack = stack.pop_all()

    def read(self) -> Any:
        """The next message, parsed; "" for an empty frame."""
        text = self.ws.recv(timeout=2.0)
        return json.loads(text) if text else text

    def join(self, channel: str, name: str = "Porch") -> None:
        self.ws.send(signalling.connect(signalling.Identity(name, name, "Fire"), channel, 1))

    def say(self, data: bytes) -> None:
        self.udp.sendto(data, (self.offer["udp_host"], self.offer["udp_port"]))

    def hears(self) -> Any:
        return json.loads(self.udp.recv(9000))

    def hears_nothing(self, for_s: float = 0.1) -> bool:
        self.udp.settimeout(for_s)
        try:
            self.udp.recv(9000)
        except TimeoutError:
            return True
        finally:
            self.udp.settimeout(1.0)
        return False

    def __enter__(self) -> User:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def audio(channel: str, **extra: object) -> bytes:
    return json.dumps({"channel_id": channel, "type": "audio", "data": "AAAA", **extra}).encode()


def counted(server: ControlServer, name: str) -> int:
    return server.stats().counts.get(name, 0)


def test_the_offer_comes_first_and_names_a_port_of_its_own() -> None:
    with running(aes_key=KEY) as server, User(server) as one, User(server) as two:
        assert set(one.offer) == {"udp_port", "udp_host", "websocket_id", "aes_key"}
        assert one.offer["websocket_id"] == one.offer["udp_port"] != two.offer["udp_port"]
        assert one.offer["udp_host"] == "127.0.0.1"
        assert one.offer["aes_key"] == KEY
        assert one.ws.subprotocol == "audio-protocol"
        assert server.stats().open_ports == 2


def test_keys_offered() -> None:
    assert ControlServer(aes_key="N/A").aes_key == "N/A"
    assert len(base64.b64decode(ControlServer().aes_key)) == 32
    with pytest.raises(WireError, match="key"):
        ControlServer(aes_key="short")


def test_relay_reaches_the_others_from_their_own_port_and_never_the_sender() -> None:
    with running() as server, User(server) as one, User(server) as two, User(server) as other_channel:
        for user, channel in ((one, "C1"), (two, "C1"), (other_channel, "C2")):
            user.join(channel)
            user.read()
            user.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 3)
        one.say(audio("C1", sequence=7, nested={"keep": [1]}))
        data, sender = two.udp.recvfrom(9000)
        assert json.loads(data) == json.loads(audio("C1", sequence=7, nested={"keep": [1]}))
        assert sender[1] == two.offer["udp_port"]
        assert one.hears_nothing()
        assert other_channel.hears_nothing(0.05)
        assert counted(server, "datagrams_out") == 1


def test_push_to_talk_is_relayed_unchanged_and_the_sender_hears_nothing_of_it() -> None:
    with running() as server, User(server) as one, User(server) as two:
        one.join("C1", "Porch")
        one.read()
        two.join("C1", "Tower")
        one.read()
        two.read()
        text = (
            '{ "transmit_started" : {"channel_id": "C1", "affiliation_id": "a1", "file_id": "f", "n": 1.50} }'
        )
        one.ws.send(text)
        assert two.ws.recv(timeout=1.0) == text
        with pytest.raises(TimeoutError):
            one.ws.recv(timeout=0.1)


def test_a_leave_without_a_word_is_told_to_the_others() -> None:
    with running() as server, User(server) as one:
        one.join("C1", "Porch")
        one.read()
        with User(server) as two:
            two.join("C1", "Tower")
            assert len(one.read()["users_connected"]) == 2
        assert [user["user_name"] for user in one.read()["users_connected"]] == ["Porch"]
        assert eventually(lambda: server.stats().open_ports == 1)


def test_a_port_that_hears_nothing_for_30_s_is_closed_and_the_next_connect_opens_it_again() -> None:
    clock = Clock()
    with running(clock=clock, limits=PATIENT) as server, User(server) as user, User(server) as other:
        for each in (user, other):
            each.join("C1")
            each.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 2)
        clock.move(server, 29.9)
        assert server.stats().open_ports == 2
        other.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 3)
        clock.move(server, 0.2)
        assert server.stats().open_ports == 1
        other.say(audio("C1"))
        assert user.hears_nothing()
        user.join("C1")  # a keep-alive: no users_connected follows, but the same port is back
        assert eventually(lambda: server.stats().open_ports == 2)
        user.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 4)
        other.say(audio("C1"))
        assert user.hears()["channel_id"] == "C1"


def test_signalling_alone_does_not_keep_the_port_open() -> None:
    clock = Clock()
    with running(clock=clock, limits=PATIENT) as server, User(server) as user:
        user.join("C1")
        user.read()
        for _ in range(4):
            clock.move(server, 9.0)
            user.ws.ping().wait(1.0)
        assert counted(server, "ports_closed") == 1


def test_an_empty_frame_comes_every_50_s() -> None:
    clock = Clock()
    with running(clock=clock, limits=PATIENT) as server, User(server) as user:
        clock.move(server, 49.0)
        with pytest.raises(TimeoutError):
            user.ws.recv(timeout=0.05)
        clock.move(server, 1.5)
        assert user.read() == ""
        clock.move(server, 50.5)
        assert user.read() == ""


def test_draining_tells_every_5_s_refuses_the_new_and_then_closes() -> None:
    clock = Clock()
    with running(clock=clock, limits=PATIENT) as server, User(server) as user:
        server.drain(8.0)
        assert user.read() == {"terminated": False, "terminating": True}
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", server.port), timeout=1.0)
        clock.move(server, 5.0)
        assert user.read() == {"terminated": False, "terminating": True}
        assert not server.drained.is_set()
        clock.move(server, 4.0)
        assert user.read() == {"terminated": True, "terminating": False}
        with pytest.raises(ConnectionClosed):
            user.ws.recv(timeout=1.0)
        assert server.drained.wait(1.0)


@pytest.mark.parametrize("offer", ["every_connect", "new_port_every_connect"])
def test_older_servers_offer_again_after_each_connect(offer: Any) -> None:
    with running(offer=offer) as server, User(server) as user:
        user.join("C1")
        again = user.read()
        assert (again["udp_port"] == user.offer["udp_port"]) == (offer == "every_connect")
        assert user.read()["channel_id"] == "C1"
        user.offer = again
        user.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 1)


def test_what_is_offered_can_lead_through_a_proxy() -> None:
    def through(host: str, port: int) -> tuple[str, int]:
        return "media.example", port ^ 1

    with running(advertise=through) as server, User(server) as user:
        assert user.offer["udp_host"] == "media.example"
        assert user.offer["udp_port"] == user.offer["websocket_id"]
    with running(udp_host_advertised="203.0.113.9") as server, User(server) as user:
        assert user.offer["udp_host"] == "203.0.113.9"


def test_ipv6() -> None:
    with running(host="::1") as server, User(server, socket.AF_INET6) as user:
        user.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 1)


def test_the_token_is_demanded_in_the_header_or_the_query() -> None:
    with running(token="s3cret") as server:
        for url, headers in (
            (server.url, {"Authorization": "s3cret"}),
            (server.url, {"Authorization": "Bearer s3cret"}),
            (server.url + "?token=s3cret", {}),
        ):
            with dial(url, additional_headers=headers) as user:
                assert "udp_port" in str(user.recv(timeout=1.0))
        for url, headers in ((server.url, {}), (server.url + "?token=other", {"Authorization": "nor this"})):
            with pytest.raises(InvalidStatus, match="401"), dial(url, additional_headers=headers):
                pass
        assert counted(server, "unauthorized") == 2


def test_tls(tmp_path: Path) -> None:
    made = make_certificates(tmp_path)
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.load_cert_chain(made.server_file)
    theirs = ssl.create_default_context(cafile=made.ca_file)
    theirs.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the test's authority leaves the key identifiers out
    with running(tls=ours) as server:
        with tcp(server, theirs) as user:
            user.sendall(masked(b"x" * 60_000))  # more than one TLS record
            assert eventually(lambda: counted(server, "rubbish") == 1)
        with socket.create_connection(("127.0.0.1", server.port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert eventually(lambda: server.stats().clients == 0)


# What must not break it


def tcp(server: ControlServer, tls: ssl.SSLContext | None = None) -> socket.socket:
    """A WebSocket by hand, its offer read. One thread, so that TLS is used as OpenSSL allows it."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=2.0)
    if tls is not None:
        sock = tls.wrap_socket(sock, server_hostname="localhost")
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    while b"udp_port" not in sock.recv(4096):
        continue
    return sock


def masked(data: bytes, opcode: int = 1) -> bytes:
    """A client's frame with a mask of zeros."""
    plain = frame(data, opcode)
    head = len(plain) - len(data)
    return bytes([plain[0], plain[1] | 0x80]) + plain[2:head] + bytes(4) + data


HOSTILE: dict[str, Callable[[socket.socket], None]] = {
    "cuts_the_line": lambda sock: None,
    "half_a_frame": lambda sock: sock.sendall(masked(b"{" * 100)[:20]),
    "unmasked": lambda sock: sock.sendall(frame("{}")),
    "huge": lambda sock: sock.sendall(b"\x81\xff\x7f" + b"\xff" * 7 + bytes(4) + b"x" * 1000),
    "over_64_kib": lambda sock: sock.sendall(masked(b"x" * 70_000)),
    "not_utf8": lambda sock: sock.sendall(masked(b"\xff\xfe")),
    "unknown_opcode": lambda sock: sock.sendall(masked(b"x", 5)),
    "rubbish": lambda sock: sock.sendall(os.urandom(2000)),
    "deep_json": lambda sock: sock.sendall(masked(b'{"connect":' * 4000)),
    "reset": lambda sock: sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_client_harms_nobody_else(name: str) -> None:
    with running() as server, User(server) as user:
        with tcp(server) as sock:
            HOSTILE[name](sock)
        assert eventually(lambda: server.stats().clients == 1)
        user.join("C1")
        assert user.read()["channel_id"] == "C1"
        assert counted(server, "errors") == 0


def test_a_client_that_asked_and_hung_up_before_it_was_read_harms_nobody() -> None:
    server = ControlServer()
    with socket.create_connection(("127.0.0.1", server.port), timeout=2.0) as sock:
        host = urlsplit(server.url).netloc
        key = base64.b64encode(bytes(16)).decode()
        sock.sendall(
            f"GET / HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
    server.start()
    try:
        assert server.settle()
        assert counted(server, "errors") == 0
        with dial(server.url) as other:
            assert "udp_port" in json.loads(other.recv(2))
    finally:
        assert server.stop()


def test_a_client_that_never_shakes_hands_is_dropped_after_5_s() -> None:
    clock = Clock()
    with (
        running(clock=clock, limits=PATIENT) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=1.0) as sock,
    ):
        assert server.settle()
        clock.move(server, 5.1)
        assert sock.recv(1) == b""


def test_a_half_open_client_is_dropped_after_90_s() -> None:
    clock = Clock()
    with running(clock=clock) as server, tcp(server) as sock:
        clock.move(server, 91.0)
        assert eventually(lambda: server.stats().clients == 0)
        assert sock.recv(4096) == b""


def test_a_client_that_does_not_read_is_dropped_and_the_others_hear_on() -> None:
    with running() as server, User(server) as one, User(server) as two, tcp(server) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(masked(signalling.connect(PORCH, "C1", 1).encode()))
        one.join("C1")
        two.join("C1")
        assert eventually(lambda: server.stats().channels == {"C1": 3})
        big = signalling.transmit_started(PORCH, "C1", 1, {"padding": "x" * 60_000})
        reader = threading.Thread(target=lambda: [two.ws.recv(timeout=2.0) for _ in range(100)])
        reader.start()
        for _ in range(120):
            one.ws.send(big)
        assert eventually(lambda: server.stats().channels == {"C1": 2})
        reader.join(3.0)


def test_too_many_clients_are_turned_away() -> None:
    with running(limits=Limits(clients=2)) as server, User(server), User(server):
        with socket.create_connection(("127.0.0.1", server.port), timeout=1.0) as third:
            assert third.recv(1) == b""
        assert counted(server, "too_many_clients") == 1


def test_hostile_datagrams_are_counted_and_relayed_nowhere() -> None:
    with running() as server, User(server) as one, User(server) as two:
        for user in (one, two):
            user.join("C1")
            user.say(KEEP_ALIVE)
        assert eventually(lambda: counted(server, "heartbeats") == 2)
        hostile = [
            b"",
            b"\xff\xfe",
            b"{",
            b"[1]",
            b'{"type": "audio"}',
            b'{"channel_id": 5, "type": "audio"}',
            audio("C2"),
            audio("C1", pad="x" * 8192),
            os.urandom(1200),
        ]
        for data in hostile:
            one.say(data)
        assert eventually(lambda: counted(server, "datagrams_in") == 2 + len(hostile))
        assert two.hears_nothing()
        one.say(audio("C1"))
        assert two.hears()["data"] == "AAAA"
        assert counted(server, "errors") == 0


def test_a_port_in_use_raises_at_once() -> None:
    with running() as server, pytest.raises(OSError, match="in use"):
        ControlServer(port=server.port)


def test_stop_with_clients_in_every_state_is_quick_and_leaves_nothing_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    server = ControlServer()
    server.start()
    with contextlib.ExitStack() as stack:
        users = [stack.enter_context(User(server)) for _ in range(3)]
        stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        stack.enter_context(tcp(server))
        users[0].join("C1")
        began = time.monotonic()
        assert server.stop()
        assert time.monotonic() - began < 0.5
        with pytest.raises(ConnectionClosed):
            users[1].ws.recv(timeout=1.0)
    assert eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
    assert not server.settle(0.01)


# The command


def command(*options: str) -> list[str]:
    code = (
        "import argparse, sys\n"
        "from echostream.simulator.control_server import add_arguments, run\n"
        "parser = argparse.ArgumentParser()\n"
        "add_arguments(parser)\n"
        "sys.exit(run(parser.parse_args()))\n"
    )
    return [sys.executable, "-c", code, *options]


def test_the_command_serves_until_sigterm_and_then_says_goodbye(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    process = subprocess.Popen(
        command(
            "--port", "0", "--key-file", str(key_file), "--users-form", "nested", "--channels", "C1", "C2"
        ),
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        url = line[line.index("ws://") :].split()[0]
        with dial(url) as user:
            assert json.loads(user.recv(timeout=1.0))["aes_key"] == KEY
            user.send(signalling.connect(PORCH, "C3", 1))
            assert json.loads(user.recv(timeout=1.0))["code"] == "CHANNEL_NOT_FOUND"
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert json.loads(user.recv(timeout=1.0)) == {"terminated": True, "terminating": False}
        assert process.wait(2.0) == 0
        assert time.monotonic() - began < 2.0
        assert KEY not in line + process.stderr.read()
    finally:
        process.kill()
        process.communicate()


def test_the_command_says_what_is_wrong() -> None:
    with running() as server:
        taken = subprocess.run(
            command("--port", str(server.port)), capture_output=True, text=True, timeout=10, check=False
        )
    assert taken.returncode == 3
    assert f"port {server.port}" in taken.stderr
    missing = subprocess.run(
        command("--key-file", "/nowhere/key"), capture_output=True, text=True, timeout=10, check=False
    )
    assert missing.returncode == 2
    assert "/nowhere/key" in missing.stderr


def test_options_refuse_a_port_that_is_none() -> None:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser)
    with pytest.raises(argparse.ArgumentError, match="65535"):
        parser.parse_args(["--port", "70000"])
