"""Servers that send nothing, rubbish, halves, floods. The client lives, counts, and tries again."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable

import pytest
from servers import (
    OFFER,
    Events,
    Script,
    ScriptedServer,
    client,
    eventually,
    frame,
    read_request,
    settings,
    shake_hands,
    until_closed,
)

from echostream.events import PeersChanged, SessionOffered, SignallingLost
from echostream.network.websocket_client import MAX_FRAMES_PER_S
from echostream.network.ws_connection import MAX_MESSAGE_BYTES, Timing


def healthy(sock: socket.socket) -> None:
    shake_hands(sock)
    sock.sendall(frame(OFFER))
    until_closed(sock)


def handshake(answer: bytes) -> Script:
    def script(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(answer)
        until_closed(sock)

    return script


def after_handshake(*pieces: bytes) -> Script:
    """Send these and close."""

    def script(sock: socket.socket) -> None:
        shake_hands(sock)
        for piece in pieces:
            sock.sendall(piece)

    return script


def and_stay(*pieces: bytes) -> Script:
    """Send these and wait for the client to go."""

    def script(sock: socket.socket) -> None:
        after_handshake(*pieces)(sock)
        until_closed(sock)

    return script


def endless_header(sock: socket.socket) -> None:
    read_request(sock)
    sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
    while True:
        sock.sendall(b"X-Filler: " + b"y" * 1000 + b"\r\n")


def dripping(sock: socket.socket) -> None:
    """One byte at a time, each within any timeout that counts per read."""
    read_request(sock)
    for byte in b"HTTP/1.1 101 Switching Protocols\r\n" * 100:
        sock.sendall(bytes([byte]))
        time.sleep(0.05)


def dripping_frame(sock: socket.socket) -> None:
    shake_hands(sock)
    for byte in frame("x" * 1000):
        sock.sendall(bytes([byte]))
        time.sleep(0.05)


def closes_after_the_request(sock: socket.socket) -> None:
    read_request(sock)


def another_subprotocol(sock: socket.socket) -> None:
    shake_hands(sock, "chat")
    until_closed(sock)


def flood_of_fragments(sock: socket.socket) -> None:
    shake_hands(sock)
    sock.sendall(frame("{", fin=False))
    while True:
        sock.sendall(frame(b"", opcode=0, fin=False) * 1000)


HOSTILE: dict[str, Script] = {
    "closes_at_once": lambda sock: None,
    "closes_after_the_request": closes_after_the_request,
    "never_answers_the_handshake": until_closed,
    "answers_rubbish": handshake(b"\x00\xff rubbish \r\n\r\n"),
    "answers_200": handshake(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
    "promises_a_body_that_never_comes": handshake(b"HTTP/1.1 403 No\r\nContent-Length: 999999\r\n\r\n"),
    "length_that_is_no_number": handshake(b"HTTP/1.1 500 No\r\nContent-Length: many\r\n\r\n"),
    "redirects_to_itself": handshake(b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\n\r\n"),
    "wrong_accept_key": handshake(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
    ),
    "header_not_utf8": handshake(b"HTTP/1.1 101 \xff\xfe\r\n\xff: \xff\r\n\r\n"),
    "endless_header": endless_header,
    "drips_the_handshake": dripping,
    "another_subprotocol": another_subprotocol,
    "says_nothing": and_stay(),
    "half_a_frame_and_closes": after_handshake(frame(OFFER)[:20]),
    "half_a_frame_and_stays": and_stay(frame(OFFER)[:20]),
    "half_a_length": after_handshake(b"\x81\x7f\x00\x00"),
    "drips_a_frame": dripping_frame,
    "closes_inside_a_message": after_handshake(frame('{"udp_', fin=False)),
    "huge_frame": and_stay(frame("x" * (MAX_MESSAGE_BYTES + 100))),
    "frame_of_2_to_the_63": and_stay(b"\x81\x7f\x7f" + b"\xff" * 7 + b"x" * 1000),
    "many_fragments_make_it_huge": and_stay(
        frame("x" * 100_000, fin=False), *[frame("x" * 100_000, opcode=0, fin=False)] * 3
    ),
    "flood_of_empty_fragments": flood_of_fragments,
    "continuation_of_nothing": and_stay(frame("x", opcode=0)),
    "message_inside_a_message": and_stay(frame("a", fin=False), frame("b")),
    "reserved_bits": and_stay(b"\xf1\x01x"),
    "unknown_opcode": and_stay(frame("x", opcode=7)),
    "fragmented_ping": and_stay(frame("x", opcode=9, fin=False)),
    "oversized_ping": and_stay(frame("x" * 300, opcode=9), b"\x81"),
    "close_without_code": and_stay(frame(b"", opcode=8)),
    "close_with_half_a_code": and_stay(frame(b"\x03", opcode=8)),
    "close_with_a_forbidden_code": and_stay(frame((1005).to_bytes(2, "big"), opcode=8)),
    "close_with_rubbish": and_stay(frame(b"\x03\xe8\xff\xff\xff", opcode=8)),
    "reset": lambda sock: sock.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_client_survives_and_finds_the_healthy_server_after_it(name: str) -> None:
    events = Events()
    with ScriptedServer(HOSTILE[name], healthy) as server:
        signalling = client(settings(server.url, ping_s=0.2), events)
        signalling.start()
        events.wait(SessionOffered)
        assert signalling.counters.errors == 0, "it was survived by luck, not by design"
        counters = signalling.counters  # a reset may come so early that nobody seems to have answered
        assert counters.failed_handshakes + counters.lost + counters.unanswered == 1
        assert signalling.stop()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello, this is not JSON",
        "{",
        '{"a": ' * 5000,
        "[1, 2, 3]",
        '{"udp_port": "NaN", "udp_host": 7}',
        '{"users_connected": 3, "channel_id": "C"}',
        '{"unknown": true}',
        '{"terminated": "maybe"}',
        '{"udp_port": 1e400, "udp_host": "x"}',
        "\x00" * 100,
    ],
)
def test_messages_without_meaning_are_counted_and_the_connection_stays(text: str) -> None:
    events = Events()
    with ScriptedServer(and_stay(frame(text), frame(text.encode(), opcode=2), frame(OFFER))) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered)
        assert signalling.counters.ignored + signalling.counters.rubbish == 2
        assert signalling.counters.connected == 1
        assert events.of(SignallingLost) == []
        assert signalling.stop()


def test_text_that_is_not_utf8_is_counted_and_the_connection_stays() -> None:
    events = Events()
    with ScriptedServer(and_stay(frame(b"\xff\xfe{"), frame(OFFER))) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered)
        assert signalling.counters.connected == 1
        assert signalling.stop()


def test_a_message_in_fragments_with_pings_between_is_one_message() -> None:
    pieces = [
        frame(OFFER[:10], fin=False),
        frame("p", opcode=9),
        frame(OFFER[10:30], opcode=0, fin=False),
        frame("", opcode=10),
        frame(OFFER[30:], opcode=0),
    ]
    events = Events()
    with ScriptedServer(and_stay(*pieces)) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        assert events.wait(SessionOffered).udp_port == 51234
        assert signalling.stop()


def test_a_message_byte_by_byte_is_one_message() -> None:
    events = Events()
    with ScriptedServer(and_stay(*[bytes([byte]) for byte in frame(OFFER)])) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        assert events.wait(SessionOffered).udp_port == 51234
        assert signalling.stop()


def test_a_frame_that_takes_longer_than_the_ping_period_is_not_lost() -> None:
    """The library keeps the first half while a ping goes out between."""

    def script(sock: socket.socket) -> None:
        shake_hands(sock)
        whole = frame(OFFER)
        sock.sendall(whole[:30])
        time.sleep(0.15)
        sock.sendall(whole[30:])
        until_closed(sock)

    events = Events()
    with ScriptedServer(script) as server:
        signalling = client(settings(server.url, ping_s=0.1), events)
        signalling.start()
        assert events.wait(SessionOffered).udp_port == 51234
        assert signalling.stop()


def test_a_server_that_leaves_the_subprotocol_out_is_accepted() -> None:
    def script(sock: socket.socket) -> None:
        shake_hands(sock, None)
        sock.sendall(frame(OFFER))
        until_closed(sock)

    events = Events()
    with ScriptedServer(script) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered)
        assert signalling.stop()


def test_a_proxy_whose_server_is_away_is_knocked_on_and_one_that_refuses_is_backed_off_from() -> None:
    def outcome(answer: bytes) -> tuple[int, int]:
        with ScriptedServer(handshake(answer)) as server:
            signalling = client(settings(server.url), Events())
            signalling.start()
            eventually(lambda: signalling.last_failure != "")
            assert signalling.stop()
            return signalling.counters.unanswered, signalling.counters.failed_handshakes

    assert outcome(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")[0] > 0
    assert outcome(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")[0] > 0
    assert outcome(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 60\r\n\r\n")[1] > 0
    assert outcome(b"HTTP/1.1 401 Unauthorized\r\n\r\n")[1] > 0


def test_a_flood_of_messages_is_slowed_down_and_not_dropped() -> None:
    joined = frame('{"channel_id": "C", "users_connected": []}')
    events = Events()
    with ScriptedServer(and_stay(frame(OFFER), joined * 3 * MAX_FRAMES_PER_S)) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered)
        assert not eventually(lambda: len(events.of(PeersChanged)) > MAX_FRAMES_PER_S, 0.3)
        assert eventually(lambda: len(events.of(PeersChanged)) > MAX_FRAMES_PER_S, 1.5)
        assert signalling.stop()


def test_random_bytes_after_the_handshake_never_end_the_client() -> None:
    seeded = random.Random(7)

    def rubbish() -> Script:
        data = seeded.randbytes(seeded.randrange(1, 400))
        return after_handshake(data)

    scripts: list[Callable[[socket.socket], None]] = [rubbish() for _ in range(40)]
    events = Events()
    with ScriptedServer(*scripts, healthy) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        events.wait(SessionOffered, timeout_s=6.0)
        assert signalling.counters.errors == 0
        assert signalling.stop()


def test_silence_after_the_handshake_is_left_even_when_pings_are_due_much_later() -> None:
    events = Events()
    with ScriptedServer(and_stay()) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        assert "nothing from the server" in events.wait(SignallingLost).reason
        assert signalling.stop()


def test_a_frame_without_end_is_cut_off_at_the_bound_and_not_by_a_timeout() -> None:
    def endless(sock: socket.socket) -> None:
        shake_hands(sock)
        sock.sendall(frame(OFFER) + b"\x81\x7f\x7f" + b"\xff" * 7)
        while True:
            sock.sendall(b"x" * 65_536)

    events = Events()
    with ScriptedServer(endless) as server:
        signalling = client(settings(server.url), events)
        signalling.start()
        assert "more bytes" in events.wait(SignallingLost).reason
        assert signalling.stop()


def test_a_header_without_end_is_cut_off_at_the_bound_and_not_by_a_timeout() -> None:
    with ScriptedServer(endless_header) as server:
        signalling = client(settings(server.url), Events(), Timing(handshake_s=60.0))
        signalling.start()
        assert eventually(lambda: "more bytes" in signalling.last_failure)
        assert signalling.stop()


def test_nothing_is_left_open_after_many_failed_attempts() -> None:
    with ScriptedServer(lambda sock: None) as server:
        signalling = client(settings(server.url), Events())
        before = len(os.listdir("/proc/self/fd"))
        signalling.start()
        assert eventually(lambda: signalling.counters.failed_handshakes >= 20, 3.0)
        assert signalling.stop()
        assert len(os.listdir("/proc/self/fd")) <= before + 1  # the server's current connection
