"""ESP32 microphones over TCP and UDP: one thread for all of them."""

from __future__ import annotations

import logging
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Mapping
from math import inf
from typing import Final

from echostream.config.esp32_models import Esp32, Relay
from echostream.coordinator.worker import Worker
from echostream.events import DevicesChanged, Post
from echostream.network.descriptors import allow_descriptors
from echostream.network.esp32_admission import Refused, plain_address
from echostream.network.esp32_connection import READ_BYTES, Connection
from echostream.network.esp32_datagrams import Datagrams
from echostream.network.esp32_pool import WorkerPool
from echostream.network.esp32_ports import PortHolder
from echostream.network.esp32_roster import OpenSinks, Roster
from echostream.network.esp32_rounds import CHECK_S, OFTEN_S, Rounds
from echostream.network.esp32_status import DeviceGlance, DeviceStatus, RelayCounters, sum_of
from echostream.network.esp32_workers import RecordJob

log = logging.getLogger(__name__)

ACCEPTS_A_ROUND: Final = 64
DESCRIPTORS_EACH: Final = 3
"""A device's socket, its recording, and the one that closes while the next begins."""
DESCRIPTORS_MORE: Final = 1024
"""Whatever else the gateway has open; the usual soft limit."""
MAX_MUTE: Final = 128
"""Connections of which nobody knows yet who they are; they come on top of relay.max_connections."""
ACCEPT_PAUSE_S: Final = 1.0
"""After an accept that failed: no descriptor, no memory."""


class Esp32Relay(Worker):
    """Thread `esp32`. Owns the ports, every device's socket, and the streams.

    open_sinks(info, settings): who takes a stream. It and the sinks are called on this thread.
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
        self._rounds = Rounds()
        often = self._rounds.often
        often.register(self._wake_receiver, selectors.EVENT_READ, self._drain_wakes)
        self._tcp = PortHolder(socket.SOCK_STREAM, often, self._accept)
        self._udp = PortHolder(socket.SOCK_DGRAM, often, self._read_datagrams)
        self._datagrams = Datagrams(self._roster, relay)
        self._pool = WorkerPool(relay, self._roster, often, post)
        self._roster.worker_for = self._pool.worker_for
        self._jobs: deque[RecordJob | None] = deque()

    # ---- any thread

    @property
    def tcp_port(self) -> int:
        """The port that is listened on; 0 while there is none."""
        return self._tcp.port

    @property
    def udp_port(self) -> int:
        """The port of the datagram form; 0 while there is none."""
        return self._udp.port

    @property
    def counters(self) -> RelayCounters:
        """Of this process and its workers."""
        return sum_of((self._roster.counters, self._pool.counters()))

    def devices(self) -> list[DeviceStatus]:
        """Those with an entry, in its order, then the others that are or were there."""
        return self._roster.devices()

    def glances(self) -> list[DeviceGlance]:
        """The same in short, for whoever looks once a second."""
        return self._roster.glances()

    def reconfigure(self, esp32: Esp32, relay: Relay, tokens: Mapping[str, str]) -> None:
        """Devices whose settings did not change go on as if nothing had happened."""
        self._wanted = (esp32, relay, dict(tokens))
        self._wake()

    def record_in_workers(self, job: RecordJob | None) -> None:
        """How the processes record, where `relay.workers` is more than one; None: they do not."""
        self._jobs.append(job)
        self._wake()

    def join(self, timeout_s: float) -> bool:
        """As Worker; after it nothing is left open."""
        if not super().join(timeout_s):
            return False
        for end in (self._wake_receiver, self._wake_sender):
            end.close()
        self._rounds.close()
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
        allow_descriptors(DESCRIPTORS_EACH * self._relay.max_connections + DESCRIPTORS_MORE)
        try:
            self._want_ports(time.monotonic())
            while not self._stopping.is_set():
                self._round(time.monotonic())
        finally:
            self._close_all(time.monotonic())

    def _round(self, now: float) -> None:
        self._reconfigure_if_wanted(now)
        while self._jobs:
            self._pool.record_with(self._jobs.popleft())
        self._tcp.open_if_due(now)
        self._udp.open_if_due(now)
        rounds = self._rounds
        ready = rounds.often.select(self._timeout_s(now))
        now = time.monotonic()
        for key, _ in ready:
            if isinstance(key.data, Connection):
                rounds.read(key.data)
            else:
                key.data(now)
        rounds.read_seldom(now)
        if rounds.check_due(now):
            self._check(now)
        self._tell()
        if ready:
            self._stopping.wait(max(0.0, now + OFTEN_S - time.monotonic()))

    def _timeout_s(self, now: float) -> float | None:
        due_at_s = min(self._tcp.due_at_s, self._udp.due_at_s, self._rounds.due_at_s)
        if len(self._datagrams) or self._relay.workers > 1:
            due_at_s = min(due_at_s, now + CHECK_S)
        return None if due_at_s == inf else max(0.0, due_at_s - now)

    def _check(self, now: float) -> None:
        self._datagrams.check(now)
        self._pool.check(now)
        self._rounds.check(now)

    def _tell(self) -> None:
        changes = self._roster.changes
        if changes:
            told = DevicesChanged(tuple(changes))
            changes.clear()
            self._post(told)

    # ---- connections

    def _drain_wakes(self, now: float) -> None:
        self._wake_receiver.recv(4096)

    def _read_datagrams(self, now: float) -> None:
        if self._udp.sock is not None:
            self._datagrams.read(self._udp.sock)

    def _accept(self, now: float) -> None:
        listener = self._tcp.sock
        if listener is None:
            return
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
        self._tcp.pause(now + ACCEPT_PAUSE_S)

    def _take_in(self, sock: socket.socket, address: str, now: float) -> None:
        address = plain_address(address)
        self._mind_the_mute(address, now)
        if len(self._rounds.mute) >= MAX_MUTE:
            self._make_room(now)
        self._rounds.add(
            Connection(sock, address, self._roster, self._relay, self._buffer, self._rounds.forget, now)
        )

    def _mind_the_mute(self, address: str, now: float) -> None:
        """One address may hold few connections that say nothing: of more the oldest ends."""
        if len(self._rounds.mute) < self._relay.max_per_address:
            return
        wait_s = self._relay.hello_wait_ms / 1000
        same = [one for one in self._rounds.mute if one.address == address and now - one.opened_at_s > wait_s]
        if len(same) >= self._relay.max_per_address:
            same[0].close("mute", now)

    def _make_room(self, now: float) -> None:
        """Of those that have not said a word the oldest gives way, of the address that has most of them."""
        addresses = Counter(one.address for one in self._rounds.mute)
        ((most, _),) = addresses.most_common(1)
        next(one for one in self._rounds.mute if one.address == most).close("too many are mute", now)
        self._roster.refuse(most, Refused("mute", "too many connections that say nothing"), now)

    # ---- configuration and end

    def _reconfigure_if_wanted(self, now: float) -> None:
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            return
        self._esp32, self._relay, tokens = wanted
        self._roster.set_rules(self._esp32, self._relay, tokens)
        allow_descriptors(DESCRIPTORS_EACH * self._relay.max_connections + DESCRIPTORS_MORE)
        self._want_ports(now)
        self._datagrams.set_rules(self._relay, now)
        self._pool.set_rules(self._relay, now)
        for stream in self._pool.streams():
            if not self._roster.keeps(stream, stream.hello, now):
                self._roster.end(stream, "stopped", "its settings changed", now)
        for connection in list(self._rounds.all):
            connection.judge_again(self._relay, now)
            self._rounds.watch_anew(connection)

    def _want_ports(self, now: float) -> None:
        self._tcp.want(self._esp32.bind, self._esp32.tcp_port, now)
        self._udp.want(self._esp32.bind, self._esp32.udp_port, now)

    def _close_all(self, now: float) -> None:
        self._tcp.close()
        self._udp.close()
        self._datagrams.close(now)
        for connection in list(self._rounds.all):
            connection.finish(now)
            connection.close("the relay stops", now, "stopped")
        self._pool.close(now, "the relay stops")
        self._tell()
