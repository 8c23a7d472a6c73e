"""Events in, messages and valve movements out: the manager without threads, on fake wires."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from echostream.audio.format import Frame, Samples, silence
from echostream.audio.ports import CardSpec
from echostream.channels.audio_stream import PttOutput
from echostream.channels.channel_manager import KEEP_ALIVE, ChannelManager
from echostream.channels.channel_runtime import ChannelRuntime, Hardware, Line
from echostream.channels.channel_state import Phase
from echostream.channels.media_session import MediaSession
from echostream.config.models import Audio, Channel
from echostream.coordinator.deadlines import Deadlines
from echostream.errors import SourceClosed
from echostream.events import (
    Event,
    Member,
    Opener,
    OutboxOverflowed,
    PeersChanged,
    PttChanged,
    RemoteTransmit,
    ServerDraining,
    SessionOffered,
    SignallingLost,
    SignallingUp,
    TransmitAnnounced,
)
from echostream.wire.signalling_v1 import Identity

KEY = bytes(range(32))
OFFER = SessionOffered("192.0.2.1", 50_000, 50_000, KEY)


class Signalling:
    """Sends at once; `up` False refuses."""

    def __init__(self) -> None:
        self.sent: list[dict[str, dict[str, object]]] = []
        self.reconnects = 0
        self.up = True

    def send(self, text: str, on_sent: Callable[[bool], None] | None = None) -> bool:
        if not self.up:
            return False
        self.sent.append(json.loads(text))
        if on_sent is not None:
            on_sent(True)
        return True

    def reconnect_now(self) -> None:
        self.reconnects += 1

    def take(self) -> list[tuple[str, object]]:
        messages = [(kind, body["channel_id"]) for message in self.sent for kind, body in message.items()]
        self.sent.clear()
        return messages


class Udp:
    def __init__(self) -> None:
        self.server: tuple[str, int] | None = None
        self.datagrams: list[bytes] = []
        self.beats = 0

    def set_server(self, host: str, port: int) -> None:
        self.server = (host, port)

    def clear_server(self) -> None:
        self.server = None

    def beat(self) -> None:
        self.beats += 1

    def send(self, datagram: bytes) -> bool:
        self.datagrams.append(datagram)
        return True


class QuietCard:
    """A card that is there and never moves: the test feeds the frames itself."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def read(self) -> Frame:
        self._closed.wait()
        raise SourceClosed("closed")

    def wait_for_room(self) -> None:
        self.read()

    def write(self, samples: Samples) -> None:
        self.read()

    def close(self) -> None:
        self._closed.set()


class NoHardware:
    """Quiet cards, and no lines."""

    def open_source(self, spec: CardSpec) -> QuietCard:
        return QuietCard()

    open_sink = open_source

    def output(self, channel_id: str) -> PttOutput:
        raise LookupError(channel_id)

    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line:
        raise LookupError(card)


class Nobody:
    def accept(self, prefix: bytes, tick: int, packet: bytes, now: float) -> None:
        """Hears and forgets."""


class House:
    """A manager of two channels whose events are handled when `settle` is called."""

    def __init__(self, pre_shared: bytes | None = None) -> None:
        self.events: list[Event] = []
        self.now = 100.0
        self.deadlines = Deadlines()
        self.signalling, self.udp = Signalling(), Udp()
        self.media = MediaSession(random.Random(1).randbytes, lambda: self.now)
        self.manager = ChannelManager(
            Identity("gw-1", "Station 1", "County"),
            pre_shared,
            10.0,
            self.media,
            self.udp,
            self.deadlines,
            self.post,
            lambda: 1_700_000_000.0,
        )
        self.manager.set_signalling(self.signalling)
        nothing = NoHardware()
        hardware = Hardware(nothing, None, nothing, nothing)
        for channel_id in ("fire", "ems"):
            channel = Channel(id=channel_id, card="quiet", tot_s=5.0, pre_roll_ms=0)
            self.manager.add_channel(ChannelRuntime(channel, Audio(), hardware, self.post), self.now)
        self.frame = -1

    def post(self, event: Event) -> None:
        self.events.append(event)

    def settle(self, *events: Event) -> None:
        self.events += events
        while self.events:
            self.manager.handle(self.events.pop(0), self.now)

    def feed(self, channel_id: str, frames: int = 1) -> None:
        for _ in range(frames):
            self.frame += 1
            feed = self.manager.channels[channel_id].stream.transmit.feed
            feed(Frame(silence(960), self.frame, self.now))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for key in self.deadlines.due(self.now):
            self.manager.handle_deadline(key, self.now)

    def press(self, channel_id: str = "fire", active: bool = True) -> None:
        self.settle(PttChanged(channel_id, Opener.BUTTON, active, self.now))

    def phase(self, channel_id: str = "fire") -> Phase:
        return self.manager.channels[channel_id].state.phase

    def close(self) -> None:
        for runtime in self.manager.close(self.now):
            assert runtime.join(2.0)


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def test_offer_connects_every_channel_and_points_the_audio(house: House) -> None:
    house.settle(SignallingUp(), OFFER)
    assert house.udp.server == ("192.0.2.1", 50_000)
    assert house.signalling.take() == [("connect", "fire"), ("connect", "ems")]


def test_whole_transmission_in_the_order_of_the_protocol(house: House) -> None:
    house.settle(OFFER)
    house.signalling.take()
    house.press()
    assert house.signalling.take() == [("transmit_started", "fire")]
    assert house.udp.datagrams == []
    house.feed("fire", 5)
    assert len(house.udp.datagrams) == 5
    house.press(active=False)
    assert house.signalling.take() == []
    house.feed("fire", 2)
    house.settle()
    assert house.signalling.take() == [("transmit_ended", "fire")]
    assert len(house.udp.datagrams) == 6
    assert house.phase("ems") is Phase.IDLE


def test_keep_alive_connects_every_channel_every_ten_seconds(house: House) -> None:
    house.settle(OFFER)
    house.signalling.take()
    for _ in range(3):
        house.pass_time(10.0)
        assert house.signalling.take() == [("connect", "fire"), ("connect", "ems")]


def test_repeated_offer_of_an_older_server_changes_nothing(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.settle(OFFER)
    assert house.phase() is Phase.OPEN
    assert house.manager.sessions == 1


def test_newest_offer_wins_and_an_open_transmission_goes_on(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.feed("fire", 3)
    house.signalling.take()
    house.settle(SessionOffered("192.0.2.1", 50_001, 50_001, KEY[::-1]))
    assert house.udp.server == ("192.0.2.1", 50_001)
    assert house.signalling.take() == []
    assert house.phase() is Phase.OPEN
    house.feed("fire", 2)
    assert len(house.udp.datagrams) == 5
    stranger = MediaSession(random.Random(2).randbytes, lambda: house.now)
    stranger.start(KEY[::-1])
    stranger.set_listeners({"fire": Nobody()})
    for datagram in house.udp.datagrams:
        stranger.on_datagram(datagram, house.now)
    assert stranger.counters("fire").undecryptable == 3


def test_server_that_offers_a_new_port_after_each_connect_is_not_asked_for_ever(house: House) -> None:
    house.settle(OFFER)
    house.signalling.take()
    for port in range(50_001, 50_020):
        house.settle(SessionOffered("192.0.2.1", port, port, KEY))
    assert house.signalling.take() == []
    assert house.udp.server == ("192.0.2.1", 50_019)


def test_server_that_makes_its_port_anew_at_each_connect_learns_our_address(house: House) -> None:
    house.settle(OFFER)
    house.pass_time(0.3)
    assert house.udp.beats == 1
    house.pass_time(9.7)
    house.pass_time(0.3)
    assert house.udp.beats == 2
    house.settle(PeersChanged("fire", ()))
    assert house.udp.beats == 3
    house.settle(OFFER)
    assert house.udp.beats == 4


def test_key_held_over_a_reconnect_is_announced_again(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.settle(SignallingLost("closed"))
    assert house.udp.server is None
    assert house.phase() is Phase.IDLE
    house.signalling.take()
    house.settle(SignallingUp(), SessionOffered("192.0.2.1", 50_002, 50_002, KEY))
    assert ("transmit_started", "fire") in house.signalling.take()
    assert house.phase() is Phase.OPEN


def test_no_key_anywhere_listens_to_signalling_and_never_transmits(house: House) -> None:
    house.settle(SessionOffered("192.0.2.1", 50_000, 50_000, None))
    assert house.signalling.take() == [("connect", "fire"), ("connect", "ems")]
    house.press()
    house.feed("fire", 5)
    assert house.udp.datagrams == []
    assert house.signalling.take() == []


def test_pre_shared_key_serves_where_the_server_offers_none() -> None:
    house = House(pre_shared=KEY)
    house.settle(SessionOffered("192.0.2.1", 50_000, 50_000, None))
    house.press()
    house.feed("fire", 3)
    assert len(house.udp.datagrams) == 3
    house.close()


def test_announcement_that_cannot_be_sent_opens_no_valve(house: House) -> None:
    house.settle(OFFER)
    house.signalling.up = False
    house.press()
    house.feed("fire", 5)
    assert house.udp.datagrams == []
    assert house.phase() is Phase.IDLE


def test_time_out_ends_the_transmission_and_says_so_on_the_wire(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.feed("fire", 2)
    house.signalling.take()
    house.pass_time(5.0)
    house.feed("fire", 3)
    house.settle()
    assert ("transmit_ended", "fire") in house.signalling.take()
    house.feed("fire", 5)
    assert house.manager.channels["fire"].state.latched


def test_card_that_died_in_mid_transmission_still_ends_it_on_the_wire(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.feed("fire", 2)
    house.press(active=False)
    house.signalling.take()
    house.pass_time(1.0)
    assert house.signalling.take() == [("transmit_ended", "fire")]


def test_overflowed_outbox_sends_the_whole_state_again(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.signalling.take()
    house.settle(OutboxOverflowed())
    assert house.signalling.take() == [("connect", "fire"), ("transmit_started", "fire"), ("connect", "ems")]


def test_draining_server_is_left_when_nobody_talks(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.settle(ServerDraining(False))
    assert house.signalling.reconnects == 0
    house.press(active=False)
    house.feed("fire", 3)
    house.settle()
    assert house.signalling.reconnects == 1


def test_a_microphone_that_always_talks_does_not_hold_the_gateway_on_a_draining_server(house: House) -> None:
    house.settle(OFFER, PttChanged("fire", Opener.STREAM, True, house.now))
    assert house.signalling.take()[-1] == ("transmit_started", "fire")
    house.settle(ServerDraining(False))
    assert house.signalling.reconnects == 1


def test_server_that_goes_now_is_left_at_once(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.settle(ServerDraining(True))
    assert house.signalling.reconnects == 1


def test_peers_and_talkers_are_known_and_forgotten_with_the_connection(house: House) -> None:
    member = Member("u2", "Engine 2", "County")
    house.settle(OFFER, PeersChanged("fire", (member,)), RemoteTransmit("fire", member, True))
    fire = house.manager.channels["fire"]
    assert fire.members == (member,)
    assert fire.talkers == {"u2": member}
    house.settle(RemoteTransmit("fire", member, False))
    assert fire.talkers == {}
    house.settle(SignallingLost("closed"))
    assert not house.manager.channels["fire"].members


def test_removed_channel_ends_its_transmission_and_leaves(house: House) -> None:
    house.settle(OFFER)
    house.press()
    house.signalling.take()
    runtime = house.manager.remove_channel("fire", house.now)
    assert house.signalling.take() == [("transmit_ended", "fire"), ("disconnect", "fire")]
    house.settle(TransmitAnnounced("fire", 1, True))
    assert runtime.join(2.0)
    house.pass_time(10.0)
    assert house.signalling.take() == [("connect", "ems")]


def test_keep_alive_key_is_no_channel(house: House) -> None:
    house.manager.handle_deadline(KEEP_ALIVE, house.now)
    assert house.signalling.take() == [("connect", "fire"), ("connect", "ems")]
