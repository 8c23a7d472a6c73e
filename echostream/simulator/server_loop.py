"""The control server's thread: one selector over the listener, the WebSockets and the UDP ports."""

from __future__ import annotations

import contextlib
import hmac
import http
import json
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from echostream.simulator.server_settings import Limits, Offer, ServerStats, checked_key
from echostream.simulator.switchboard import Sends, Switchboard, UsersForm
from echostream.simulator.udp_port import UdpPort
from echostream.simulator.ws_peer import WsPeer

log = logging.getLogger(__name__)

TICK_S: Final = 0.25  # how often deadlines are looked at
BURST: Final = 64  # datagrams of one port per turn
JOIN_S: Final = 1.5


@dataclass(slots=True)
class _Client:
    """One connection: its WebSocket and its UDP port, which may be closed while its number stays."""

    number: int
    peer: WsPeer
    host: str
    interest: int = selectors.EVENT_READ
    udp: UdpPort | None = None
    udp_port: int = 0
    empty_at: float = 0.0
    offered: bool = False


class ControlServer:
    """Signalling and UDP relay, faithful to version 1 of the protocol. One thread, `control-server`.

    aes_key: base64 of 32 bytes, "N/A" (members share a key of their own) or "generate".
    offer: when the offer message is sent: "once", or as older servers do with each connect (on the same port
    or on a new one). advertise: maps the real (host, port) of a UDP port to the one that is offered, so that
    a proxy can stand in between. Raises WireError (a key that is none), OSError (the port is taken).
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        aes_key: str = "generate",
        channels: Collection[str] | None = None,
        users_form: UsersForm = "flat",
        patches: Iterable[Collection[str]] = (),
        offer: Offer = "once",
        udp_host_advertised: str | None = None,
        advertise: Callable[[str, int], tuple[str, int]] | None = None,
        token: str | None = None,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.aes_key = checked_key(aes_key)
        self._host = host
        self._offer = offer
        self._udp_host = udp_host_advertised
        self._advertise = advertise or (lambda udp_host, udp_port: (udp_host, udp_port))
        self._token = token
        self._tls = tls
        self._limits = limits or Limits()
        self._clock = clock
        self._switchboard = Switchboard(channels, users_form, patches)
        self._counts: Counter[str] = Counter()
        self._clients: dict[int, _Client] = {}
        self._last_number = 0
        self._drain_for_s: float | None = None
        self._drain_ends = self._drain_notice = float("inf")
        self._state = threading.Lock()  # held for a turn, so that a snapshot is of one moment
        self._drop_all = threading.Event()
        self._turned = threading.Event()
        self._stop = threading.Event()
        self.drained = threading.Event()
        """Set when a drain is over: every client was told and closed."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener: socket.socket | None = socket.create_server((host, port), family=family)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="control-server")

    # Any thread

    @property
    def url(self) -> str:
        """What a client connects to."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{'wss' if self._tls else 'ws'}://{host}:{self.port}/"

    def start(self) -> None:
        """Begin to serve. Once only."""
        self._thread.start()

    def stop(self) -> bool:
        """Close all and end the thread. False: it outlived its join (logged). Idempotent."""
        self._stop.set()
        self.poke()
        if self._thread.ident is not None:
            self._thread.join(JOIN_S)
            if self._thread.is_alive():
                log.error("thread control-server outlived its join")
                return False
        self._close_everything()
        return True

    def drain(self, seconds: float) -> None:
        """Take no new connection, tell the clients every 5 s, and close them after `seconds`."""
        self._drain_for_s = seconds
        self.poke()

    def drop_clients(self) -> None:
        """Cut every connection without a word, as a crash would."""
        self._drop_all.set()
        self.poke()

    def poke(self) -> None:
        """Look at deadlines now: for tests that moved the clock."""
        with contextlib.suppress(BlockingIOError, OSError):  # full of wakes already, or stopped
            self._wake_sender.send(b"x")

    def settle(self, timeout_s: float = 1.0) -> bool:
        """Wait until the thread has seen everything that happened before the call."""
        for _ in range(2):  # the turn that is under way may have looked already
            self._turned.clear()
            self.poke()
            if not self._turned.wait(timeout_s):
                return False
        return True

    def stats(self) -> ServerStats:
        """A snapshot of one moment."""
        with self._state:
            return ServerStats(
                sum(client.offered for client in self._clients.values()),
                sum(client.udp is not None for client in self._clients.values()),
                self._switchboard.members(),
                dict(self._counts + self._switchboard.counts),
            )

    # The thread

    def _run(self) -> None:
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, "wake")
        if self._listener is not None:
            self._selector.register(self._listener, selectors.EVENT_READ, "listener")
        next_tick = 0.0
        while not self._stop.is_set():
            try:
                ready = self._selector.select(TICK_S)
                with self._state:
                    woken = self._serve(ready)
                    if woken or time.monotonic() >= next_tick:
                        next_tick = time.monotonic() + TICK_S
                        self._look_at_deadlines(self._clock())
                self._turned.set()
            except Exception:  # one client's trouble must not end the others: log, count, go on
                log.exception("the control server failed unexpectedly")
                self._counts["errors"] += 1
                self._stop.wait(TICK_S)
        for client in list(self._clients.values()):
            client.peer.close(1001, "the server stops", self._clock())

    def _serve(self, ready: list[tuple[selectors.SelectorKey, int]]) -> bool:
        woken = False
        for key, _ in ready:
            if key.data == "wake":
                self._wake_receiver.recv(4096)
                woken = True
            elif key.data == "listener":
                self._accept()
            elif isinstance(key.fileobj, WsPeer):
                self._turn(key.data)
            elif isinstance(key.fileobj, UdpPort) and key.data.udp is key.fileobj:
                self._relay(key.data, key.fileobj)
        return woken

    def _accept(self) -> None:
        if self._listener is None:
            return
        try:
            sock, address = self._listener.accept()
        except OSError as error:  # gone again already, or no descriptors left
            self._counts["accept_errors"] += 1
            log.debug("accept: %s", error)
            return
        if len(self._clients) >= self._limits.clients:
            self._counts["too_many_clients"] += 1
            sock.close()
            return
        self._last_number += 1
        now = self._clock()
        host = str(sock.getsockname()[0])
        client = _Client(self._last_number, WsPeer(sock, self._gate, self._tls, now), host)
        self._clients[client.number] = client
        self._selector.register(client.peer, client.interest, client)
        log.debug("client %d: connected from %s", client.number, address[0])

    def _gate(self, request: Request) -> http.HTTPStatus | None:
        """The token, in the header Authorization (alone or as Bearer) or in the query as `token`."""
        if self._token is None:
            return None
        shown = [value.removeprefix("Bearer ") for value in request.headers.get_all("Authorization")]
        shown += parse_qs(urlsplit(request.path).query).get("token", [])
        if any(hmac.compare_digest(value.encode(), self._token.encode()) for value in shown):
            return None
        self._counts["unauthorized"] += 1
        return http.HTTPStatus.UNAUTHORIZED

    def _turn(self, client: _Client) -> None:
        """A client's WebSocket can be read or written."""
        texts = client.peer.turn(self._clock())
        if client.peer.open and not client.offered:
            self._welcome(client)
        sends: Sends = []
        renew = False
        for text in texts if client.offered else ():
            log.debug("client %d: %.200r", client.number, text)
            reaction = self._switchboard.message(client.number, text)
            renew |= reaction.renew_port
            sends += reaction.sends
        if renew and client.peer.open:
            self._renew_port(client)
        self._send(sends)
        self._settle_peer(client)

    def _settle_peer(self, client: _Client) -> None:
        """Ask the selector for what the peer now needs, or let it go."""
        if client.number not in self._clients:
            return
        if client.peer.closed:
            self._remove(client)
        elif client.interest != client.peer.interest:
            client.interest = client.peer.interest
            self._selector.modify(client.peer, client.interest, client)

    def _welcome(self, client: _Client) -> None:
        now = self._clock()
        client.offered = True
        client.empty_at = now + self._limits.empty_frame_s
        self._open_port(client, 0)
        self._send_offer(client)

    def _send_offer(self, client: _Client) -> None:
        host, port = self._advertise(self._udp_host or client.host, client.udp_port)
        offer = {"udp_port": port, "udp_host": host, "websocket_id": port, "aes_key": self.aes_key}
        self._send([(client.number, json.dumps(offer))])

    def _renew_port(self, client: _Client) -> None:
        """What a connect does: a port that was closed is opened again; older servers offer it anew."""
        if self._offer == "new_port_every_connect":
            self._close_port(client)
            self._open_port(client, 0)
        elif client.udp is None:
            self._open_port(client, client.udp_port)
        if self._offer != "once":
            self._send_offer(client)

    def _open_port(self, client: _Client, port: int) -> None:
        try:
            client.udp = UdpPort(self._host, port, self._clock())
        except OSError as error:  # somebody took the port meanwhile: the next connect tries again
            self._counts["port_errors"] += 1
            log.warning("client %d: UDP port %d cannot be opened: %s", client.number, port, error)
            return
        client.udp_port = client.udp.number
        self._selector.register(client.udp, selectors.EVENT_READ, client)

    def _close_port(self, client: _Client) -> None:
        if client.udp is not None:
            self._selector.unregister(client.udp)
            client.udp.close()
            client.udp = None

    def _relay(self, client: _Client, port: UdpPort) -> None:
        """Datagrams of one client, to the others of its channel, each from the port that is theirs."""
        now = self._clock()
        for _ in range(BURST):
            datagram = port.receive(now)
            if datagram is None:
                return
            self._counts["datagrams_in"] += 1
            for number, data in self._switchboard.audio(client.number, datagram):
                other = self._clients.get(number)
                sent = other is not None and other.udp is not None and other.udp.send(data)
                self._counts["datagrams_out" if sent else "datagrams_unsent"] += 1

    def _send(self, sends: Sends) -> None:
        for number, text in sends:
            client = self._clients.get(number)
            if client is not None:
                client.peer.send(text)
                self._counts["messages_out"] += 1
                self._settle_peer(client)

    def _remove(self, client: _Client) -> None:
        del self._clients[client.number]
        self._selector.unregister(client.peer)
        client.peer.release()
        self._close_port(client)
        log.debug("client %d: gone (%s)", client.number, client.peer.why)
        self._send(self._switchboard.leave(client.number))

    # Deadlines

    def _look_at_deadlines(self, now: float) -> None:
        if self._drop_all.is_set():
            self._drop_all.clear()
            for client in list(self._clients.values()):
                client.peer.drop("dropped on request")
        limits = self._limits
        for client in list(self._clients.values()):
            if not client.offered and now - client.peer.accepted_at >= limits.handshake_s:
                client.peer.drop("no handshake")
            elif (
                client.peer.closing_since is not None and now - client.peer.closing_since >= limits.closing_s
            ):
                client.peer.drop("no answer to the close")
            elif now - client.peer.heard_at >= limits.idle_s:
                client.peer.drop("silent")
            elif client.offered and now >= client.empty_at:
                client.empty_at = now + limits.empty_frame_s
                client.peer.send("")
            if client.udp is not None and now - client.udp.heard_at >= limits.port_silence_s:
                self._counts["ports_closed"] += 1
                self._close_port(client)
            self._settle_peer(client)
        self._drain(now)

    def _drain(self, now: float) -> None:
        if self._drain_for_s is not None:
            self._drain_ends, self._drain_for_s = now + self._drain_for_s, None
            self._drain_notice = now
            self._close_listener()
        if now >= self._drain_ends:
            self._drain_ends = self._drain_notice = float("inf")
            self._tell_all({"terminated": True, "terminating": False})
            for client in list(self._clients.values()):
                client.peer.close(1001, "the server goes", now)
                self._settle_peer(client)
            self.drained.set()
        elif now >= self._drain_notice:
            self._drain_notice = now + self._limits.drain_notice_s
            self._tell_all({"terminated": False, "terminating": True})

    def _tell_all(self, message: dict[str, bool]) -> None:
        self._send([(number, json.dumps(message)) for number in list(self._clients)])

    def _close_listener(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(KeyError):  # stopped before it was started
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None

    def _close_everything(self) -> None:
        self._close_listener()
        for client in list(self._clients.values()):
            client.peer.release()
            if client.udp is not None:
                client.udp.close()
        self._clients.clear()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()
