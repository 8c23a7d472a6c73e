"""Whole members on real sockets: control server, WebSocket, UDP, Opus, AES-GCM; the cards are files."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from heard_speech import Ear, melody, similarity

from echostream.channels.channel_state import Phase
from echostream.config.models import ControlServer as ServerSettings
from echostream.gateway import Secrets
from echostream.simulator.control_server import ControlServer
from echostream.simulator.file_cards import FileCards, Voice
from echostream.simulator.member import Answerer, Member, MemberIdentity, say, silent_voice


@pytest.fixture
def server() -> Iterator[ControlServer]:
    server = ControlServer(aes_key="generate")
    server.start()
    yield server
    server.stop()


def member(server: ControlServer, name: str, voice: Voice, ear: Ear | None = None) -> Member:
    settings = ServerSettings(url=server.url, reconnect_min_s=0.2)
    cards = FileCards({"fire": voice}, ear)
    return Member(settings, ["fire"], MemberIdentity(name, name), Secrets(), cards)


def test_what_one_says_the_other_hears(server: ControlServer) -> None:
    said, ear = melody(1.5), Ear()
    voice = Voice(said)
    speaker, listener = member(server, "a", voice), member(server, "b", silent_voice(), ear)
    speaker.start()
    listener.start()
    try:
        assert speaker.wait_for(lambda: speaker.online("fire"), 3.0)
        assert listener.wait_for(lambda: listener.online("fire"), 3.0)
        assert say(speaker, "fire", voice)
        listener.wait_for(lambda: False, 0.4)
        received = listener.received("fire")
    finally:
        speaker.stop()
        listener.stop()
    assert received.packets_received == speaker.stats("fire").packets_sent
    assert received.packets_lost == 0
    assert similarity(ear.heard(), said) > 0.8
    assert speaker.received("fire").packets_received == 0


def test_an_answerer_answers_each_transmission(server: ControlServer) -> None:
    ear, voice = Ear(), Voice(melody(0.5))
    caller = member(server, "a", voice, ear)
    settings = ServerSettings(url=server.url)
    answerer = Answerer(settings, {"fire": Voice(melody(0.4))}, MemberIdentity("b", "b"), Secrets())
    caller.start()
    answerer.start()
    try:
        assert caller.wait_for(lambda: caller.online("fire"), 3.0)
        assert answerer.member.wait_for(lambda: answerer.member.online("fire"), 3.0)
        assert say(caller, "fire", voice)
        assert caller.wait_for(lambda: bool(caller.gateway.channels[0].talkers), 3.0)
        assert caller.wait_for(lambda: not caller.gateway.channels[0].talkers, 3.0)
    finally:
        caller.stop()
        answerer.stop()
    assert np.abs(ear.heard()).max() > 1000


def test_back_on_the_air_within_three_seconds_of_the_servers_return(server: ControlServer) -> None:
    voice = Voice(melody(1.0), loop=True)
    speaker = member(server, "a", voice)
    speaker.start()
    try:
        assert speaker.wait_for(lambda: speaker.online("fire"), 3.0)
        speaker.press("fire")
        assert speaker.wait_for(lambda: speaker.phase("fire") is Phase.OPEN, 3.0)
        server.stop()
        assert speaker.wait_for(lambda: not speaker.online("fire"), 3.0)
        speaker.wait_for(lambda: False, 1.5)  # the server is away for a while
        again = ControlServer(port=server.port, aes_key="generate")
        again.start()
        back_at_s = time.monotonic()
        try:
            assert speaker.wait_for(lambda: speaker.phase("fire") is Phase.OPEN, 4.0)
            assert time.monotonic() - back_at_s < 3.0
            speaker.wait_for(lambda: again.stats().counts.get("in_transmit_started", 0) > 0, 0.5)
            assert again.stats().counts["in_transmit_started"] == 1
        finally:
            again.stop()
    finally:
        speaker.stop()


def test_draining_server_is_left_before_it_goes(server: ControlServer) -> None:
    speaker = member(server, "a", silent_voice())
    speaker.start()
    try:
        assert speaker.wait_for(lambda: speaker.online("fire"), 3.0)
        server.drain(30.0)
        assert speaker.wait_for(lambda: not speaker.online("fire"), 3.0)
    finally:
        speaker.stop()


def test_stopping_says_goodbye_in_order(server: ControlServer) -> None:
    speaker = member(server, "a", Voice(melody(1.0), loop=True))
    speaker.start()
    try:
        assert speaker.wait_for(lambda: speaker.online("fire"), 3.0)
        speaker.press("fire")
        assert speaker.wait_for(lambda: speaker.phase("fire") is Phase.OPEN, 3.0)
        began_s = time.monotonic()
    finally:
        speaker.stop()
    assert time.monotonic() - began_s < 2.0
    server.settle()
    counts = server.stats().counts
    assert counts["in_transmit_ended"] == 1
    assert counts["in_disconnect"] == 1
