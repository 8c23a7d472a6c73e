"""How audio fares on its way to the control server and back.

Protocol version 1 has no echo: a server copies a datagram to the channel's other members, never to its sender
(docs/protocol.md, section 2). So two members are needed, and both are made here, on a channel of their own:
one sends packets as long as speech in the rhythm of speech, the other receives what the server copies. No key
opens what they carry. What is timed is from one socket to the other: to the server and back.
"""

from __future__ import annotations

import os
import select
import socket
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from echostream.doctor.lookup import addresses
from echostream.doctor.session import Session
from echostream.errors import WireError
from echostream.events import Event, PeersChanged, ServerRefused, SessionOffered
from echostream.network.ws_connection import Endpoint
from echostream.wire import signalling_v1 as messages
from echostream.wire.packet_v1 import KEEP_ALIVE, AudioDatagram, AudioEncoder, parse_datagram
from echostream.wire.signalling_v1 import Identity

PACKETS: Final = 150
"""Three seconds; one lost is 0.7 %."""
EVERY_S: Final = 0.02
SEALED_BYTES: Final = 88
"""As long as 20 ms of speech at 24 kbit/s: 60 bytes of Opus, 12 of IV, 16 of tag."""
LAST_S: Final = 1.0
"""For what is still on its way."""
JOIN_S: Final = 3.0
KNOCKS: Final = 3
"""The server learns the address from a datagram, which may be lost."""
_NUMBER_BYTES: Final = 4
_MARK_BYTES: Final = 8


class NotRelayed(Exception):
    """The server does not let two members onto that channel, or says nothing of it. The message says why."""


class Closed(Exception):
    """Nobody listens at the server's UDP port: it, or a firewall, said so."""


@dataclass(slots=True)
class Way:
    """What became of the packets. delays_ms: of those that came back, in order of arrival."""

    sent: int = 0
    delays_ms: list[float] = field(default_factory=list)
    turned: int = 0
    """That came after one that was sent later."""
    doubled: int = 0
    """That came once more."""

    @property
    def lost_percent(self) -> float:
        return 100 * (self.sent - len(self.delays_ms)) / self.sent if self.sent else 0.0

    def percentile_ms(self, share: float) -> float:
        """0.0 where nothing came back."""
        return _percentile(sorted(self.delays_ms), share)

    @property
    def jitter_ms(self) -> float:
        """Mean difference of neighbours."""
        pairs = zip(self.delays_ms, self.delays_ms[1:], strict=False)
        return statistics.fmean([abs(b - a) for a, b in pairs] or [0.0])


class _Member:
    """One member of the channel: its session, and its UDP socket."""

    def __init__(self, endpoint: Endpoint, identity: Identity, channel: str) -> None:
        self._identity = identity
        self.channel = channel
        self.session = Session(endpoint)
        try:
            self.socket = self._socket(self.session.offer())
        except BaseException:
            self.session.__exit__()
            raise

    def join(self) -> None:
        """Raises NotRelayed."""
        self.session.send(messages.connect(self._identity, self.channel, time.time()))
        self.knock()
        joined = self.session.wait_for(self._joined, JOIN_S)
        self.knock()  # a server may make the port anew when somebody joins
        if not joined:
            why = "; ".join(self.session.refusals) or "it does not say that anybody joined"
            raise NotRelayed(why)

    def begin(self) -> None:
        self.session.send(messages.transmit_started(self._identity, self.channel, time.time()))

    def end(self) -> None:
        self.session.send(messages.transmit_ended(self._identity, self.channel, time.time()))

    def knock(self) -> None:
        for _ in range(KNOCKS):
            self.send(KEEP_ALIVE)

    def send(self, datagram: bytes) -> None:
        """Raises Closed."""
        try:
            self.socket.send(datagram)
        except ConnectionRefusedError as error:
            raise Closed(error.strerror) from None
        except BlockingIOError:
            return  # the queue of this machine is full: it counts as lost

    def close(self) -> None:
        """Leave the channel and go."""
        try:
            self.session.send(messages.disconnect(self._identity, self.channel, time.time()))
        finally:
            self.socket.close()
            self.session.__exit__()

    def _joined(self, event: Event) -> bool | None:
        """None: that was about something else."""
        if isinstance(event, ServerRefused):
            return False
        if isinstance(event, PeersChanged) and event.channel_id in ("", self.channel):
            return any(one.affiliation_id == self._identity.affiliation_id for one in event.members) or None
        return None

    def _socket(self, offer: SessionOffered) -> socket.socket:
        family, address = addresses(offer.udp_host, offer.udp_port, socket.SOCK_DGRAM)[0]
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.connect(address)
        return made


def measure(endpoint: Endpoint, identity: Identity, channel: str, packets: int = PACKETS) -> Way:
    """Send so many there and back. Raises NotRelayed, Closed, NoAddress, Unanswered, ConnectionEnded."""
    talker = _Member(endpoint, _named(identity, "a"), channel)
    try:
        listener = _Member(endpoint, _named(identity, "b"), channel)
        try:
            listener.join()
            talker.join()
            listener.knock()
            talker.begin()
            way = _run(talker, listener.socket, packets)
            talker.end()
            return way
        finally:
            listener.close()
    finally:
        talker.close()


def _named(identity: Identity, letter: str) -> Identity:
    return Identity(f"{identity.affiliation_id}-doctor-{letter}", "EchoStream doctor", identity.agency_name)


def _run(talker: _Member, ear: socket.socket, packets: int) -> Way:
    encoder, mark = AudioEncoder(talker.channel), os.urandom(_MARK_BYTES)
    rest = os.urandom(SEALED_BYTES - _NUMBER_BYTES - _MARK_BYTES)
    way, sent_at, heard = Way(), list[float](), set[int]()
    began_s = time.monotonic()
    while True:
        now = time.monotonic()
        if way.sent < packets and now >= began_s + way.sent * EVERY_S:
            number = way.sent.to_bytes(_NUMBER_BYTES, "big")
            sent_at.append(time.monotonic())
            talker.send(encoder.encode(mark + number + rest))
            way.sent += 1
            continue
        due_s = began_s + way.sent * EVERY_S if way.sent < packets else sent_at[-1] + LAST_S
        if way.sent == packets and (now >= due_s or len(way.delays_ms) == packets):
            return way
        if not select.select([ear], [], [], max(0.0, due_s - now))[0]:
            continue
        came = _number(ear, mark)
        if came is None or came >= len(sent_at):
            continue
        if came in heard:
            way.doubled += 1
            continue
        way.delays_ms.append(1000 * (time.monotonic() - sent_at[came]))
        way.turned += bool(heard) and came < max(heard)
        heard.add(came)


def _number(ear: socket.socket, mark: bytes) -> int | None:
    """Which of ours came; None: another one's, or rubbish. Raises Closed."""
    try:
        datagram: Any = parse_datagram(ear.recv(65_536))
    except ConnectionRefusedError as error:
        raise Closed(error.strerror) from None
    except (WireError, BlockingIOError):
        return None
    if not isinstance(datagram, AudioDatagram) or not datagram.sealed.startswith(mark):
        return None
    return int.from_bytes(datagram.sealed[_MARK_BYTES : _MARK_BYTES + _NUMBER_BYTES], "big")


def _percentile(values: Sequence[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
