"""One short connection to the control server: its offer, how fast it answers, and messages to and fro."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Final, TypeVar

from echostream.doctor.lookup import addresses
from echostream.errors import WireError
from echostream.events import Event, ServerRefused, SessionOffered
from echostream.network.ws_connection import (
    ConnectionEnded,
    Control,
    Endpoint,
    Timing,
    WsConnection,
    open_connection,
)
from echostream.wire.signalling_v1 import Ignored, parse_server_message

OFFER_S: Final = 8.0
PING_S: Final = 5.0
GOODBYE_S: Final = 0.5
T = TypeVar("T")


class Session:
    """A connection that joins no channel by itself. For one thread.

    Raises NoAddress, Unanswered, ConnectionEnded.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        began_s = time.monotonic()
        found = addresses(endpoint.host, endpoint.port, socket.SOCK_STREAM)
        self._connection: WsConnection = open_connection(endpoint, found, Timing(), lambda stream: None)
        self._opened_s = time.monotonic()
        self.connect_ms = 1000 * (self._opened_s - began_s)
        self.offer_ms = 0.0
        self.refusals: list[str] = []
        """What the server refused, in its words."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ConnectionEnded):
            self._connection.goodbye()
            until_s = time.monotonic() + GOODBYE_S
            while time.monotonic() < until_s:  # closed with something unread, what we said last could be lost
                self._connection.receive(until_s)
        self._connection.interrupt()
        self._connection.release()

    def offer(self) -> SessionOffered:
        """The server's first word. Raises ConnectionEnded where it says none."""
        found = self.wait_for(lambda event: event if isinstance(event, SessionOffered) else None, OFFER_S)
        if found is None:
            refusals = f"; it said: {'; '.join(self.refusals)}" if self.refusals else ""
            raise ConnectionEnded(f"nothing came within {OFFER_S:.0f} s that offers audio{refusals}")
        self.offer_ms = 1000 * (time.monotonic() - self._opened_s)
        return found

    def ping_ms(self) -> float:
        """There and back, within the WebSocket. Raises ConnectionEnded where no answer comes."""
        began_s = time.monotonic()
        self._connection.ping()
        while (left_s := began_s + PING_S - time.monotonic()) > 0:
            received = self._connection.receive(time.monotonic() + left_s)
            if isinstance(received, Control) and received.pong:
                return 1000 * (time.monotonic() - began_s)
        raise ConnectionEnded(f"no answer to a ping within {PING_S:.0f} s")

    def send(self, text: str) -> None:
        """Raises ConnectionEnded."""
        self._connection.send_text(text)

    def wait_for(self, wanted: Callable[[Event], T | None], within_s: float) -> T | None:
        """The first event of the server's that `wanted` takes; None: none came in time."""
        until_s = time.monotonic() + within_s
        while time.monotonic() < until_s:
            received = self._connection.receive(until_s)
            for event in _events(received):
                if isinstance(event, ServerRefused):
                    self.refusals.append(f"{event.message} ({event.code})" if event.code else event.message)
                found = wanted(event)
                if found is not None:
                    return found
        return None


def _events(received: str | bytes | Control | None) -> list[Event]:
    """What a frame says; one that says nothing sensible is passed over, as the gateway does."""
    if not isinstance(received, str):
        return []
    try:
        parsed = parse_server_message(received)
    except WireError:
        return []
    return [event for event in parsed if not isinstance(event, Ignored)]
