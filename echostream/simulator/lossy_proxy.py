"""A bad network on purpose: loss, bursts, delay, jitter, reordering, duplicates, corruption, from one seed.

`LossModel` is pure and runs in any time; `LossyProxy` puts two of them between real sockets.
"""

from __future__ import annotations

import heapq
import logging
import random
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any, Final

log = logging.getLogger(__name__)

MAX_WAITING: Final = 4096  # datagrams in one direction
MAX_CLIENTS: Final = 64
MAX_DATAGRAM_BYTES: Final = 65_535
BURST: Final = 64
JOIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class LossRules:
    """Probabilities are 0 to 1, of each datagram.

    burst_start, burst_end: the chance that a burst of total loss begins, and that it ends (Gilbert's model:
    its mean length is 1 / burst_end datagrams).
    delay_ms ± jitter_ms: uniform. keep_order: jitter delays but never reorders, as most queues do.
    reorder: the chance that a datagram takes reorder_ms more, past those behind it.
    corrupt: the chance that one bit is flipped.
    """

    loss: float = 0.0
    burst_start: float = 0.0
    burst_end: float = 0.5
    delay_ms: float = 0.0
    jitter_ms: float = 0.0
    keep_order: bool = False
    reorder: float = 0.0
    reorder_ms: float = 50.0
    duplicate: float = 0.0
    corrupt: float = 0.0


@dataclass(slots=True)
class LossCounters:
    """What the model did. `overflowed`: more than 4096 datagrams were under way."""

    taken: int = 0
    lost: int = 0
    delivered: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0
    overflowed: int = 0


class LossModel:
    """One direction of a bad network in the caller's time: push datagrams in, pop those that are due.

    Each datagram draws the same number of random numbers whatever the rules, so that changing one rule leaves
    the fate that the others gave each datagram as it was.
    """

    def __init__(self, rules: LossRules, seed: int) -> None:
        self.rules = rules
        """May be replaced at any time; holds for the datagrams that follow."""
        self.counters = LossCounters()
        self._random = random.Random(seed)
        self._in_burst = False
        self._last_due = 0.0
        self._order = 0
        self._waiting: list[tuple[float, int, bytes]] = []

    def push(self, now: float, datagram: bytes) -> None:
        """Take a datagram that was sent at `now` (seconds of any clock)."""
        rules, counters = self.rules, self.counters
        lost, burst, jitter, reorder, duplicate, corrupt, where = (self._random.random() for _ in range(7))
        counters.taken += 1
        self._in_burst = burst >= rules.burst_end if self._in_burst else burst < rules.burst_start
        if self._in_burst or lost < rules.loss:
            counters.lost += 1
            return
        due = now + max(0.0, rules.delay_ms + rules.jitter_ms * (2 * jitter - 1)) / 1000
        if rules.keep_order:
            due = self._last_due = max(due, self._last_due)
        if reorder < rules.reorder:
            counters.reordered += 1
            due += rules.reorder_ms / 1000
        if corrupt < rules.corrupt and datagram:
            counters.corrupted += 1
            datagram = _flip_bit(datagram, int(where * len(datagram) * 8))
        self._schedule(due, datagram)
        if duplicate < rules.duplicate:
            counters.duplicated += 1
            self._schedule(due, datagram)

    def _schedule(self, due: float, datagram: bytes) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self.counters.overflowed += 1
            return
        self._order += 1
        heapq.heappush(self._waiting, (due, self._order, datagram))

    def pop(self, now: float) -> list[bytes]:
        """The datagrams that have arrived by `now`, in order of arrival."""
        arrived = []
        while self._waiting and self._waiting[0][0] <= now:
            arrived.append(heapq.heappop(self._waiting)[2])
        self.counters.delivered += len(arrived)
        return arrived

    @property
    def next_due(self) -> float | None:
        """When the next datagram arrives; None: none is under way."""
        return self._waiting[0][0] if self._waiting else None


def _flip_bit(datagram: bytes, bit: int) -> bytes:
    flipped = bytearray(datagram)
    flipped[bit // 8] ^= 1 << (bit % 8)
    return bytes(flipped)


@dataclass(slots=True)
class _Path:
    """One client's way through the proxy and back."""

    client: tuple[Any, ...]
    out: socket.socket
    up: LossModel
    down: LossModel


class LossyProxy:
    """Listens on a port of its own, passes datagrams to `target` and the answers back. Thread `lossy-proxy`.

    Each client gets a socket towards the target, as behind a NAT, and two models with seeds that follow from
    `seed` and the order in which clients appear. `down` None: the same rules both ways.
    """

    def __init__(
        self, target: tuple[str, int], up: LossRules, seed: int, down: LossRules | None = None
    ) -> None:
        self._target = target
        self._rules = (up, down or up)
        self._seed = seed
        self._family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self._paths: dict[tuple[Any, ...], _Path] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._sock = self._bound()
        self.address: tuple[str, int] = self._sock.getsockname()[:2]
        """Where clients send to instead of the target."""
        self._selector.register(self._wake_receiver, selectors.EVENT_READ)
        self._selector.register(self._sock, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="lossy-proxy")

    def start(self) -> None:
        """Once only."""
        self._thread.start()

    def stop(self) -> bool:
        """End the thread and close the sockets. False: it outlived its join (logged)."""
        if not self._stop.is_set():
            self._stop.set()
            self._wake_sender.send(b"x")
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
        if self._thread.is_alive():
            log.error("thread lossy-proxy outlived its join")
            return False
        for sock in (
            self._sock,
            self._wake_receiver,
            self._wake_sender,
            *(p.out for p in self._paths.values()),
        ):
            sock.close()
        self._selector.close()
        return True

    def set_rules(self, up: LossRules, down: LossRules | None = None) -> None:
        """Change the network under way. Any thread."""
        with self._lock:
            self._rules = (up, down or up)
            for path in self._paths.values():
                path.up.rules, path.down.rules = self._rules

    def counters(self) -> tuple[list[LossCounters], list[LossCounters]]:
        """Of each client in order of appearance: towards the target, and back."""
        with self._lock:
            paths = list(self._paths.values())
        return [path.up.counters for path in paths], [path.down.counters for path in paths]

    def _bound(self) -> socket.socket:
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        sock.bind(("::1" if self._family == socket.AF_INET6 else "127.0.0.1", 0))
        return sock

    def _run(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(self._timeout_s()):
                if key.fileobj is self._sock:
                    self._take_from_clients()
                elif isinstance(key.data, _Path):
                    self._take_from_target(key.data)
            self._deliver()

    def _timeout_s(self) -> float | None:
        due = [
            model.next_due
            for path in self._paths.values()
            for model in (path.up, path.down)
            if model.next_due is not None
        ]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _take_from_clients(self) -> None:
        for _ in range(BURST):
            try:
                datagram, client = self._sock.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:  # nothing more, or an ICMP error of an earlier send
                return
            path = self._paths.get(client) or self._new_path(client)
            if path is not None:
                path.up.push(time.monotonic(), datagram)

    def _new_path(self, client: tuple[Any, ...]) -> _Path | None:
        if len(self._paths) >= MAX_CLIENTS:
            log.warning("more than %d clients: %s is not served", MAX_CLIENTS, client)
            return None
        seed = self._seed + 2 * len(self._paths)
        path = _Path(
            client, self._bound(), LossModel(self._rules[0], seed), LossModel(self._rules[1], seed + 1)
        )
        with self._lock:
            self._paths[client] = path
        self._selector.register(path.out, selectors.EVENT_READ, path)
        return path

    def _take_from_target(self, path: _Path) -> None:
        for _ in range(BURST):
            try:
                datagram, sender = path.out.recvfrom(MAX_DATAGRAM_BYTES)
            except OSError:  # nothing more, or an ICMP error of an earlier send
                return
            if sender[1] == self._target[1]:
                path.down.push(time.monotonic(), datagram)

    def _deliver(self) -> None:
        now = time.monotonic()
        for path in self._paths.values():
            for datagram in path.up.pop(now):
                self._send(path.out, datagram, self._target)
            for datagram in path.down.pop(now):
                self._send(self._sock, datagram, path.client)

    def _send(self, sock: socket.socket, datagram: bytes, address: tuple[Any, ...]) -> None:
        try:
            sock.sendto(datagram, address)
        except OSError as error:  # a full buffer loses, as networks do
            log.debug("lossy proxy: %s", error)
