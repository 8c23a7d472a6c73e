"""Servers that speak oddly, go and come back: the gateway is on the air again, under a session of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.interop.field_audio import Opened, new_key, open_datagram
from tests.interop.field_client import FieldClient
from tests.interop.field_diary import Manners
from tests.interop.field_server import FieldServer
from tests.interop.processes import GatewayProcess, button_keyed, voice_keyed

TERMINATING = '{"terminated": false, "terminating": true}'
TERMINATED = '{"terminated": true, "terminating": false}'
ODD_TEXTS = (
    "",
    "   ",
    "Welcome to the audio service",
    "null",
    "[]",
    "42",
    '{"unknown": {"deep": [1, 2, 3]}}',
    '{"users_connected": 5}',
    '{"users_connected": {"total": 2}}',
    '{"channel_id": "fire", "users_connected": [{"user_name": null, "time": "soon"}, 7, null]}',
    '{"channel_id": 7, "users_connected": []}',
    '{"transmit_started": {"channel_id": "fire", "file_id": "f-1"}}',
    '{"transmit_ended": []}',
    '{"transmit_ack": {"channel_id": "fire"}}',
    '{"udp_port": "many"}',
    '{"udp_port": 5, "udp_host": "127.0.0.1", "aes_key": "c2hvcnQ="}',
    '{"error": true, "message": "try later", "code": "BUSY"}',
    '{"terminated": false, "terminating": false}',
    '{"half": ',
    '{"a":' * 4000,
)


@pytest.fixture
def server() -> Iterator[FieldServer]:
    with FieldServer(Manners(aes_key=new_key())) as server:
        yield server


def sessions(server: FieldServer) -> list[int]:
    """The connections on which a channel was joined."""
    return list(dict.fromkeys(event.opening for event in server.messages("connect")))


def opened(server: FieldServer, opening: int, channel: str | None = None) -> list[Opened]:
    audio = server.audio(channel, opening)
    return [open_datagram(event.raw, server.manners.aes_key, event.at) for event in audio]


def test_server_that_crashed_is_joined_again_within_three_seconds(
    server: FieldServer, tmp_path: Path
) -> None:
    channels = [voice_keyed("fire"), button_keyed("ems", 20)]
    with GatewayProcess(tmp_path, server.url, channels) as gateway:
        server.wait_until(lambda: bool(server.audio("fire")))
        server.crash()
        gateway.wait_for("Connection refused")
        server.revive()
        back_s = time.time()
        server.wait_until(lambda: len(sessions(server)) == 2)
        first, second = sessions(server)
        server.wait_until(lambda: bool(server.audio("fire", second)))
        assert server.audio("fire", second)[0].at - back_s < 3.0
        joined = [event for event in server.of("text", second) if "connect" in event.body]
        assert {event.body["connect"]["channel_id"] for event in joined} == {"fire", "ems"}
        (started,) = server.messages("transmit_started", "fire", second)
        order = server.happenings
        assert order.index(joined[-1]) < order.index(started) < order.index(server.audio("fire", second)[0])
        assert server.heartbeats(second)[0].at - joined[0].at < 0.3
        before, after = opened(server, first, "fire"), opened(server, second, "fire")
        assert not {one.prefix for one in before} & {one.prefix for one in after}
        assert abs(after[0].at - after[0].tick * 0.02) < 1.2


def test_server_that_closes_in_the_middle_is_joined_again(server: FieldServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, server.url, [voice_keyed("fire")]):
        server.wait_until(lambda: bool(server.audio()))
        server.hang_up(1011)
        server.wait_until(
            lambda: len(sessions(server)) == 2 and bool(server.audio(opening=sessions(server)[1]))
        )
        second = sessions(server)[1]
        assert server.messages("transmit_started", "fire", second)


def test_draining_server_is_left_at_once_when_nobody_talks(server: FieldServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, server.url, [{"id": "fire", "card": "A"}]):
        server.wait_until(lambda: bool(server.heartbeats()) and bool(server.messages("connect")))
        asked_s = time.time()
        server.say(TERMINATING)
        server.wait_until(lambda: len(sessions(server)) == 2)
        assert server.messages("connect")[1].at - asked_s < 1.0


def test_draining_server_is_left_after_the_word_and_before_its_end(
    server: FieldServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, server.url, [voice_keyed("fire")]):
        server.wait_until(lambda: bool(server.audio()))
        server.say(TERMINATING)
        server.wait_until(lambda: server.audio()[-1].at - server.audio()[0].at > 1.0)
        assert len(sessions(server)) == 1, "cut off in the middle of a word"
        server.say(TERMINATED)
        server.wait_until(
            lambda: len(sessions(server)) == 2 and bool(server.audio(opening=sessions(server)[1]))
        )


def test_odd_text_frames_disturb_nothing(tmp_path: Path) -> None:
    """Nested user lists, acknowledgements, an unknown channel, no subprotocol in the answer, and rubbish."""
    manners = Manners(aes_key=new_key(), nested_users=True, acknowledges=True)
    manners.known, manners.names_subprotocol = frozenset({"fire", "ems"}), False
    with FieldServer(manners) as server:
        channels = [voice_keyed("fire"), {"id": "gone", "card": "B"}, {"id": "ems", "card": "C"}]
        with GatewayProcess(tmp_path, server.url, channels) as gateway:
            gateway.wait_for("CHANNEL_NOT_FOUND")
            server.wait_until(lambda: bool(server.audio()))
            for text in ODD_TEXTS:
                server.say(text)
            said_s = time.time()
            server.wait_until(lambda: server.audio()[-1].at > said_s + 0.7)
            assert gateway.end() == 0
            assert "Traceback" not in gateway.log
        mine = opened(server, sessions(server)[0], "fire")
        assert {later.tick - one.tick for one, later in pairwise(mine)} == {1}
        assert len(sessions(server)) == 1
        assert gateway.summary["sessions"] == 1


def test_offer_that_is_repeated_after_each_connect_changes_nothing(tmp_path: Path) -> None:
    with FieldServer(Manners(aes_key=new_key(), offer="same_port")) as server:
        settings = {"keep_alive_s": 0.5}
        with GatewayProcess(tmp_path, server.url, [voice_keyed("fire")], server=settings) as gateway:
            server.wait_until(lambda: len(server.messages("connect")) >= 4)
            gateway.end()
        assert len(server.messages("transmit_started")) == len(server.messages("transmit_ended")) == 1
        assert gateway.summary["sessions"] == 1
        (opening,) = sessions(server)
        mine = opened(server, opening)
        assert {later.tick - one.tick for one, later in pairwise(mine)} == {1}


def test_newest_offer_wins_with_its_port_and_its_key(server: FieldServer, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, server.url, [voice_keyed("fire")]):
        server.wait_until(lambda: bool(server.audio()))
        old_port, old_prefix = server.audio()[0].port, opened(server, sessions(server)[0])[0].prefix
        server.manners.aes_key = new_key()
        server.renew_ports(same_number=False, offer=True)
        server.wait_until(lambda: server.audio()[-1].port != old_port)
        newest = server.audio()[-1]
        assert len(server.messages("transmit_started")) == 1, "who talks goes on"
        assert len(server.messages("connect")) == 1, "an offer is not answered with a connect"
        assert open_datagram(newest.raw, server.manners.aes_key).prefix != old_prefix


def test_port_that_was_silently_made_anew_is_reached_by_the_next_heartbeat(
    server: FieldServer, tmp_path: Path
) -> None:
    channels = [{"id": "fire", "card": "A"}]
    with GatewayProcess(tmp_path, server.url, channels, server={"keep_alive_s": 0.5}):
        server.wait_until(lambda: bool(server.heartbeats()))
        server.renew_ports(same_number=True, offer=False)
        lost_s = time.time()
        server.wait_until(lambda: server.heartbeats()[-1].at > lost_s)
        assert server.heartbeats()[-1].at - lost_s < 1.0
        assert server.send_datagrams(b"{}") == 1


def test_without_any_key_nothing_is_sent_and_it_is_said(tmp_path: Path) -> None:
    with FieldServer(Manners(aes_key="N/A")) as server:
        with GatewayProcess(tmp_path, server.url, [voice_keyed("fire")]) as gateway:
            gateway.wait_for("offers no key")
            server.wait_until(lambda: bool(server.heartbeats()))
            time.sleep(0.3)
        assert not server.audio()
        assert not server.messages("transmit_started")


def test_reload_gives_the_changed_channel_a_new_stream_and_leaves_the_other_alone(
    server: FieldServer, tmp_path: Path
) -> None:
    with GatewayProcess(tmp_path, server.url, [voice_keyed("fire"), voice_keyed("ems")]) as gateway:
        server.wait_until(lambda: bool(server.audio("fire")) and bool(server.audio("ems")))
        gateway.document["channels"][0]["input_gain_db"] = 3
        gateway.config_path.write_text(json.dumps(gateway.document), "utf-8")
        gateway.reload()
        server.wait_until(lambda: len(server.messages("transmit_started", "fire")) == 2)
        again_s = server.messages("transmit_started", "fire")[1].at
        server.wait_until(lambda: server.audio("fire")[-1].at > again_s + 0.3)
    (opening,) = sessions(server)
    assert len({one.prefix for one in opened(server, opening, "fire")}) == 2
    assert len({one.prefix for one in opened(server, opening, "ems")}) == 1
    order = server.happenings
    first_end, last_end = server.messages("transmit_ended", "fire")
    left, joined = server.messages("disconnect", "fire")[0], server.messages("connect", "fire")[1]
    started = server.messages("transmit_started", "fire")[1]
    places = [order.index(event) for event in (first_end, left, joined, started, last_end)]
    assert places == sorted(places)
    assert len(server.messages("transmit_started", "ems")) == 1


def test_members_hear_of_each_other_through_a_server_of_the_field(
    server: FieldServer, tmp_path: Path
) -> None:
    with (
        FieldClient(server.url, ["fire"], "old") as old,
        GatewayProcess(tmp_path, server.url, [button_keyed("fire", 20)]) as gateway,
    ):
        old.wait_until(lambda: bool(old.bodies("transmit_started")))
        (started,) = old.bodies("transmit_started")
        assert started["transmit_started"]["affiliation_id"] == "interop-1"
        old.started("fire", file_id="f-1")
        gateway.wait_for("channel fire: old talks")
        old.ended("fire", start_time=1)
        gateway.wait_for("channel fire: old ended")
