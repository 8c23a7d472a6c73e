"""Devices find the gateway, another gateway of the same name is no obstacle, and stopping is quick."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from zeroconf import IPVersion, ServiceInfo, Zeroconf

from echostream.events import Event
from echostream.network import announcement
from echostream.network.announcement import SERVICE, Announcement, Found, find_gateways, usable_addresses

LOOPBACK = "127.0.0.1"


def ignore(event: Event) -> None:
    """Events are not what is tested here."""


@contextmanager
def announced(gateway_id: str, udp_port: int | None = 9001) -> Iterator[Announcement]:
    worker = Announcement(gateway_id, LOOPBACK, 9000, udp_port, ignore)
    worker.start()
    try:
        until_s = time.monotonic() + 8
        while not worker.announced and time.monotonic() < until_s:
            time.sleep(0.02)
        assert worker.announced == (LOOPBACK,)
        yield worker
    finally:
        worker.request_stop()
        assert worker.join(3.0)


@contextmanager
def device() -> Iterator[Zeroconf]:
    searching = Zeroconf(interfaces=[LOOPBACK], ip_version=IPVersion.V4Only)
    try:
        yield searching
    finally:
        searching.close()


def found(searching: Zeroconf, name: str, wait_ms: int = 3000) -> ServiceInfo | None:
    return searching.get_service_info(SERVICE, f"{name}.{SERVICE}", wait_ms)


def test_a_device_finds_address_port_and_what_is_spoken() -> None:
    with announced("station-7"), device() as searching:
        info = found(searching, "station-7")
        assert info is not None
        assert info.parsed_addresses() == [LOOPBACK]
        assert info.port == 9000
        assert info.properties == {b"id": b"station-7", b"hello": b"1", b"udp": b"9001"}
        assert Found("station-7", LOOPBACK, 9000, 9001) in find_gateways(3.0, [LOOPBACK])


def test_nobody_there_is_no_gateway() -> None:
    assert find_gateways(0.2, ["127.0.0.3"]) == []


@pytest.mark.parametrize("udp", ["", "0", "65536", "x", "٣"])
def test_rubbish_in_an_announcement_is_left_out(udp: str) -> None:
    told = {"udp": udp, "id": b"\xff\x1b[2J", "more": None}
    info = ServiceInfo(
        SERVICE, f"odd.{SERVICE}", port=9, properties=told, addresses=[socket.inet_aton("192.0.2.1")]
    )
    one = announcement._found(info)
    assert (one.host, one.port, one.udp_port) == ("192.0.2.1", 9, None)
    assert "\x1b" not in one.gateway_id


def test_two_gateways_of_one_name_are_both_found() -> None:
    with announced("twin", None) as first, announced("twin", None) as second:
        assert first.name_given == f"twin.{SERVICE}"
        assert second.name_given == f"twin-2.{SERVICE}"
        with device() as searching:
            info = found(searching, "twin-2")
            assert info is not None
            assert info.properties == {b"id": b"twin", b"hello": b"1"}


def test_it_says_goodbye_so_that_nobody_keeps_a_dead_address() -> None:
    """Also by an id that is no label of a DNS name."""
    with device() as searching:
        with announced("county.fire " + "ü" * 60) as worker:
            name = worker.name_given.removesuffix(f".{SERVICE}")
            assert name.startswith("county-fire ü")
            assert len(name.encode()) <= 63
            assert found(searching, name) is not None
        until_s = time.monotonic() + 3
        while found(searching, name, 50) is not None and time.monotonic() < until_s:
            time.sleep(0.1)
        assert found(searching, name, 50) is None


def test_a_stop_does_not_wait_for_the_probes() -> None:
    worker = Announcement("hasty", LOOPBACK, 9000, None, ignore)
    worker.start()
    time.sleep(0.3)
    began_s = time.monotonic()
    worker.request_stop()
    assert worker.join(3.0)
    assert time.monotonic() - began_s < 1.0
    assert not [thread.name for thread in threading.enumerate() if thread.name == "announcement"]


def test_trouble_with_an_interface_is_said_once_and_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(announcement, "LOOK_AGAIN_S", 0.05)
    worker = Announcement("lost", "192.0.2.250", 9000, None, ignore)  # an address of nobody here
    worker.start()
    time.sleep(0.6)
    worker.request_stop()
    assert worker.join(3.0)
    assert worker.restarts == 0
    complaints = [record for record in caplog.records if "not announced" in record.message]
    assert len(complaints) == 1
    assert "192.0.2.250" in complaints[0].message


def test_a_new_address_is_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(announcement, "LOOK_AGAIN_S", 0.05)
    now: list[str] = []
    monkeypatch.setattr(announcement, "usable_addresses", lambda bind: tuple(now))
    worker = Announcement("late-wifi", "0.0.0.0", 9000, None, ignore)
    worker.start()
    try:
        time.sleep(0.2)
        assert not worker.announced
        now.append(LOOPBACK)
        until_s = time.monotonic() + 8
        while not worker.announced and time.monotonic() < until_s:
            time.sleep(0.02)
        assert worker.announced == (LOOPBACK,)
    finally:
        worker.request_stop()
        assert worker.join(3.0)


def test_loopback_is_announced_only_where_it_is_asked_for() -> None:
    assert usable_addresses("127.0.0.1") == ("127.0.0.1",)
    assert not [address for address in usable_addresses("0.0.0.0") if address.startswith("127.")]
    for address in usable_addresses("0.0.0.0"):
        socket.inet_aton(address)
    assert usable_addresses("fd00::1") == ()
