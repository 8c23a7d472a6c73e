"""ESP32 microphones over TCP: one thread, one selector, any number of devices.

A device's kernel buffer holds more than a second, so nothing is lost by reading in rounds: those that may go
on the air 40 times a second, those that are only recorded ten times a second. A read costs the same whether
it finds ten bytes or ten thousand; rounds are what lets one core serve a thousand devices.
"""

from __future__ import annotations

import errno
import logging
import selectors
import socket
import time
from collections.abc import Mapping
from typing import Final

from echostream.config.esp32_models import Esp32, Relay
from echostream.coordinator.worker import Worker
from echostream.events import DevicesChanged, Post
from echostream.network.esp32_admission import Refused
from echostream.network.esp32_connection import READ_BYTES, Connection
from echostream.network.esp32_roster import OpenSinks, Roster
from echostream.network.esp32_status import DeviceStatus, RelayCounters

log = logging.getLogger(__name__)

TALK_ROUND_S: Final = 0.025
RECORD_ROUND_S: Final = 0.1
CHECK_EVERY_S: Final = 0.1
BACKLOG: Final = 256
ACCEPTS_A_ROUND: Final = 64
RECEIVE_BUFFER_BYTES: Final = 1 << 17
"""Of each connection, in the kernel: four seconds of 16 kHz, 0.7 s of 48 kHz floats."""
RETRY_S: Final = 5.0
"""After a port that could not be had, or an accept that failed."""


class Esp32Relay(Worker):
    """Thread `esp32`. Owns the ports, every device's socket, and the streams.

    open_sinks(info): who takes a stream; called on this thread as each one begins, as are the sinks.
    tokens: by name of the device.
    """

    def __init__(
        self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str], open_sinks: OpenSinks, post: Post
    ) -> None:
        super().__init__("esp32", post)
        self._esp32, self._relay = esp32, relay
        self._wanted: tuple[Esp32, Relay, dict[str, str]] | None = None
        self._roster = Roster(esp32, relay, tokens, open_sinks)
        self._wake_receiver, self._wake_sender = socket.socketpair()
        for end in (self._wake_receiver, self._wake_sender):
            end.setblocking(False)
        # From here on: the thread's own.
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._listener: socket.socket | None = None
        self._listen_at_s = 0.0
        self._connections: set[Connection] = set()
        self._often = selectors.DefaultSelector()
        self._seldom = selectors.DefaultSelector()
        self._often.register(self._wake_receiver, selectors.EVENT_READ)
        self._paused: set[Connection] = set()
        self._next_seldom_s = 0.0
        self._next_check_s = 0.0

    # ---- any thread

    @property
    def tcp_port(self) -> int:
        """The port that is listened on; 0 while there is none."""
        listener = self._listener
        return 0 if listener is None else int(listener.getsockname()[1])

    @property
    def counters(self) -> RelayCounters:
        """Live; for reading only."""
        return self._roster.counters

    def devices(self) -> list[DeviceStatus]:
        """Those with an entry, in its order, then the others that are or were there."""
        return self._roster.devices()

    def reconfigure(self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str]) -> None:
        """Devices whose settings did not change go on as if nothing had happened."""
        self._wanted = (esp32, relay, dict(tokens))
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """As Worker; after it nothing is left open."""
        if not super().join(timeout_s):
            return False
        for end in (self._wake_receiver, self._wake_sender):
            end.close()
        self._often.close()
        self._seldom.close()
        return True

    def _unblock(self) -> None:
        self._wake()

    def _wake(self) -> None:
        try:
            self._wake_sender.send(b"x")
        except BlockingIOError:
            return  # full of wakes already
        except OSError as error:
            log.debug("wake after the stop: %s", error)

    # ---- the thread

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round(time.monotonic())
        finally:
            self._close_all(time.monotonic())

    def _round(self, now: float) -> None:
        self._reconfigure_if_wanted(now)
        if self._listener is None and now >= self._listen_at_s:
            self._listen(now)
        ready = self._often.select(self._timeout_s(now))
        now = time.monotonic()
        for key, _ in ready:
            if isinstance(key.data, Connection):
                self._read(key.data, now)
            elif key.fileobj is self._wake_receiver:
                self._wake_receiver.recv(4096)
            elif self._listener is not None:
                self._accept(self._listener, now)
        if now >= self._next_seldom_s:
            self._next_seldom_s = now + RECORD_ROUND_S
            self._read_seldom(now)
        if now >= self._next_check_s:
            self._next_check_s = now + CHECK_EVERY_S
            self._check(now)
        self._tell()
        if ready:
            self._stopping.wait(max(0.0, now + TALK_ROUND_S - time.monotonic()))

    def _timeout_s(self, now: float) -> float | None:
        times = [self._listen_at_s] if self._listener is None else []
        if self._connections:
            times += [self._next_seldom_s, self._next_check_s]
        return max(0.0, min(times) - now) if times else None

    def _read_seldom(self, now: float) -> None:
        if self._seldom.get_map():
            for key, _ in self._seldom.select(0):
                self._read(key.data, now)
        for connection in [one for one in self._paused if one.resume_at_s <= now]:
            self._paused.discard(connection)
            if connection.open:
                self._watch(connection)

    def _read(self, connection: Connection, now: float) -> None:
        if not connection.open:
            return  # another one took its place within this round
        goes_on = connection.read(now)
        if not connection.open:
            return
        if not goes_on:
            self._unwatch(connection)
            self._paused.add(connection)
        elif connection.watched_by is self._often and not connection.often:
            self._unwatch(connection)
            self._watch(connection)

    def _check(self, now: float) -> None:
        for connection in list(self._connections):
            if connection.open:
                connection.check(now)

    def _tell(self) -> None:
        changes = self._roster.changes
        if changes:
            told = DevicesChanged(tuple(changes))
            changes.clear()
            self._post(told)

    # ---- connections

    def _listen(self, now: float) -> None:
        host, port = self._esp32.bind, self._esp32.tcp_port
        try:
            listener = _listener(host, port)
        except OSError as error:
            self._listen_at_s = now + RETRY_S
            reason = error.strerror or str(error)
            log.error("esp32: no devices over TCP: port %d of %s: %s; trying again", port, host, reason)
            return
        self._listener = listener
        self._often.register(listener, selectors.EVENT_READ)
        log.info("esp32: listening on %s port %d", host, self.tcp_port)

    def _accept(self, listener: socket.socket, now: float) -> None:
        for _ in range(ACCEPTS_A_ROUND):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                self._accept_failed(error, now)
                return
            self._roster.counters.accepted += 1
            self._take_in(sock, address[0], now)

    def _accept_failed(self, error: OSError, now: float) -> None:
        """No descriptor or no memory: without a pause the selector would call again at once."""
        log.error("esp32: a device could not be accepted: %s", error.strerror or error)
        self._close_listener()
        self._listen_at_s = now + (RETRY_S if error.errno in (errno.EMFILE, errno.ENFILE) else 1.0)

    def _take_in(self, sock: socket.socket, address: str, now: float) -> None:
        if len(self._connections) >= self._relay.max_connections and not self._make_room(now):
            most = self._relay.max_connections
            self._roster.refuse(address, Refused("full", f"{most} connections (relay.max_connections)"), now)
            sock.close()
            return
        connection = Connection(sock, address, self._roster, self._relay, self._buffer, self._forget, now)
        self._connections.add(connection)
        self._watch(connection)

    def _make_room(self, now: float) -> bool:
        """Who has not said a word for the longest time gives way. False: all of them talk."""
        mute = [one for one in self._connections if one.stream is None]
        wait_s = self._relay.hello_wait_ms / 1000
        oldest = min(mute, key=lambda one: one.opened_at_s, default=None)
        if oldest is None or now - oldest.opened_at_s < wait_s:
            return False
        oldest.close("full", now)
        return True

    def _watch(self, connection: Connection) -> None:
        selector = self._often if connection.often else self._seldom
        selector.register(connection.sock, selectors.EVENT_READ, connection)
        connection.watched_by = selector

    def _unwatch(self, connection: Connection) -> None:
        if connection.watched_by is not None:
            connection.watched_by.unregister(connection.sock)
            connection.watched_by = None

    def _forget(self, connection: Connection) -> None:
        self._unwatch(connection)
        self._paused.discard(connection)
        self._connections.discard(connection)

    # ---- configuration and end

    def _reconfigure_if_wanted(self, now: float) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        old = self._esp32
        self._esp32, self._relay, tokens = wanted
        self._roster.set_rules(self._esp32, self._relay, tokens)
        if (old.bind, old.tcp_port) != (self._esp32.bind, self._esp32.tcp_port):
            self._close_listener()
            self._listen_at_s = now
        for connection in list(self._connections):
            connection.judge_again(self._relay, now)
            if connection.watched_by not in (None, self._often if connection.often else self._seldom):
                self._unwatch(connection)
                self._watch(connection)

    def _close_listener(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            self._often.unregister(listener)
            listener.close()

    def _close_all(self, now: float) -> None:
        self._close_listener()
        for connection in list(self._connections):
            connection.close("the relay stops", now, "stopped")
        self._tell()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
