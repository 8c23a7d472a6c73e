"""The signalling client against our own control server: connects, returns, drains, sends, stops."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest
from servers import (
    OFFER,
    QUICK,
    Events,
    ScriptedServer,
    client,
    eventually,
    frame,
    free_port,
    read_request,
    settings,
    shake_hands,
    until_closed,
)

from echostream.config.models import ControlServer as Settings
from echostream.errors import ConfigError
from echostream.events import (
    OutboxOverflowed,
    PeersChanged,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SessionOffered,
    SignallingLost,
    SignallingUp,
)
from echostream.network.backoff import Backoff
from echostream.network.websocket_client import WebSocketClient
from echostream.network.ws_connection import Timing
from echostream.simulator.control_server import ControlServer, Limits
from echostream.simulator.switchboard import UsersForm
from echostream.wire.signalling_v1 import Identity, connect, disconnect, transmit_started

ME = Identity("a1", "Porch", "Fire")
YOU = Identity("b2", "Tower", "Police")
STOP_S = 1.0


def stopped_in_time(signalling: WebSocketClient) -> bool:
    began = time.monotonic()
    return signalling.stop() and time.monotonic() - began < STOP_S


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_offer_join_and_both_forms_of_users_connected(form: UsersForm) -> None:
    server = ControlServer(users_form=form)
    server.start()
    mine, yours = Events(), Events()
    one, two = client(settings(server.url), mine), client(settings(server.url), yours)
    one.start()
    two.start()
    offer = mine.wait(SessionOffered)
    assert offer.websocket_id == offer.udp_port
    assert offer.key is not None
    assert len(offer.key) == 32
    yours.wait(SessionOffered)
    assert isinstance(mine.seen[0], SignallingUp)
    one.send(connect(ME, "C1", 1_700_000_000))
    mine.wait(PeersChanged)
    two.send(connect(YOU, "C1", 1_700_000_001))
    both = mine.wait(PeersChanged, 2)
    assert {member.user_name for member in both.members} == {"Porch", "Tower"}
    assert both.channel_id == ("C1" if form == "flat" else "")
    two.send(transmit_started(YOU, "C1", 1_700_000_002, {"file_id": "f"}))
    heard = mine.wait(RemoteTransmit)
    assert (heard.channel_id, heard.member.affiliation_id, heard.started) == ("C1", "b2", True)
    assert stopped_in_time(two)
    assert [member.user_name for member in mine.wait(PeersChanged, 3).members] == ["Porch"]
    assert yours.of(RemoteTransmit) == []
    assert stopped_in_time(one)
    assert server.stop()


def test_back_within_3_s_of_the_servers_return_with_production_settings() -> None:
    """Default timings; away for longer than the first back-off, so that it is the knocking that finds it."""
    events = Events()
    server = ControlServer()
    server.start()
    port = server.port
    signalling = WebSocketClient(Settings(url=server.url), None, events.post)
    signalling.start()
    events.wait(SessionOffered)
    assert server.stop()
    events.wait(SignallingLost)
    assert eventually(lambda: signalling.counters.unanswered >= 1, 3.0)
    again = ControlServer(port=port)
    again.start()
    returned = time.monotonic()
    events.wait(SessionOffered, 2)
    assert time.monotonic() - returned < 3.0
    assert stopped_in_time(signalling)
    assert again.stop()


def test_three_crashes_in_a_row_do_not_lengthen_the_absence() -> None:
    events = Events()
    server = ControlServer()
    server.start()
    port = server.port
    signalling = client(settings(server.url), events)
    signalling.start()
    for crash in range(1, 4):
        events.wait(SessionOffered, crash)
        server.drop_clients()
        assert server.settle()
        assert server.stop()
        events.wait(SignallingLost, crash)
        server = ControlServer(port=port)
        server.start()
    events.wait(SessionOffered, 4)
    assert stopped_in_time(signalling)
    assert server.stop()
    kinds = [type(event) for event in events.seen if isinstance(event, SignallingUp | SignallingLost)]
    assert kinds == [SignallingUp, SignallingLost] * 4


def test_a_server_that_goes_away_during_a_long_back_off_is_met_again_at_once() -> None:
    events = Events()
    server = ControlServer()
    server.start()
    port = server.port
    backoff = Backoff(60, 60, 0.1, rng=lambda: 0.9)
    signalling = WebSocketClient(settings(server.url), None, events.post, backoff=backoff)
    signalling.start()
    events.wait(SessionOffered)
    server.drop_clients()  # it fails: 54 s of back-off begin, in which it is left alone
    events.wait(SignallingLost)
    assert not eventually(lambda: signalling.counters.connected > 1, 0.3)
    assert server.stop()  # it goes away, and returns
    assert eventually(lambda: signalling.counters.unanswered > 0)
    again = ControlServer(port=port)
    again.start()
    events.wait(SessionOffered, 2, timeout_s=1.0)
    assert stopped_in_time(signalling)
    assert again.stop()


def test_a_draining_server_is_told_of_and_left_at_once() -> None:
    moment = [0.0]
    server = ControlServer(clock=lambda: moment[0], limits=Limits(idle_s=1e9))
    server.start()
    elsewhere = ControlServer(port=0)
    elsewhere.start()
    events = Events()
    signalling = client(settings(server.url), events)
    signalling.start()
    events.wait(SessionOffered)
    server.drain(12.0)
    assert events.wait(ServerDraining) == ServerDraining(terminated=False)
    for notice in (2, 3):
        moment[0] += 5.0
        server.poke()
        assert not events.wait(ServerDraining, notice).terminated
    moment[0] += 5.0
    server.poke()
    assert events.wait(ServerDraining, 4).terminated
    assert "1001" in events.wait(SignallingLost).reason
    assert server.drained.wait(1.0)
    assert eventually(lambda: server.stats().clients == 0)
    assert stopped_in_time(signalling)
    assert server.stop()
    assert elsewhere.stop()


def test_reconnect_now_skips_the_wait_but_cannot_be_made_to_spin() -> None:
    server = ControlServer()
    server.start()
    events = Events()
    slow = Backoff(60, 60, 2, rng=lambda: 0.9)
    signalling = WebSocketClient(settings(server.url), None, events.post, backoff=slow)
    signalling.start()
    events.wait(SessionOffered)
    signalling.reconnect_now()
    events.wait(SessionOffered, 2, timeout_s=0.5)
    signalling.reconnect_now()
    assert events.wait(SignallingLost, 2).reason == "left on request"
    for _ in range(50):
        signalling.reconnect_now()
    assert not eventually(lambda: signalling.counters.connected > 2, 0.2)
    assert stopped_in_time(signalling)
    assert server.stop()


def test_an_older_server_that_offers_again_after_each_connect() -> None:
    server = ControlServer(offer="new_port_every_connect")
    server.start()
    events = Events()
    signalling = client(settings(server.url), events)
    signalling.start()
    first = events.wait(SessionOffered)
    signalling.send(connect(ME, "C1", 1))
    second = events.wait(SessionOffered, 2)
    assert second.udp_port != first.udp_port
    assert len(events.of(SignallingUp)) == 1
    assert stopped_in_time(signalling)
    assert server.stop()


def test_an_unknown_channel_is_refused_by_name() -> None:
    server = ControlServer(channels=["C1"])
    server.start()
    events = Events()
    signalling = client(settings(server.url), events)
    signalling.start()
    events.wait(SessionOffered)
    signalling.send(connect(ME, "nowhere", 1))
    assert events.wait(ServerRefused).code == "CHANNEL_NOT_FOUND"
    assert stopped_in_time(signalling)
    assert server.stop()


def test_on_sent_is_called_once_on_the_sending_thread_after_the_message_left() -> None:
    server = ControlServer()
    server.start()
    events = Events()
    signalling = client(settings(server.url), events)
    told: list[tuple[bool, str]] = []
    done = threading.Event()

    def on_sent(sent: bool) -> None:
        told.append((sent, threading.current_thread().name))
        done.set()

    assert not signalling.send("{}", on_sent)  # not even started
    signalling.start()
    events.wait(SessionOffered)
    assert signalling.send(connect(ME, "C1", 1), on_sent)
    assert done.wait(1.0)
    assert told == [(True, "ws-tx")]
    assert stopped_in_time(signalling)
    assert not signalling.send("{}", on_sent)
    assert len(told) == 1
    assert server.stop()


def test_a_callback_that_raises_is_counted_and_the_next_message_goes() -> None:
    server = ControlServer()
    server.start()
    events = Events()
    signalling = client(settings(server.url), events)
    signalling.start()
    events.wait(SessionOffered)

    def broken(_: bool) -> None:
        raise ValueError("a bug")

    signalling.send(connect(ME, "C1", 1), broken)
    signalling.send(connect(ME, "C2", 1))
    events.wait(PeersChanged, 2)
    assert signalling.counters.errors == 1
    assert stopped_in_time(signalling)
    assert server.stop()


def test_goodbyes_that_wait_at_stop_still_reach_the_server() -> None:
    server = ControlServer()
    server.start()
    events = Events()
    signalling = client(settings(server.url), events)
    signalling.start()
    events.wait(SessionOffered)
    for channel in ("C1", "C2", "C3", "C4"):
        signalling.send(connect(ME, channel, 1))
        signalling.send(disconnect(ME, channel, 2))
    assert stopped_in_time(signalling)
    assert eventually(lambda: server.stats().counts.get("in_disconnect") == 4)
    assert server.stop()


def test_a_server_that_does_not_read_overflows_the_outbox_and_nothing_blocks() -> None:
    def deaf(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        shake_hands(sock)
        sock.sendall(frame(OFFER))
        server.stopping.wait(5.0)

    events, told = Events(), list[bool]()
    with ScriptedServer(deaf) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered)
        accepted, slowest_s = 0, 0.0

        def send_until_lost() -> bool:
            nonlocal accepted, slowest_s
            for _ in range(8):  # few enough for the sender to keep up until the socket is full
                began = time.monotonic()
                accepted += signalling.send("x" * 200_000, told.append)
                slowest_s = max(slowest_s, time.monotonic() - began)
            return bool(events.of(SignallingLost))

        assert eventually(send_until_lost, 3.0)
        assert slowest_s < QUICK.send_s * 0.8  # it never waited for the socket
        events.wait(OutboxOverflowed)
        assert "timed out" in events.wait(SignallingLost).reason
        assert stopped_in_time(signalling)
    assert eventually(lambda: len(told) == accepted)
    assert False in told


def test_a_server_that_answers_no_ping_is_left() -> None:
    def mute(sock: socket.socket) -> None:
        shake_hands(sock)
        sock.sendall(frame(OFFER))
        until_closed(sock)

    events = Events()
    with ScriptedServer(mute) as server:
        signalling = client(settings(server.url, ping_s=0.1), events)
        signalling.start()
        assert "no pong" in events.wait(SignallingLost).reason
        assert stopped_in_time(signalling)


def test_a_server_that_answers_pings_is_kept() -> None:
    server = ControlServer()
    server.start()
    events = Events()
    signalling = client(settings(server.url, ping_s=0.05), events)
    signalling.start()
    events.wait(SessionOffered)
    assert not eventually(lambda: bool(events.of(SignallingLost)), 0.4)
    assert stopped_in_time(signalling)
    assert server.stop()


@pytest.mark.parametrize("where", ["header", "query"])
def test_the_token_is_sent_where_the_server_wants_it_and_never_logged(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = ControlServer(token="s3cret+/=")
    server.start()
    to = settings(
        server.url + "?room=9",
        token_header="Authorization" if where == "header" else None,
        token_query="token" if where == "query" else None,
    )
    events = Events()
    with caplog.at_level(logging.DEBUG):
        signalling = client(to, events, token="s3cret+/=\n")
        signalling.start()
        events.wait(SessionOffered)
        assert stopped_in_time(signalling)
        refused = client(to, Events(), token="wr0ng")
        refused.start()
        assert eventually(lambda: "401" in refused.last_failure)
        assert stopped_in_time(refused)
    assert server.stop()
    for secret in ("s3cret", "wr0ng", "room=9"):
        assert secret not in caplog.text


@pytest.mark.parametrize("token", ["", " \n", "two\nlines", "snow☃"])
def test_a_token_that_cannot_be_sent_is_a_configuration_error(token: str) -> None:
    with pytest.raises(ConfigError, match=r"control_server\.token"):
        client(settings("ws://127.0.0.1/", token_query="t"), Events(), token=token)


def test_a_token_without_a_place_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="token_header or token_query"):
        client(settings("ws://127.0.0.1/"), Events(), token="x")


@pytest.mark.parametrize("url", ["ws://[::1/", "ws://host:99999/", "ws://:80/"])
def test_a_url_that_is_none_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match=r"control_server\.url"):
        client(settings(url), Events())


# Stop in every state


def test_stop_before_start_and_twice() -> None:
    signalling = client(settings("ws://127.0.0.1:1/"), Events())
    assert stopped_in_time(signalling)
    assert stopped_in_time(signalling)


def test_stop_while_nobody_answers() -> None:
    signalling = client(settings(f"ws://127.0.0.1:{free_port()}/"), Events())
    signalling.start()
    assert eventually(lambda: signalling.counters.unanswered >= 2)
    assert stopped_in_time(signalling)


def test_stop_while_the_syn_is_swallowed() -> None:
    """A listener whose backlog is full answers no SYN."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        signalling = client(settings(f"ws://127.0.0.1:{full.getsockname()[1]}/"), Events(), Timing())
        signalling.start()
        assert not eventually(lambda: signalling.counters.unanswered > 0, 0.2)
        assert stopped_in_time(signalling)


def test_stop_while_the_handshake_is_not_answered() -> None:
    def silent(sock: socket.socket) -> None:
        read_request(sock)
        asked.set()
        until_closed(sock)

    asked = threading.Event()
    with ScriptedServer(silent) as server:
        signalling = client(settings(server.url), Events(), Timing())
        signalling.start()
        assert asked.wait(1.0)
        assert stopped_in_time(signalling)


def test_stop_while_tls_is_not_answered() -> None:
    with ScriptedServer(until_closed) as server:
        signalling = client(settings(server.url.replace("ws:", "wss:")), Events(), Timing())
        signalling.start()
        assert eventually(lambda: server.connections == 1)
        assert stopped_in_time(signalling)


def test_stop_while_a_send_is_stuck() -> None:
    def deaf(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        shake_hands(sock)
        sock.sendall(frame(OFFER))
        server.stopping.wait(5.0)

    events = Events()
    with ScriptedServer(deaf) as server:
        signalling = client(settings(server.url), events, Timing())
        signalling.start()
        events.wait(SessionOffered)
        for _ in range(60):
            signalling.send("x" * 200_000)
        assert stopped_in_time(signalling)


def test_stop_while_a_long_back_off_runs() -> None:
    with ScriptedServer(lambda sock: None) as server:
        slow = Settings(url=server.url, reconnect_min_s=60, reconnect_max_s=60)
        signalling = WebSocketClient(slow, None, Events().post, timing=QUICK)
        signalling.start()
        assert eventually(lambda: signalling.last_failure != "")
        assert stopped_in_time(signalling)


def test_stop_while_the_name_server_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    real = socket.getaddrinfo

    def hangs(host: str, *args: int, **kwargs: int) -> object:
        if host == "gateway.example" and not kwargs.get("flags"):
            answered.wait(5.0)
            raise socket.gaierror(socket.EAI_AGAIN, "try again")
        return real(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    try:
        signalling = client(settings("ws://gateway.example/"), Events(), Timing())
        signalling.start()
        assert not eventually(lambda: signalling.counters.unanswered > 0, 0.2)
        assert stopped_in_time(signalling)
    finally:
        answered.set()
    assert eventually(lambda: all(not t.name.startswith("dns-") for t in threading.enumerate()))


def test_a_name_that_does_not_exist_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ControlServer()
    server.start()
    real, asked = socket.getaddrinfo, list[str]()

    def flaky(host: str, *args: int, **kwargs: int) -> object:
        if host != "gateway.example":
            return real(host, *args, **kwargs)
        if not kwargs.get("flags"):
            asked.append(host)
            if len(asked) > 2:
                return real("127.0.0.1", *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", flaky)
    events = Events()
    signalling = client(settings(f"ws://gateway.example:{server.port}/"), events)
    signalling.start()
    events.wait(SessionOffered)
    assert len(asked) == 3
    assert signalling.counters.unanswered == 2
    assert stopped_in_time(signalling)
    assert server.stop()
