"""The life of one connection: what goes out and in which order, what came of it, and the orderly end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from echostream.mqtt import reasons
from echostream.mqtt.connection import Connection, ConnectionEnded, Received
from echostream.mqtt.message import Message
from echostream.mqtt.outbox import Outbox, Outgoing
from echostream.mqtt.pace import OUT_BURST, OUT_PER_SECOND, Bucket
from echostream.mqtt.reasons import Verdict

log = logging.getLogger(__name__)

WINDOW: Final = 64
"""Publications that the broker has not answered yet, at most."""
WINDOW_BYTES: Final = 64 * 1024
"""And their bytes: a socket takes those without blocking."""
STATES_SHARE: Final = 16
"""Of the window, so that a long backlog of events does not hold back how things are now."""
ANSWER_S: Final = 30.0
CAREFUL_S: Final = 60.0
"""A connection that held so long one at a time goes on as usual."""
SLOW_TURN_S: Final = 0.1
FLUSH_S: Final = 0.25
LAST_WORDS_S: Final = 1.2
FAREWELL_S: Final = 0.3


@dataclass(frozen=True, slots=True)
class _Flight:
    outgoing: Outgoing
    bytes: int
    since_s: float


class Session:
    """Runs on thread `mqtt-link`. careful: one publication at a time, so that the one at which the broker
    hangs up is known. slow: so many a second, as it is once the broker said that it was too much."""

    def __init__(
        self,
        connection: Connection,
        outbox: Outbox,
        on_received: Callable[[Received], None],
        on_taken: Callable[[int], None],
        careful: bool,
        slow: bool,
        left_out: frozenset[str],
        woken: Callable[[], None],
    ) -> None:
        """woken: empties the descriptor that wakes. left_out: subscriptions that no connection would
        survive."""
        self._connection = connection
        self._outbox = outbox
        self._on_received = on_received
        self._on_taken = on_taken
        self.slow = slow
        self._ration = Bucket(OUT_BURST, OUT_PER_SECOND)
        self.careful = careful
        self._left_out = left_out
        self._woken = woken
        self._whole_window = max(1, min(WINDOW, connection.limits.window))
        self._window = 1 if careful else self._whole_window
        self._flying: dict[int, _Flight] = {}
        self._states_flying = 0
        self._bytes_flying = 0
        self._flushed_s = 0.0
        self._said: set[int] = set()
        self._put_off_said: set[str] = set()

    @property
    def unanswered(self) -> list[Outgoing]:
        """What the broker has not answered, the oldest first."""
        return [flight.outgoing for flight in self._flying.values()]

    def run(self, subscriptions: Sequence[tuple[str, int]], wake: int, stop: threading.Event) -> None:
        """Until the connection ends (ConnectionEnded), or somebody stops us."""
        for topic, qos in subscriptions:
            self._subscribe(topic, qos)
        began_s = time.monotonic()
        while not stop.is_set():
            if self.careful and time.monotonic() - began_s > CAREFUL_S:
                self.careful, self._window = False, self._whole_window
            self._fill()
            self._turn(SLOW_TURN_S if self.slow else 1.0, wake)

    def last_words(self, drained: threading.Event, wake: int, will: Message) -> None:
        """What is left, within a second; then that we leave. Raises ConnectionEnded."""
        deadline = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < deadline:
            complete = drained.is_set()
            self._fill()
            if complete and not self._flying and not self._outbox.unsaid:
                break
            self._turn(min(0.1, deadline - time.monotonic()), wake)
        self._send(Outgoing(will))
        deadline = time.monotonic() + FAREWELL_S
        while self._flying and time.monotonic() < deadline:
            self._turn(deadline - time.monotonic(), wake)
        self._outbox.flush()
        self._connection.goodbye()

    # ---- out

    def _fill(self) -> None:
        now = time.monotonic()
        while self._has_room():
            kinds: tuple[Literal["state", "event"], ...] = ("state", "event")
            if self._states_flying >= STATES_SHARE:
                kinds = ("event", "state")
            outgoing = self._outbox.next(kinds[0], now) or self._outbox.next(kinds[1], now)
            if outgoing is None:
                break
            self._send(outgoing)
        while not self.careful and self._has_room():
            telemetry = self._outbox.next("telemetry", now)
            if telemetry is None:
                break
            self._send(telemetry)

    def _has_room(self) -> bool:
        if len(self._flying) >= self._window or self._bytes_flying >= WINDOW_BYTES:
            return False
        return not self.slow or self._ration.take(time.monotonic())

    def _send(self, outgoing: Outgoing) -> None:
        message = outgoing.message
        if not self._connection.fits(message):
            self._refuse(outgoing, reasons.PACKET_TOO_LARGE)
            return
        number = self._connection.publish(message)
        if message.kind == "telemetry" and message.qos == 0:
            return
        size = len(message.payload) + len(message.topic)
        self._flying[number] = _Flight(outgoing, size, time.monotonic())
        self._bytes_flying += size
        self._states_flying += message.kind == "state"

    def _subscribe(self, topic: str, qos: int) -> None:
        if topic in self._left_out:
            return
        number = self._connection.subscribe(topic, qos)
        outgoing = Outgoing(Message(topic, b"", "telemetry"), subscription=True)
        self._flying[number] = _Flight(outgoing, 0, time.monotonic())
        while self.careful and number in self._flying:
            self._turn(1.0, None)

    # ---- in

    def _turn(self, timeout_s: float, wake: int | None) -> None:
        try:
            self._connection.turn(timeout_s, wake)
        finally:
            self._take_answers()
        self._woken()
        for received in self._connection.received():
            self._on_received(received)
        now = time.monotonic()
        if not self._flying or now - self._flushed_s >= FLUSH_S:
            self._flushed_s = now
            self._outbox.flush()
        oldest = next(iter(self._flying.values()), None)
        if oldest is not None and now - oldest.since_s > ANSWER_S:
            raise ConnectionEnded(f"the broker has not answered a publication for {ANSWER_S:.0f} s")

    def _take_answers(self) -> None:
        taken = 0
        for answer in self._connection.answers():
            flight = self._flying.pop(answer.number, None)
            if flight is None:
                continue
            self._bytes_flying -= flight.bytes
            self._states_flying -= flight.outgoing.message.kind == "state"
            verdict = reasons.verdict(answer.code)
            if verdict is Verdict.TAKEN:
                taken += 1
                self._outbox.arrived(flight.outgoing)
            elif verdict is Verdict.NEVER:
                self._refuse(flight.outgoing, answer.code)
            else:
                self.slow |= answer.code in reasons.TOO_MUCH
                self._put_off(flight.outgoing, reasons.words(answer.code))
        if taken:
            self._on_taken(taken)

    def _refuse(self, outgoing: Outgoing, code: int) -> None:
        self._outbox.never(outgoing)
        level = logging.DEBUG if code in self._said else logging.ERROR
        self._said.add(code)
        log.log(level, "mqtt: %s: %s; it is left out", outgoing.message.topic, reasons.words(code))

    def _put_off(self, outgoing: Outgoing, why: str) -> None:
        wait_s = self._outbox.later(outgoing, time.monotonic())
        again = f"again in {wait_s:.0f} s" if wait_s else "again with the next connection"
        level = logging.DEBUG if why in self._put_off_said else logging.WARNING
        self._put_off_said.add(why)
        log.log(level, "mqtt: %s: %s; %s", outgoing.message.topic, why, again)
