"""The gateway's one UDP socket: audio out from any thread, audio in on one, and the heartbeat between."""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from echostream.network.resolver import Resolver
from echostream.wire.packet_v1 import KEEP_ALIVE

log = logging.getLogger(__name__)

MAX_DATAGRAM_BYTES: Final = 8192
RECEIVE_BUFFER_BYTES: Final = 1 << 18  # a second of 50 packets/s from each of 20 talkers
BURST: Final = 64  # datagrams read before the heartbeat and the wishes of others are looked at again
LOG_EVERY: Final = 1000  # of errors that can come at the rate of packets
LEAST_BEAT_S: Final = 0.05  # between two heartbeats, whoever asks for them
RETRY_S: Final = 1.0  # after a heartbeat or a lookup that failed
REBUILD_AFTER_S: Final = 2.0  # sends that fail for this long: the network changed under the socket
REBUILD_EVERY_S: Final = 5.0
# A full send buffer or an ICMP error says nothing against the socket itself.
PASSING_ERRORS: Final = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ECONNREFUSED, errno.EMSGSIZE})

_Route = tuple[socket.socket, tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class UdpCounters:
    """Since the start.

    `sent` is audio, `heartbeats` come on top, `sent_bytes` is both; `foreign`: not from the server;
    `oversized`: over 8192 bytes; `unrouted`: there was no server.
    """

    sent: int = 0
    sent_bytes: int = 0
    received: int = 0
    received_bytes: int = 0
    heartbeats: int = 0
    unrouted: int = 0
    send_full: int = 0
    send_unreachable: int = 0
    send_refused: int = 0
    send_errors: int = 0
    receive_errors: int = 0
    foreign: int = 0
    oversized: int = 0
    handler_errors: int = 0
    lookups_failed: int = 0
    rebuilds: int = 0


class UdpManager:
    """One socket on an ephemeral port, one thread named `udp`.

    The socket is not connected to the server: an unconnected one takes its source address anew for each
    datagram, so it goes on after the gateway's own address changed. Who sends to us is checked here instead.
    """

    def __init__(self, on_datagram: Callable[[bytes, float], None], keep_alive_s: float = 10.0) -> None:
        """`on_datagram(data, now)` runs on the `udp` thread; `now` is monotonic seconds."""
        self._on_datagram = on_datagram
        self._keep_alive_s = keep_alive_s
        self._counts: dict[str, int] = dict.fromkeys(UdpCounters.__slots__, 0)
        self._counting = threading.Lock()
        self._wanted: tuple[str, int] | None = None
        self._wanted_anew = False
        self._route: _Route | None = None
        self._failing_since: float | None = None
        self._stop = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="udp")
        # From here on: the thread's own.
        self._selector = selectors.DefaultSelector()
        self._sock: socket.socket | None = None
        self._retired: socket.socket | None = None
        self._resolver = Resolver(self._looked_up)
        self._beat_asked = False
        self._next_heartbeat = 0.0
        self._last_heartbeat = 0.0
        self._next_lookup = 0.0
        self._rebuilt_at = -REBUILD_EVERY_S

    # Any thread

    def start(self) -> None:
        """Once only."""
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._thread.start()

    def stop(self, timeout_s: float = 0.9) -> bool:
        """End the thread, then close the socket. False: the thread outlived its join (logged). Idempotent."""
        self._stop.set()
        self._route = None
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
            if self._thread.is_alive():
                log.error("thread udp outlived its join")
                return False
        for sock in (self._sock, self._retired, self._wake_receiver, self._wake_sender):
            if sock is not None:
                sock.close()
        self._selector.close()
        return True

    def set_server(self, host: str, port: int) -> None:
        """Send to this address from now on, and hear only it. A heartbeat goes out at once. Never blocks.

        Setting the same address again sends a heartbeat too: a server that offers it anew may have forgotten
        where we are.
        """
        self._wanted = (host, port)
        self._wanted_anew = True
        self._wake()

    def beat(self) -> None:
        """Send a heartbeat now, besides the regular ones: the server may have made its port anew."""
        self._beat_asked = True
        self._wake()

    def clear_server(self) -> None:
        """Send nothing and hear nobody."""
        self._wanted = None
        self._wanted_anew = True
        self._route = None
        self._wake()

    def send(self, datagram: bytes) -> bool:
        """Hand one datagram to the kernel. Never blocks; False: it did not go, and why is counted."""
        route = self._route
        if route is None:
            self._count("unrouted")
            return False
        return self._send(route, datagram, "sent")

    @property
    def counters(self) -> UdpCounters:
        """A snapshot."""
        with self._counting:
            return UdpCounters(**self._counts)

    @property
    def local_port(self) -> int:
        """The local port, 0 while there is none."""
        route = self._route
        return int(route[0].getsockname()[1]) if route is not None else 0

    @property
    def ready(self) -> bool:
        """There is an address to send to."""
        return self._route is not None

    def _looked_up(self) -> None:
        self._next_lookup = 0.0  # its answer is there: do not wait for the next try
        self._wake()

    def _count(self, name: str, by: int = 1) -> None:
        with self._counting:
            self._counts[name] += by

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"x")
        except BlockingIOError:
            return  # full of wakes already
        except OSError as error:
            log.debug("wake after the stop: %s", error)

    def _send(self, route: _Route, datagram: bytes, counted_as: str) -> bool:
        sock, address = route
        try:
            sock.sendto(datagram, address)
        except OSError as error:
            self._send_failed(error)
            return False
        self._failing_since = None
        with self._counting:
            self._counts[counted_as] += 1
            self._counts["sent_bytes"] += len(datagram)
        return True

    def _send_failed(self, error: OSError) -> None:
        match error.errno:
            case errno.EAGAIN | errno.ENOBUFS:
                self._count("send_full")
            case errno.ENETUNREACH | errno.EHOSTUNREACH | errno.ENETDOWN:
                self._count("send_unreachable")
            case errno.ECONNREFUSED:
                self._count("send_refused")
            case _:
                self._count("send_errors")
        if error.errno in PASSING_ERRORS or self._failing_since is not None:
            return
        self._failing_since = time.monotonic()
        log.warning("UDP send failed: %s", error)

    # The thread

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._turn()
            except Exception:  # a bug of ours must not end the audio: log, count, go on, not in a tight loop
                log.exception("the UDP thread failed unexpectedly")
                self._count("handler_errors")
                self._stop.wait(RETRY_S)

    def _turn(self) -> None:
        now = time.monotonic()
        if self._wanted_anew:
            self._wanted_anew = False
            self._next_lookup = 0.0
        if self._wanted is not None and self._next_lookup <= now:
            self._find_server(now)
        if self._beat_asked:
            self._beat_asked = False
            self._next_heartbeat = min(self._next_heartbeat, self._last_heartbeat + LEAST_BEAT_S)
        if self._route is not None and self._next_heartbeat <= now:
            self._heartbeat(now)
        self._rebuild_if_failing(now)
        for key, _ in self._selector.select(self._timeout_s(now)):
            if key.fileobj is self._wake_receiver:
                self._wake_receiver.recv(4096)
            elif self._sock is not None:
                self._receive(self._sock)

    def _timeout_s(self, now: float) -> float | None:
        times = []
        if self._wanted is not None:
            times.append(self._next_lookup)
        if self._route is not None:
            times.append(self._next_heartbeat)
        if self._failing_since is not None:
            times.append(max(self._failing_since + REBUILD_AFTER_S, self._rebuilt_at + REBUILD_EVERY_S))
        finite = [moment for moment in times if moment != float("inf")]
        return max(0.0, min(finite) - now) if finite else None

    def _find_server(self, now: float) -> None:
        """Look the wanted name up; with an answer, make it the route."""
        wanted = self._wanted
        if wanted is None:
            return
        self._next_lookup = now + RETRY_S  # before asking: the answer may come on another thread at once
        lookup = self._resolver.ask(*wanted, socket.SOCK_DGRAM)
        if lookup is None or not lookup.done:
            return
        addresses = lookup.result()
        if not addresses:
            self._count("lookups_failed")
            log.warning("lookup of the audio server %s failed: %s", wanted[0], lookup.error)
            return
        family, address = addresses[0]
        self._next_lookup = float("inf")
        sock = self._sock
        if sock is None or sock.family != family:
            sock = self._open(family)
        if sock is None:
            self._next_lookup = now + RETRY_S
            return
        self._route = (sock, address)
        if self._wanted != wanted:  # changed meanwhile by another thread, which has woken us
            self._route = None
            return
        self._next_heartbeat = now

    def _open(self, family: socket.AddressFamily) -> socket.socket | None:
        """A fresh socket in place of the old one; None when the system gives none (logged, counted)."""
        try:
            sock = _bound_socket(family)
        except OSError as error:
            self._count("send_errors")
            log.warning("no UDP socket: %s", error)
            return None
        if self._retired is not None:
            self._retired.close()
        if self._sock is not None:
            self._selector.unregister(self._sock)
        # A capture thread may be inside sendto() on the old one at this moment, and a descriptor that is
        # closed under it could be another file by then: the old socket lives until the next change.
        self._retired, self._sock = self._sock, sock
        self._selector.register(sock, selectors.EVENT_READ)
        return sock

    def _heartbeat(self, now: float) -> None:
        route = self._route
        if route is None:
            return
        gone = self._send(route, KEEP_ALIVE, "heartbeats")
        self._last_heartbeat = now
        self._next_heartbeat = now + (self._keep_alive_s if gone else min(RETRY_S, self._keep_alive_s))

    def _rebuild_if_failing(self, now: float) -> None:
        since, route = self._failing_since, self._route
        if since is None or route is None or now - since < REBUILD_AFTER_S:
            return
        if now - self._rebuilt_at < REBUILD_EVERY_S:
            return
        self._rebuilt_at = now
        self._failing_since = None
        self._count("rebuilds")
        log.warning("UDP sends fail for %.0f s: opening a new socket", now - since)
        sock = self._open(socket.AddressFamily(route[0].family))
        if sock is not None and self._route is route:
            self._route = (sock, route[1])
        self._next_heartbeat = now
        self._next_lookup = 0.0  # the name may lead elsewhere now

    def _receive(self, sock: socket.socket) -> None:
        for _ in range(BURST):
            try:
                data, sender = sock.recvfrom(MAX_DATAGRAM_BYTES + 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # an ICMP error of an earlier send; the socket is as good as before
                self._count("receive_errors")
                log.debug("UDP receive: %s", error)
                return
            route = self._route
            if route is None or sender[:2] != route[1][:2]:
                self._count("foreign")
            elif len(data) > MAX_DATAGRAM_BYTES:
                self._count("oversized")
            else:
                self._deliver(data)

    def _deliver(self, data: bytes) -> None:
        with self._counting:
            self._counts["received"] += 1
            self._counts["received_bytes"] += len(data)
        try:
            self._on_datagram(data, time.monotonic())
        except Exception:  # one datagram must not end the audio of all channels: log, count, go on
            self._count("handler_errors")
            if self._counts["handler_errors"] % LOG_EVERY == 1:
                log.exception("a datagram could not be handled")


def _bound_socket(family: socket.AddressFamily) -> socket.socket:
    """On an ephemeral port of every interface. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))
    except OSError:
        sock.close()
        raise
    return sock
