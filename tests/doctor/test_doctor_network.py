"""Names that do not resolve, servers that refuse, and audio that gets lost on its way."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from doctor_machine import Machine, document, findings
from servers import OFFER, ScriptedServer, eventually, frame, read_request, shake_hands

from echostream.doctor import audio_way, network
from echostream.doctor.audio_way import judge
from echostream.doctor.model import Level
from echostream.doctor.session import Session
from echostream.doctor.udp_probe import Way
from echostream.events import SessionOffered
from echostream.simulator.control_server import ControlServer
from echostream.simulator.lossy_proxy import LossRules, LossyProxy

look = partial(findings, network.checks)
listen = partial(findings, audio_way.checks)
ROUTES = (
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
)


@pytest.fixture
def server() -> Iterator[ControlServer]:
    made = ControlServer("127.0.0.1", 0)
    made.start()
    yield made
    assert made.stop()


def at(machine: Machine, url: str, **more: object) -> None:
    machine.configure(document(control_server={"url": url, **more}))


def test_the_way_out_is_read_from_the_kernel(machine: Machine) -> None:
    machine.write("/proc/net/route", ROUTES)
    assert look(machine.world())["network.route"][0].found == "the way out is eth0 by 10.0.0.1"


def test_a_machine_without_a_way_out(machine: Machine) -> None:
    machine.write("/proc/net/route", ROUTES.splitlines()[0] + "\n" + ROUTES.splitlines()[2] + "\n")
    assert look(machine.world())["network.no_route"][0].level is Level.WARNING


def test_a_cable_with_errors_and_a_weak_antenna(machine: Machine) -> None:
    machine.write("/proc/net/route", ROUTES)
    for name, value in (("rx_errors", 40), ("tx_errors", 2), ("rx_packets", 9_000), ("tx_packets", 1_000)):
        machine.write(f"/sys/class/net/eth0/statistics/{name}", f"{value}\n")
    machine.write("/proc/net/wireless", "Inter-| sta-|\n face |\n  eth0: 0000   40.  -78.  -256        0\n")
    found = look(machine.world())
    assert found["network.errors"][0].found == "eth0 has counted 42 errors in 10000 packets"
    assert "-78 dBm" in found["network.weak"][0].found


def test_a_name_that_does_not_exist(machine: Machine) -> None:
    machine.write("/etc/resolv.conf", "nameserver 192.0.2.53\n")
    at(machine, "wss://no-such-host.invalid/ws")
    found = look(machine.world())
    assert found["network.no_name"][0].level is Level.FAILURE
    assert "192.0.2.53" in found["network.no_name"][0].remedy
    assert "lookup of no-such-host.invalid" in found["network.no_server"][0].found


def test_a_server_that_works_is_timed(machine: Machine, server: ControlServer) -> None:
    at(machine, server.url)
    found = look(machine.world())
    [told] = found["network.server"]
    assert {"connect_ms", "offer_ms", "ping_ms"} <= set(told.data)
    assert "network.no_key" not in found


def test_nobody_behind_the_port(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    at(machine, f"ws://127.0.0.1:{port}")
    assert "Connection refused" in look(machine.world())["network.no_server"][0].found


@pytest.mark.parametrize(
    ("status", "remedy"), [(401, "token"), (403, "does not let this gateway in"), (404, "path")]
)
def test_a_server_that_refuses_says_what_to_look_at(machine: Machine, status: int, remedy: str) -> None:
    def refuse(sock: socket.socket) -> None:
        read_request(sock)
        sock.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    with ScriptedServer(refuse) as other:
        at(machine, other.url)
        [found] = look(machine.world())["network.refused"]
    assert f"status {status}" in found.found
    assert remedy in found.remedy


def test_a_server_that_says_nothing(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.doctor.session.OFFER_S", 0.2)

    def silent(sock: socket.socket) -> None:
        shake_hands(sock)
        sock.sendall(frame('{"error": true, "message": "too many", "code": "FULL"}'))
        sock.recv(100)

    with ScriptedServer(silent) as other:
        at(machine, other.url)
        [found] = look(machine.world())["network.refused"]
    assert "nothing came" in found.found
    assert "too many (FULL)" in found.found


def test_a_server_without_a_key_where_the_gateway_has_none(machine: Machine) -> None:
    def offers(sock: socket.socket) -> None:
        shake_hands(sock)
        sock.sendall(frame(OFFER))
        sock.recv(100)
        sock.sendall(frame(b"", 0xA))  # a pong
        sock.recv(100)

    with ScriptedServer(offers) as other:
        at(machine, other.url)
        assert look(machine.world())["network.no_key"][0].level is Level.FAILURE


def test_a_certificate_of_nobody_known(machine: Machine, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.server("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    made = ControlServer("127.0.0.1", 0, tls=context)
    made.start()
    try:
        port = made.url.rpartition(":")[2].strip("/")
        at(machine, f"wss://localhost:{port}")
        [found] = look(machine.world())["network.refused"]
        assert "certificate refused" in found.found
        assert "group certificates" in found.remedy
        at(machine, f"wss://localhost:{port}", tls={"ca_file": str(authority.ca)})
        assert "network.server" in look(machine.world())
    finally:
        assert made.stop()


# ---- the way of the audio


@pytest.fixture
def few_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.doctor.udp_probe.EVERY_S", 0.002)
    monkeypatch.setattr("echostream.doctor.udp_probe.LAST_S", 0.3)


@pytest.mark.usefixtures("few_packets")
def test_all_packets_come_back_over_a_good_line(machine: Machine, server: ControlServer) -> None:
    at(machine, server.url)
    [found] = listen(machine.world())["network.udp"]
    assert found.data["sent"] == 150
    assert found.data["lost"] == 0
    assert server.stats().counts["in_connect"] == 2
    assert eventually(lambda: server.stats().counts["in_disconnect"] == 2), "both have left the channel"


@pytest.mark.usefixtures("few_packets")
def test_a_channel_for_members_only_is_no_failure(machine: Machine) -> None:
    made = ControlServer("127.0.0.1", 0, channels=["fire"])
    made.start()
    try:
        at(machine, made.url)
        [found] = listen(machine.world())["network.udp_not_measured"]
        assert found.level is Level.NOTE
        assert "CHANNEL_NOT_FOUND" in found.found
        assert "network.udp" in listen(machine.world(udp_channel="fire"))
    finally:
        assert made.stop()


@pytest.mark.usefixtures("few_packets")
def test_a_firewall_that_swallows_the_audio(
    machine: Machine, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as swallows:
        swallows.bind(("127.0.0.1", 0))
        port = swallows.getsockname()[1]
        offer = Session.offer
        monkeypatch.setattr(Session, "offer", lambda self: replace(offer(self), udp_port=port))
        at(machine, server.url)
        assert listen(machine.world())["network.udp_blocked"][0].level is Level.FAILURE


@pytest.mark.usefixtures("few_packets")
def test_a_port_that_is_shut(
    machine: Machine, server: ControlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    offer = Session.offer
    monkeypatch.setattr(Session, "offer", lambda self: replace(offer(self), udp_port=port))
    at(machine, server.url)
    assert "Connection refused" in listen(machine.world())["network.udp_closed"][0].found


@pytest.fixture
def bad_line(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[LossyProxy]]:
    """What the talker sends goes over it; the listener's line is good."""
    rules = LossRules(loss=0.08, delay_ms=40, reorder=0.1, reorder_ms=30, duplicate=0.1)
    proxies: list[LossyProxy] = []
    real = Session.offer

    def offer(session: Session) -> SessionOffered:
        offered = real(session)
        if proxies:
            return offered
        proxies.append(LossyProxy((offered.udp_host, offered.udp_port), rules, seed=7))
        proxies[0].start()
        return replace(offered, udp_port=proxies[0].address[1])

    monkeypatch.setattr(Session, "offer", offer)
    yield proxies
    assert all(proxy.stop() for proxy in proxies)


@pytest.mark.usefixtures("few_packets")
def test_a_bad_line_is_measured_as_bad_as_it_is(
    machine: Machine, server: ControlServer, bad_line: list[LossyProxy]
) -> None:
    at(machine, server.url)
    [[found]] = listen(machine.world()).values()
    [line], _ = bad_line[0].counters()
    data: dict[str, Any] = dict(found.data)
    knocks = 6
    assert found.level is not Level.OK
    assert data["lost"] == pytest.approx(100 * line.lost / 150, abs=100 * knocks / 150)
    assert data["p50"] == pytest.approx(40, abs=20)
    assert line.reordered - knocks <= data["turned"] <= line.reordered
    assert line.duplicated - knocks <= data["doubled"] <= line.duplicated


@pytest.mark.parametrize(
    ("lost", "delay_ms", "codes"),
    [
        (0, 40.0, {"network.udp"}),
        (5, 40.0, {"network.udp_loss"}),
        (30, 40.0, {"network.udp_bad"}),
        (100, 0.0, {"network.udp_blocked"}),
        (0, 900.0, {"network.udp", "network.udp_late"}),
    ],
)
def test_what_the_figures_mean(lost: int, delay_ms: float, codes: set[str]) -> None:
    way = Way(100, [delay_ms] * (100 - lost))
    assert {finding.code for finding in judge(way, "control_server")} == codes


def test_the_figures_of_a_way() -> None:
    way = Way(10, [10.0, 30.0, 20.0, 20.0, 90.0])
    assert way.lost_percent == 50.0
    assert (way.percentile_ms(0.5), way.percentile_ms(0.95)) == (20.0, 90.0)
    assert way.jitter_ms == pytest.approx((20 + 10 + 0 + 70) / 4)
    assert (Way().lost_percent, Way().percentile_ms(0.5), Way().jitter_ms) == (0.0, 0.0, 0.0)


def test_the_probe_keeps_the_rhythm_of_speech(machine: Machine, server: ControlServer) -> None:
    from echostream.config.models import ControlServer as Settings
    from echostream.doctor.udp_probe import measure
    from echostream.network.ws_connection import Endpoint
    from echostream.wire.signalling_v1 import Identity

    began_s = time.monotonic()
    way = measure(Endpoint(Settings(url=server.url), None), Identity("a", "b", "c"), "own", packets=25)
    assert time.monotonic() - began_s >= 24 * 0.02
    assert len(way.delays_ms) == 25
