"""The signalling connection to the control server: connects, receives, reconnects, and never holds anyone up.

Dumb on purpose: it does not know channels. It posts SignallingUp, SignallingLost and what the server says,
and sends what the channel manager gives it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from socket import SOCK_STREAM
from typing import Final

from echostream.config.models import ControlServer
from echostream.errors import WireError
from echostream.events import Event, OutboxOverflowed, SignallingLost, SignallingUp
from echostream.network.backoff import Attempt, Backoff
from echostream.network.outbox import Cleared, Message, OnSent, Outbox
from echostream.network.resolver import Address, Resolver
from echostream.network.stream import Stream, StreamInterrupted
from echostream.network.ws_connection import (
    ConnectionEnded,
    Control,
    Endpoint,
    Timing,
    Unanswered,
    WsConnection,
    knock,
    open_connection,
)
from echostream.wire.signalling_v1 import Ignored, parse_server_message

log = logging.getLogger(__name__)

JOIN_S: Final = 0.6
HURRY_AGAIN_S: Final = 5.0
MAX_FRAMES_PER_S: Final = 100  # beyond it we stop reading, and TCP holds the server back


@dataclass(slots=True)
class SignallingCounters:
    """Since the start. Each field is written by one thread; reading is free."""

    connected: int = 0
    lost: int = 0
    unanswered: int = 0
    failed_handshakes: int = 0
    received: int = 0
    ignored: int = 0
    rubbish: int = 0
    sent: int = 0
    unsent: int = 0
    overflows: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one attempt ended."""

    attempt: Attempt
    why: str
    took_s: float = 0.0
    held_s: float = 0.0


class WebSocketClient:
    """Two threads: `ws-rx` connects and receives, `ws-tx` sends.

    Raises ConfigError for settings that cannot hold.
    """

    def __init__(
        self,
        settings: ControlServer,
        token: str | None,
        post: Callable[[Event], object],
        counters: SignallingCounters | None = None,
        *,
        timing: Timing | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """`post` is called on both threads and must not block. `timing` and `backoff` are for tests."""
        self.counters = counters or SignallingCounters()
        self._settings = settings
        self._endpoint = Endpoint(settings, token)
        self._post = post
        self._timing = timing or Timing()
        self._backoff = backoff or Backoff(
            settings.reconnect_min_s, settings.reconnect_max_s, settings.probe_s
        )
        self._outbox = Outbox()
        self._stop = threading.Event()
        self._nudge = threading.Event()  # something happened: look again before the wait is over
        self._leaving = False  # the end of the connection is what we want from here on
        self._hurry = False
        self._hurried_at = -HURRY_AGAIN_S
        self._guard = threading.Lock()
        self._stream: Stream | None = None
        self._connection: WsConnection | None = None
        self._resolver = Resolver(self._nudge.set)
        self._last_why = ""
        self._rx = threading.Thread(target=self._receive_for_ever, name="ws-rx")
        self._tx = threading.Thread(target=self._send_for_ever, name="ws-tx")

    def start(self) -> None:
        """Begin to connect. Once only."""
        self._rx.start()
        self._tx.start()

    def stop(self, timeout_s: float = 0.3) -> bool:
        """Send what waits, for at most `timeout_s`, say goodbye, end both threads within another 0.6 s.

        False: one outlived its join, which is logged as the bug it is.
        """
        self._leaving = True
        self._outbox.close()
        if self._tx.is_alive():
            self._tx.join(timeout_s)
        deadline = time.monotonic() + JOIN_S
        self._stop.set()
        self._nudge.set()
        self._interrupt()
        for thread in (self._tx, self._rx):
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        alive = [thread.name for thread in (self._tx, self._rx) if thread.is_alive()]
        if alive:
            log.error("threads that outlived their join: %s", ", ".join(alive))
        return not alive

    def send(self, text: str, on_sent: OnSent | None = None) -> bool:
        """Queue a message. Never blocks.

        True: it is queued, and `on_sent` will be called once on `ws-tx`: with True right after it has left,
        with False when it could not. False: not connected, stopping, or too many wait (then all are cleared
        and OutboxOverflowed follows); `on_sent` is not called.
        """
        return self._outbox.put(text, on_sent)

    def reconnect_now(self) -> None:
        """Leave the present connection, if any, and connect again without waiting.

        Asked again within 5 s, the usual wait comes first: a server that drains may still accept us.
        """
        now = time.monotonic()
        with self._guard:
            # The stream of this moment: once it is told to hurry, ws-rx may be on the next one before us.
            stream = self._stream
            if now - self._hurried_at >= HURRY_AGAIN_S:
                self._hurried_at = now
                self._hurry = True
        self._nudge.set()
        if stream is not None:
            stream.interrupt()

    @property
    def connected(self) -> bool:
        """The WebSocket is open now."""
        return self._connection is not None

    @property
    def last_failure(self) -> str:
        """Why the last attempt or connection ended; empty when none has."""
        return self._last_why

    def _interrupt(self) -> None:
        with self._guard:
            if self._stream is not None:
                self._stream.interrupt()

    # ws-rx

    def _receive_for_ever(self) -> None:
        while not self._stop.is_set():
            try:
                outcome = self._attempt()
            except Exception as error:  # a bug of ours must not end signalling: log, count, go on
                log.exception("signalling failed unexpectedly")
                self.counters.errors += 1
                outcome = _Outcome(Attempt.ANSWERED, f"internal error: {type(error).__name__}")
            if self._leaving:
                return
            wait_s = self._backoff.wait_s(outcome.attempt, outcome.took_s, outcome.held_s)
            self._report(outcome, wait_s)
            away = self._pause(wait_s, knocking=outcome.attempt is Attempt.ANSWERED)
            if away is not None:
                self._pause(self._backoff.wait_s(away.attempt, away.took_s), knocking=False)

    def _report(self, outcome: _Outcome, wait_s: float) -> None:
        """A reason that repeats is logged once: a server that is away for a night is one line."""
        level = logging.DEBUG if outcome.why == self._last_why and not outcome.held_s else logging.WARNING
        self._last_why = outcome.why
        log.log(
            level, "control server %s: %s; next attempt in %.1f s", self._endpoint.shown, outcome.why, wait_s
        )

    def _pause(self, wait_s: float, knocking: bool) -> _Outcome | None:
        """Wait; `knocking`: on a server that answered. Returns the knock that nobody answered, or None."""
        until = time.monotonic() + wait_s
        knock_at = time.monotonic() + self._backoff.knock_s() if knocking else until
        while not self._leaving and not self._hurry:
            now = time.monotonic()
            if now >= until:
                return None
            if now >= knock_at:
                away = self._knock()
                if away is not None:
                    return away
                knock_at = time.monotonic() + self._backoff.knock_s()
                continue
            self._nudge.wait(min(until, knock_at) - now)
            self._nudge.clear()
        return None

    def _knock(self) -> _Outcome | None:
        """Is somebody there? One TCP connection, closed at once."""
        began = time.monotonic()
        try:
            knock(self._resolve(), self._timing, self._register)
        except Unanswered as error:
            if self._leaving:
                return None
            self.counters.unanswered += 1
            self._last_why = str(error)
            return _Outcome(Attempt.UNANSWERED, str(error), took_s=time.monotonic() - began)
        return None

    def _attempt(self) -> _Outcome:
        """Connect and stay. Returns when it is over."""
        self._hurry = False
        began = time.monotonic()
        try:
            connection = open_connection(self._endpoint, self._resolve(), self._timing, self._register)
        except Unanswered as error:
            self.counters.unanswered += 1
            return _Outcome(Attempt.UNANSWERED, str(error), took_s=time.monotonic() - began)
        except ConnectionEnded as error:
            self.counters.failed_handshakes += 1
            return _Outcome(Attempt.ANSWERED, str(error))
        opened = time.monotonic()
        why = self._stay(connection)
        return _Outcome(Attempt.ANSWERED, why, held_s=time.monotonic() - opened)

    def _register(self, stream: Stream) -> None:
        with self._guard:
            self._stream = stream
        if self._stop.is_set():
            raise StreamInterrupted("stopping")

    def _resolve(self) -> list[Address]:
        """The server's addresses. Raises Unanswered; waits for at most resolve_s, less when stopped."""
        until = time.monotonic() + self._timing.resolve_s
        host = self._endpoint.host
        lookup = self._resolver.ask(host, self._endpoint.port, SOCK_STREAM)
        while lookup is not None and not lookup.done and not self._stop.is_set():
            remaining_s = until - time.monotonic()
            if remaining_s <= 0:
                break
            self._nudge.wait(remaining_s)
            self._nudge.clear()
        if lookup is None or not lookup.done:
            raise Unanswered(f"no answer to the lookup of {host}")
        addresses = lookup.result()
        if not addresses:
            raise Unanswered(f"lookup of {host}: {lookup.error}")
        return addresses

    def _stay(self, connection: WsConnection) -> str:
        """Receive until the connection ends; returns why."""
        connection.link = self._outbox.link_up()
        self._connection = connection
        self.counters.connected += 1
        self._last_why = ""
        log.info("control server %s: connected", self._endpoint.shown)
        why = "internal error"
        try:
            self._post(SignallingUp())
            self._receive(connection)
        except ConnectionEnded as ended:
            why = str(ended)
            return why
        finally:
            self._connection = None
            self._outbox.link_down()
            connection.interrupt()
            connection.release()
            self.counters.lost += 1
            self._post(SignallingLost(why))
        return why

    def _receive(self, connection: WsConnection) -> None:
        """Never returns: ends with ConnectionEnded."""
        now = time.monotonic()
        ping_s = self._settings.ping_s
        next_ping, awaiting = now + ping_s, False
        no_offer_at = now + self._timing.offer_s
        window_at, frames = now, 0
        silent = True
        while True:
            received = connection.receive(min(next_ping, no_offer_at) if silent else next_ping)
            now = time.monotonic()
            if self._hurry or self._stop.is_set():
                raise ConnectionEnded("left on request")
            if isinstance(received, Control):
                awaiting = awaiting and not received.pong
            elif received is not None:
                silent = False
                self._handle(received)
            if silent and now >= no_offer_at:
                raise ConnectionEnded(f"nothing from the server within {self._timing.offer_s:g} s")
            if now >= next_ping:
                if awaiting:
                    raise ConnectionEnded(f"no pong within {ping_s:g} s")
                connection.ping()
                next_ping, awaiting = now + ping_s, True
            frames += 1
            if now - window_at >= 1.0:
                window_at, frames = now, 0
            elif frames >= MAX_FRAMES_PER_S:
                self._stop.wait(1.0 - (now - window_at))

    def _handle(self, received: str | bytes) -> None:
        self.counters.received += 1
        if isinstance(received, bytes):
            self.counters.ignored += 1
            return
        try:
            parsed = parse_server_message(received)
        except WireError as error:
            self.counters.rubbish += 1
            log.debug("ignored a message from the server: %s", error)
            return
        for event in parsed:
            if isinstance(event, Ignored):
                self.counters.ignored += 1
            else:
                self._post(event)

    # ws-tx

    def _send_for_ever(self) -> None:
        while (job := self._outbox.take()) is not None:
            try:
                if isinstance(job, Cleared):
                    self._tell_cleared(job)
                else:
                    self._transmit(job)
            except Exception:  # on_sent and post are others' code: log, count, go on
                log.exception("a callback of the WebSocket sender failed")
                self.counters.errors += 1
        connection = self._connection
        if connection is not None:
            try:
                connection.goodbye()
            except ConnectionEnded as error:
                log.debug("no goodbye: %s", error)

    def _tell_cleared(self, cleared: Cleared) -> None:
        self.counters.unsent += len(cleared.messages)
        for message in cleared.messages:
            if message.on_sent is not None:
                message.on_sent(False)
        if cleared.overflowed:
            self.counters.overflows += 1
            log.warning("the WebSocket outbox was full: %d messages dropped", len(cleared.messages))
            self._post(OutboxOverflowed())

    def _transmit(self, message: Message) -> None:
        connection = self._connection
        sent = False
        if connection is not None and connection.link == message.link:
            try:
                connection.send_text(message.text)
                sent = True
            except ConnectionEnded as error:
                log.debug("not sent: %s", error)
        if sent:
            self.counters.sent += 1
        else:
            self.counters.unsent += 1
        if message.on_sent is not None:
            message.on_sent(sent)
