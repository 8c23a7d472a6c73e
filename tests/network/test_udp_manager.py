"""The gateway's UDP socket: heartbeat, who is heard, what fails and what survives it."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from servers import eventually

from echostream.network import udp_manager
from echostream.network.udp_manager import MAX_DATAGRAM_BYTES, UdpManager
from echostream.wire.packet_v1 import KEEP_ALIVE


@contextlib.contextmanager
def running(
    on_datagram: Callable[[bytes, float], None] = lambda data, now: None, keep_alive_s: float = 10.0
) -> Iterator[UdpManager]:
    udp = UdpManager(on_datagram, keep_alive_s)
    udp.start()
    try:
        yield udp
    finally:
        began = time.monotonic()
        assert udp.stop()
        assert time.monotonic() - began < 1.0


@contextlib.contextmanager
def peer(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(2.0)
        yield sock


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_heartbeat_at_once_then_both_ways(host: str) -> None:
    heard: list[tuple[bytes, float]] = []
    with running(lambda data, now: heard.append((data, now))) as udp, peer(host) as server:
        assert not udp.send(b"too early")
        udp.set_server(host, port_of(server))
        data, address = server.recvfrom(100)
        assert data == KEEP_ALIVE
        assert address[1] == udp.local_port
        assert udp.send(b"audio")
        assert server.recv(100) == b"audio"
        server.sendto(b"answer", address)
        assert eventually(lambda: bool(heard))
        assert heard[0][0] == b"answer"
        assert abs(heard[0][1] - time.monotonic()) < 1.0
        counters = udp.counters
    assert (counters.sent, counters.heartbeats, counters.received, counters.unrouted) == (1, 1, 1, 1)


def test_heartbeat_goes_on_while_transmitting() -> None:
    with running(keep_alive_s=0.1) as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        until = time.monotonic() + 0.55
        pause = threading.Event()
        while time.monotonic() < until:
            udp.send(b"audio")
            pause.wait(0.02)
        assert 5 <= udp.counters.heartbeats <= 7


def test_the_same_offer_again_sends_a_heartbeat_from_the_same_port() -> None:
    with running() as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        _, first = server.recvfrom(100)
        udp.set_server("127.0.0.1", port_of(server))
        data, second = server.recvfrom(100)
        assert (data, second) == (KEEP_ALIVE, first)


def test_strangers_are_counted_and_not_heard() -> None:
    heard: list[bytes] = []
    with running(lambda data, now: heard.append(data)) as udp, peer() as server, peer() as stranger:
        udp.set_server("127.0.0.1", port_of(server))
        _, address = server.recvfrom(100)
        stranger.sendto(b"evil", address)
        server.sendto(b"good", address)
        assert eventually(lambda: udp.counters.foreign == 1 and heard == [b"good"])


def test_an_old_server_is_a_stranger_after_the_next_offer_and_everyone_is_after_clear() -> None:
    heard: list[bytes] = []
    with running(lambda data, now: heard.append(data)) as udp, peer() as old, peer() as new:
        udp.set_server("127.0.0.1", port_of(old))
        _, address = old.recvfrom(100)
        udp.set_server("127.0.0.1", port_of(new))
        new.recvfrom(100)
        old.sendto(b"late", address)
        assert eventually(lambda: udp.counters.foreign == 1)
        udp.clear_server()
        assert not udp.send(b"audio")
        new.sendto(b"later", address)
        assert eventually(lambda: udp.counters.foreign == 2)
    assert heard == []


def test_over_long_datagrams_are_dropped_and_counted_and_the_longest_legal_one_is_heard() -> None:
    heard: list[int] = []
    with running(lambda data, now: heard.append(len(data))) as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        _, address = server.recvfrom(100)
        for size in (MAX_DATAGRAM_BYTES + 1, 60_000, MAX_DATAGRAM_BYTES, 0):
            server.sendto(b"x" * size, address)
        assert eventually(lambda: udp.counters.oversized == 2 and heard == [MAX_DATAGRAM_BYTES, 0])


def test_a_handler_that_raises_is_counted_and_the_next_datagram_is_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    heard: list[bytes] = []

    def handler(data: bytes, now: float) -> None:
        if data == b"bad":
            raise ValueError("a bug")
        heard.append(data)

    with running(handler) as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        _, address = server.recvfrom(100)
        for _ in range(50):
            server.sendto(b"bad", address)
        server.sendto(b"good", address)
        assert eventually(lambda: heard == [b"good"])
        assert udp.counters.handler_errors == 50
    assert caplog.text.count("a datagram could not be handled") == 1


def test_a_server_port_that_closes_and_opens_again_is_survived() -> None:
    """Sends into a closed port bring ICMP errors; the socket must not care."""
    heard: list[bytes] = []
    with running(lambda data, now: heard.append(data), keep_alive_s=0.05) as udp:
        with peer() as server:
            port = port_of(server)
            udp.set_server("127.0.0.1", port)
            server.recvfrom(100)
        for _ in range(20):
            udp.send(b"into the void")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(("127.0.0.1", port))
            again.settimeout(2.0)
            _, address = again.recvfrom(100)
            again.sendto(b"back", address)
            assert eventually(lambda: heard == [b"back"])


class _Failing:
    """A socket whose sends fail, everything else real."""

    def __init__(self, real: socket.socket, error: int) -> None:
        self._real = real
        self._error = error

    def sendto(self, data: bytes, address: tuple[str, int]) -> int:
        raise OSError(self._error, "made to fail")

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (errno.EAGAIN, "send_full"),
        (errno.ENETUNREACH, "send_unreachable"),
        (errno.ECONNREFUSED, "send_refused"),
        (errno.EPERM, "send_errors"),
    ],
)
def test_a_send_that_fails_is_counted_by_kind_and_never_raises(error: int, counted: str) -> None:
    with running() as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        server.recvfrom(100)
        route = udp._route
        assert route is not None
        udp._route = (_Failing(route[0], error), route[1])  # type: ignore[assignment]
        assert not udp.send(b"audio")
        assert getattr(udp.counters, counted) == 1


def test_sends_that_keep_failing_open_a_new_socket_and_a_heartbeat_goes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp_manager, "REBUILD_AFTER_S", 0.1)
    monkeypatch.setattr(udp_manager, "RETRY_S", 0.05)
    with running(keep_alive_s=0.05) as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        _, before = server.recvfrom(100)
        route = udp._route
        assert route is not None
        udp._route = (_Failing(route[0], errno.ENETUNREACH), route[1])  # type: ignore[assignment]
        assert eventually(lambda: udp.counters.rebuilds == 1)
        assert eventually(lambda: server.recvfrom(100)[1] != before)
        assert udp.send(b"audio")


def test_names_are_looked_up_apart_and_failing_lookups_are_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_manager, "RETRY_S", 0.05)
    real, asked = socket.getaddrinfo, list[str]()
    threads: set[str] = set()

    def flaky(host: str, *args: int, **kwargs: int) -> object:
        if host != "media.example":
            return real(host, *args, **kwargs)
        if not kwargs.get("flags"):
            threads.add(threading.current_thread().name)
            asked.append(host)
            if len(asked) > 2:
                return real("127.0.0.1", *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    with running() as udp, peer() as server:
        began = time.monotonic()
        udp.set_server("media.example", port_of(server))
        assert time.monotonic() - began < 0.05
        assert server.recv(100) == KEEP_ALIVE
        assert udp.counters.lookups_failed == 2
    assert threads == {"dns-media.example"}


def test_four_threads_send_at_once_and_every_datagram_is_counted() -> None:
    with running() as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        server.recvfrom(100)

        def talk() -> None:
            for _ in range(500):
                udp.send(b"audio")

        threads = [threading.Thread(target=talk) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5.0)
        counters = udp.counters
        assert counters.sent + counters.send_full == 2000
        assert counters.sent_bytes == counters.sent * 5 + len(KEEP_ALIVE)


def test_changing_the_server_while_others_send_neither_raises_nor_leaks() -> None:
    with running() as udp, peer() as one, peer("::1") as two:
        stop = threading.Event()

        def talk() -> None:
            while not stop.is_set():  # what it raised would fail the test: pytest watches threads
                udp.send(b"audio")

        thread = threading.Thread(target=talk)
        thread.start()
        pause = threading.Event()
        for _ in range(20):
            udp.set_server("127.0.0.1", port_of(one))
            pause.wait(0.005)
            udp.set_server("::1", port_of(two))
            pause.wait(0.005)
            udp.clear_server()
        stop.set()
        thread.join(2.0)
        assert udp.counters.handler_errors == 0


def test_a_flood_does_not_hold_up_the_heartbeat_or_the_stop() -> None:
    with running(keep_alive_s=0.05) as udp, peer() as server:
        udp.set_server("127.0.0.1", port_of(server))
        _, address = server.recvfrom(100)
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            for _ in range(20):
                server.sendto(b"x" * 200, address)
        assert udp.counters.heartbeats >= 4


def test_stop_before_start_and_twice() -> None:
    udp = UdpManager(lambda data, now: None)
    udp.set_server("127.0.0.1", 9)
    assert udp.stop()
    assert udp.stop()
    assert not udp.send(b"audio")
