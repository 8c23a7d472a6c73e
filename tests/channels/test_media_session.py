"""What a datagram may do to a channel: nothing, unless it authenticates and is new."""

from __future__ import annotations

import json
import random

import pytest

from echostream.channels.media_session import ChannelUplink, MediaSession
from echostream.errors import StateError
from echostream.wire.packet_v1 import KEEP_ALIVE

KEY = bytes(range(32))
OPUS = b"\x08opus"


class Ear:
    def __init__(self) -> None:
        self.heard: list[tuple[bytes, int, bytes]] = []

    def accept(self, prefix: bytes, tick: int, packet: bytes, now: float) -> None:
        self.heard.append((prefix, tick, packet))


class Pair:
    """A sender and a receiver under one key; what was sent is in `sent`."""

    def __init__(self) -> None:
        random_bytes = random.Random(3).randbytes
        self.sent: list[bytes] = []
        self.sender = MediaSession(random_bytes, lambda: 0.0)
        self.receiver = MediaSession(random_bytes, lambda: 0.0)
        self.sender.start(KEY)
        self.receiver.start(KEY)
        self.fire, self.ems = Ear(), Ear()
        self.receiver.set_listeners({"fire": self.fire, "ems": self.ems})

    def uplink(self, channel: str = "fire") -> ChannelUplink:
        return self.sender.uplink(channel, 1_000_000, self.take)

    def take(self, datagram: bytes) -> bool:
        self.sent.append(datagram)
        return True


def test_packet_arrives_with_its_tick() -> None:
    pair = Pair()
    uplink = pair.uplink()
    assert uplink.start_tick == 50_000
    assert uplink.send_packet(50_001, OPUS) == len(pair.sent[0])
    pair.receiver.on_datagram(pair.sent[0], 1.0)
    assert [(tick, packet) for _, tick, packet in pair.fire.heard] == [(50_001, OPUS)]
    assert pair.ems.heard == []


def test_channels_and_sessions_never_share_a_prefix_under_one_key() -> None:
    pair = Pair()
    for channel in ("fire", "ems", "fire"):
        pair.uplink(channel).send_packet(50_000, OPUS)
    pair.receiver.set_listeners({"fire": pair.fire, "ems": pair.fire})
    for datagram in pair.sent:
        pair.receiver.on_datagram(datagram, 1.0)
    assert len({prefix for prefix, _, _ in pair.fire.heard}) == 3


def test_an_iv_never_repeats() -> None:
    uplink = Pair().uplink()
    uplink.send_packet(50_005, OPUS)
    with pytest.raises(StateError):
        uplink.send_packet(50_005, OPUS)


def test_replayed_duplicated_and_reflected_packets_only_count() -> None:
    pair = Pair()
    uplink = pair.uplink()
    for tick in range(50_000, 50_010):
        uplink.send_packet(tick, OPUS)
    for datagram in pair.sent:
        pair.receiver.on_datagram(datagram, 1.0)
        pair.receiver.on_datagram(datagram, 1.0)
    assert len(pair.fire.heard) == 10
    assert pair.receiver.counters("fire").replayed == 10
    pair.sender.set_listeners({"fire": pair.ems})
    for datagram in pair.sent:
        pair.sender.on_datagram(datagram, 1.0)
    assert pair.ems.heard == []
    assert pair.sender.counters("fire").replayed == 10


def test_old_recording_under_another_channel_id_is_a_replay() -> None:
    pair = Pair()
    uplink = pair.uplink()
    for tick in range(50_000, 50_005):
        uplink.send_packet(tick, OPUS)
        pair.receiver.on_datagram(pair.sent[-1], 1.0)
    for datagram in pair.sent:
        moved = dict(json.loads(datagram), channel_id="ems")
        pair.receiver.on_datagram(json.dumps(moved).encode(), 20.0)
    assert pair.ems.heard == []
    assert pair.receiver.counters("ems").replayed == 5


def test_wrong_key_tampered_and_truncated_only_count() -> None:
    pair = Pair()
    uplink = pair.uplink()
    uplink.send_packet(50_000, OPUS)
    stranger = MediaSession(random.Random(9).randbytes, lambda: 0.0)
    stranger.start(bytes(32))
    stranger.uplink("fire", 1_000_000, pair.take).send_packet(50_001, OPUS)
    pair.receiver.on_datagram(pair.sent[1], 1.0)
    assert pair.receiver.counters("fire").undecryptable == 1
    good = pair.sent[0]
    for cut in range(len(good)):
        pair.receiver.on_datagram(good[:cut], 1.0)
    pair.receiver.on_datagram(good + b"}", 1.0)
    assert pair.fire.heard == []
    assert sum(pair.receiver.malformed.values()) == len(good) + 1


def test_datagrams_nobody_asked_for_only_count() -> None:
    pair = Pair()
    pair.uplink("water").send_packet(50_000, OPUS)
    pair.receiver.on_datagram(pair.sent[0], 1.0)
    pair.receiver.on_datagram(KEEP_ALIVE, 1.0)
    assert pair.receiver.unknown_channel == 1
    pair.receiver.end()
    pair.uplink("fire").send_packet(50_000, OPUS)
    pair.receiver.on_datagram(pair.sent[1], 1.0)
    assert pair.receiver.without_key == 1
    assert pair.fire.heard == []
