"""Lookups: IPv4 first for audio, and rubbish that is an error and nothing else."""

from __future__ import annotations

import socket
import threading

import pytest

from echostream.network.resolver import Lookup, numeric


def test_localhost_is_ipv4_for_audio(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", 5000, 0, 0)),
            (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 5000)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    families = [family for family, _ in numeric("localhost", 5000, socket.SOCK_DGRAM)]
    assert families == [socket.AF_INET, socket.AF_INET6]
    families = [family for family, _ in numeric("localhost", 5000, socket.SOCK_STREAM)]
    assert families == [socket.AF_INET6, socket.AF_INET]


@pytest.mark.parametrize("host", ["", "a" * 300, "no such host", "\udcff", "::1::"])
def test_host_that_is_none_is_an_error_and_no_exception(host: str) -> None:
    done = threading.Event()
    lookup = Lookup(host or " ", 1, socket.SOCK_DGRAM, done.set)
    assert lookup.done or done.wait(5.0)
    assert not lookup.result()
    assert lookup.error
