"""What the service manager is told, as a socket of ours hears it; one that does not read holds nobody up."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.service.notify import Notifier, from_environment


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(2)
        yield listening


def said(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_each_word_is_one_datagram(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname(), 10.0)
    assert notifier.ready("2 of 2")
    assert said(manager) == ["READY=1", "STATUS=2 of 2"]
    assert notifier.watchdog()
    assert said(manager) == ["WATCHDOG=1"]
    assert notifier.stopping()
    assert said(manager) == ["STOPPING=1"]
    assert notifier.extend_timeout(1.5)
    assert said(manager) == ["EXTEND_TIMEOUT_USEC=1500000"]
    assert notifier.reloading()
    word, stamp = said(manager)
    assert word == "RELOADING=1"
    assert stamp.startswith("MONOTONIC_USEC=")
    assert int(stamp[15:]) > 0


def test_an_abstract_address(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{tmp_path}")
        listening.settimeout(2)
        assert Notifier(f"@{tmp_path}").status("here")
        assert said(listening) == ["STATUS=here"]


@given(line=st.text())
def test_a_status_never_says_anything_but_a_status(line: str) -> None:
    """READY=1 in the name of a channel must not make us ready."""
    name = f"\0echostream-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        listening.setblocking(False)
        notifier = Notifier(f"@{name[1:]}")
        notifier.status(line)
        try:
            heard = listening.recv(65_536).decode().split("\n")
        except BlockingIOError:
            heard = []
    assert heard == [] or (len(heard) == 1 and heard[0].startswith("STATUS="))


def test_a_manager_that_does_not_read_is_not_waited_for(manager: socket.socket) -> None:
    notifier = Notifier(manager.getsockname())
    sent = [notifier.watchdog() for _ in range(5000)]
    assert sent[0]
    assert not sent[-1]
    assert notifier.failures == sent.count(False)


@pytest.mark.parametrize("address", ["", "/nonexistent/notify", "vsock:2:1234"])
def test_nobody_listens(address: str) -> None:
    notifier = Notifier(address, 10.0)
    assert not notifier.ready()
    assert notifier.managed is (address.startswith("/"))


def test_children_do_not_speak_in_our_name() -> None:
    environment = {
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "10000000",
        "WATCHDOG_PID": str(os.getpid()),
        "HOME": "/",
    }
    notifier = from_environment(environment)
    assert environment == {"HOME": "/"}
    assert notifier.managed
    assert notifier.watchdog_s == 10.0


@pytest.mark.parametrize(
    "watchdog",
    [{}, {"WATCHDOG_USEC": "ten"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "5", "WATCHDOG_PID": "1"}],
)
def test_a_watchdog_that_is_not_ours(watchdog: dict[str, str]) -> None:
    assert from_environment({"NOTIFY_SOCKET": "/run/notify", **watchdog}).watchdog_s is None
