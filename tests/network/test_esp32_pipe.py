"""Messages between the gateway and its own processes: in order, with sockets, and an end that is noticed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from echostream.network import esp32_pipe
from echostream.network.esp32_pipe import End, Message, Pipe, Said

Pipes = tuple[Pipe, Pipe]


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    both = tuple(Pipe(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    yield both[0], both[1]
    for pipe in both:
        pipe.close()


def lines(count: int) -> list[Said]:
    return [Said("room", 20, f"line {number} " + "x" * 1000) for number in range(count)]


def test_messages_keep_their_order_also_those_that_had_to_wait(pipes: Pipes) -> None:
    one, other = pipes
    sent, got = lines(3000), list[Message]()
    for line in sent:
        one.send(line)
    assert one.waiting > 0
    while len(got) < len(sent):
        got += [message for message, _ in other.receive() or []]
        one.flush()
    assert got == sent
    assert one.waiting == 0


def test_a_socket_goes_along_and_is_closed_here(pipes: Pipes) -> None:
    one, other = pipes
    device, served = socket.socketpair()
    with device:
        one.send(End(1, "stopped"), served)
        assert served.fileno() == -1
        received = other.receive()
        assert received is not None
        ((message, along),) = received
        assert message == End(1, "stopped")
        assert along is not None
        with along:
            device.sendall(b"audio")
            assert along.recv(10) == b"audio"


def test_what_was_said_before_the_end_is_heard(pipes: Pipes) -> None:
    one, other = pipes
    one.send(End(1, "stopped"))
    one.close()
    assert other.receive() == [(End(1, "stopped"), None)]
    assert other.receive() is None


def test_who_does_not_listen_is_noticed_and_costs_no_more(
    pipes: Pipes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(esp32_pipe, "MAX_WAITING", 100)
    one, _ = pipes
    for line in lines(2000):
        one.send(line)
    assert one.stuck


def test_the_end_closes_what_was_to_go_along(pipes: Pipes) -> None:
    one, other = pipes
    other.close()
    device, served = socket.socketpair()
    with device:
        one.send(End(1, "stopped"), served)
        assert device.recv(1) == b""
    assert one.receive() is None
    one.drain()
