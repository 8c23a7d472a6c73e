"""Thread `mqtt-link`: connects to the broker, connects again, and carries the outbox there."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from echostream.config.mqtt_models import Mqtt
from echostream.coordinator.worker import Worker
from echostream.errors import ConfigError
from echostream.events import LinkChanged, Post
from echostream.mqtt import reasons
from echostream.mqtt.message import Message
from echostream.mqtt.outbox import Outbox, Outgoing
from echostream.network.backoff import OF_USE_S, Attempt, Backoff
from echostream.network.resolver import Address, Resolver
from echostream.network.stream import Stream

if TYPE_CHECKING:
    from echostream.mqtt.connection import Connection, Received
    from echostream.mqtt.session import Session

log = logging.getLogger(__name__)

RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 30.0
PROBE_S: Final = 2.0
RESOLVE_S: Final = 5.0
SUSPICIONS: Final = 2
"""So many connections in a row that ended at the same publication: one at a time from then on."""
PROOFS: Final = 2
"""So many that ended while that publication was alone on its way: it is put off."""
LEFT_OUT_S: Final = 3600.0
"""So long a subscription is left out; a connection after that tries again, for policies are mended."""
MOST_REASONS: Final = 16
SLOW_S: Final = 3600.0
"""So long after the broker said that it was too much, publications are rationed."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a connection begins with."""

    will: Message
    subscriptions: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class _Outcome:
    attempt: Attempt
    why: str
    took_s: float = 0.0
    held_s: float = 0.0


class MqttLink(Worker):
    """greeting: set by thread `mqtt` before anything can be connected. drained: all that was taken before the
    stop is in the outbox."""

    def __init__(
        self,
        mqtt: Mqtt,
        client_id: str,
        password: str | None,
        post: Post,
        backoff: Backoff | None = None,
    ) -> None:
        super().__init__("mqtt-link", post)
        self.greeting: Greeting | None = None
        self.drained = threading.Event()
        self.ended = threading.Event()
        self.up = False
        self.since_s = time.monotonic()
        self.detail = "not connected yet"
        self.sent = 0
        self.attempts = 0
        self._mqtt = mqtt
        self._client_id = client_id
        self._password = password
        self._backoff = backoff or Backoff(RETRY_MIN_S, RETRY_MAX_S, PROBE_S)
        self._ready = threading.Event()
        self._resolved = threading.Event()
        self._resolver = Resolver(self._resolved.set)
        self._guard = threading.Lock()
        self._stream: Stream | None = None
        self._wake_fd: int | None = None
        self._said: bool | None = None
        self._reasons: set[str] = set()
        """Of failures since the last connection, as far as they were logged."""
        self._suspect: int | str | None = None
        self._suspicions = 0
        self._slow_until_s = 0.0
        self._left_out_until_s = 0.0
        self._left_out: frozenset[str] = frozenset()

    def serve(
        self, outbox: Outbox, on_connected: Callable[[], None], on_received: Callable[[Received], None]
    ) -> None:
        """Before start(): whose words are carried, and who is told."""
        self._outbox = outbox
        self._on_connected = on_connected
        self._on_received = on_received

    def greet(self, greeting: Greeting) -> None:
        """From here on there is something to begin with."""
        self.greeting = greeting
        self._ready.set()

    def wake(self) -> None:
        """There is something new. Any thread, never blocks."""
        with self._guard:
            if self._wake_fd is not None:
                os.eventfd_write(self._wake_fd, 1)

    def interrupt(self) -> None:
        """End every wait for the network now."""
        with self._guard:
            if self._stream is not None:
                self._stream.interrupt()

    def _unblock(self) -> None:
        self._ready.set()
        self._resolved.set()
        self.wake()
        if not self.up:
            self.interrupt()

    # ---- the thread

    def _work(self) -> None:
        self.ended.clear()
        self._ready.wait()
        with self._guard:
            self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            while not self._stopping.is_set():
                outcome = self._attempt()
                if self._stopping.is_set():
                    break
                wait_s = self._backoff.wait_s(outcome.attempt, outcome.took_s, outcome.held_s)
                self._report(outcome, wait_s)
                self._stopping.wait(wait_s)
        finally:
            self.up, self.detail = False, "stopped"
            with self._guard:
                fd, self._wake_fd = self._wake_fd, None
                if fd is not None:
                    os.close(fd)
            self.ended.set()

    def _attempt(self) -> _Outcome:
        # Here, and not at the top: paho is loaded by whoever publishes.
        from echostream.mqtt.connection import Connection, ConnectionEnded, Unanswered

        began_s = time.monotonic()
        self.attempts += 1
        assert self.greeting is not None
        try:
            addresses = self._resolve()
            connection = Connection(self._mqtt, self._client_id, self._password, self.greeting.will)
            connection.open(addresses, self._see)
        except (Unanswered, socket.gaierror) as error:
            return _Outcome(Attempt.UNANSWERED, str(error), time.monotonic() - began_s)
        except (ConnectionEnded, ConfigError) as error:
            return _Outcome(Attempt.ANSWERED, str(error), time.monotonic() - began_s)
        up_s, sent = time.monotonic(), self.sent
        self._became(True, f"{self._mqtt.host}:{self._mqtt.port}")
        try:
            why, code = self._converse(connection)
        finally:
            connection.release()
            self._outbox.disconnected()
        held_s = time.monotonic() - up_s
        if self.sent > sent and self._suspicions < SUSPICIONS:
            held_s = max(held_s, OF_USE_S)
        if code == reasons.TAKEN_OVER:
            held_s = 0.0  # whoever shares our name would be thrown out by us as often as we by him
        return _Outcome(Attempt.ANSWERED, why, held_s=held_s)

    def _resolve(self) -> list[Address]:
        """Raises socket.gaierror; leaves a name server that does not answer to itself."""
        deadline = time.monotonic() + RESOLVE_S
        lookup = self._resolver.ask(self._mqtt.host, self._mqtt.port, socket.SOCK_STREAM)
        while lookup is not None and not lookup.done and not self._stopping.is_set():
            remaining_s = deadline - time.monotonic()
            if remaining_s <= 0:
                break
            self._resolved.wait(remaining_s)
            self._resolved.clear()
        if lookup is None or not lookup.done:
            raise socket.gaierror(f"no name server answers for {self._mqtt.host}")
        addresses = lookup.result()
        if not addresses:
            raise socket.gaierror(f"{self._mqtt.host} has no address: {lookup.error}")
        return addresses

    def _see(self, stream: Stream) -> None:
        with self._guard:
            self._stream = stream
        if self._stopping.is_set():
            stream.interrupt()

    def _converse(self, connection: Connection) -> tuple[str, int]:
        """Until it ends; why, and the broker's reason code."""
        from echostream.mqtt.connection import ConnectionEnded
        from echostream.mqtt.session import Session

        assert self.greeting is not None
        assert self._wake_fd is not None
        self._outbox.connected()
        self._on_connected()
        if time.monotonic() > self._left_out_until_s:
            self._left_out = frozenset()
        careful, slow = self._suspicions >= SUSPICIONS, time.monotonic() < self._slow_until_s
        session = Session(
            connection,
            self._outbox,
            self._on_received,
            self._taken,
            careful,
            slow,
            self._left_out,
            self._drain,
        )
        try:
            session.run(self.greeting.subscriptions, self._wake_fd, self._stopping)
            session.last_words(self.drained, self._wake_fd, self.greeting.will)
        except ConnectionEnded as error:
            if error.by_broker:
                self._suspect_one(session)
            session.slow |= error.code in reasons.TOO_MUCH
            return str(error), error.code
        finally:
            if session.slow and not slow:
                self._slow_until_s = time.monotonic() + SLOW_S
        return "left", 0

    def _drain(self) -> None:
        with self._guard:
            if self._wake_fd is not None:
                try:
                    os.eventfd_read(self._wake_fd)
                except BlockingIOError:
                    return  # woken by the network

    def _taken(self, count: int) -> None:
        self.sent += count

    def _suspect_one(self, session: Session) -> None:
        """Some brokers answer what they do not allow by hanging up (AWS IoT): which one was it?"""
        if self._suspicions >= SUSPICIONS and not session.careful:
            self._suspicions, self._suspect = 0, None  # it held, one at a time
        unanswered = session.unanswered
        known = [one for one in unanswered if self._outbox.was_put_off(one)]
        for one in known:
            self._put_aside(one, logging.DEBUG)
        culprit = unanswered[0] if unanswered else None
        if known:
            return
        if culprit is None or culprit.identity != self._suspect:
            self._suspect = None if culprit is None else culprit.identity
            self._suspicions = min(self._suspicions, SUSPICIONS) if session.careful else 1
            return
        self._suspicions += 1
        if self._suspicions >= SUSPICIONS + PROOFS:
            self._put_aside(culprit, logging.ERROR)
            self._suspicions = SUSPICIONS

    def _put_aside(self, culprit: Outgoing, level: int) -> None:
        now = time.monotonic()
        if culprit.subscription:
            self._left_out |= {culprit.message.topic}
            self._left_out_until_s, wait_s = now + LEFT_OUT_S, LEFT_OUT_S
        else:
            wait_s = self._outbox.later(culprit, now)
        log.log(
            level,
            "mqtt: the broker hangs up at %s: its access list or policy must allow it; again in %.0f s",
            culprit.message.topic,
            wait_s,
        )

    # ---- what is told

    def _report(self, outcome: _Outcome, wait_s: float) -> None:
        """A reason that repeats is logged once: a broker that is away for a night is one line."""
        level = logging.DEBUG if outcome.why in self._reasons and not outcome.held_s else logging.WARNING
        if len(self._reasons) < MOST_REASONS:
            self._reasons.add(outcome.why)
        where = f"{self._mqtt.host}:{self._mqtt.port}"
        log.log(level, "mqtt: broker %s: %s; next attempt in %.1f s", where, outcome.why, wait_s)
        self._became(False, outcome.why)

    def _became(self, up: bool, detail: str) -> None:
        if up != self.up:
            self.since_s = time.monotonic()
        self.up, self.detail = up, "" if up else detail
        if up != self._said:
            self._said = up
            if up:
                self._reasons.clear()
                log.info("mqtt: connected to %s", detail)
            self._post(LinkChanged("mqtt", up, detail))
