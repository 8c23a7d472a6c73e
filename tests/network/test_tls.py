"""Certificates: own authority, pin, wrong name, wrong everything. Nothing is sent to a server that fails."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
from servers import Events, client, eventually, make_certificates, settings

from echostream.config.models import Tls
from echostream.errors import ConfigError
from echostream.events import PeersChanged, SessionOffered, SignallingLost, SignallingUp
from echostream.network.tls import PinMismatch, build_context, check_pin, pin
from echostream.simulator.control_server import ControlServer
from echostream.wire.signalling_v1 import Identity, connect


def serve(server_file: str) -> ControlServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    server = ControlServer(tls=context)
    server.start()
    return server


def outcome(tls: Tls, server: ControlServer, host: str = "127.0.0.1") -> str:
    """Empty when signalling came up, else why not."""
    events = Events()
    signalling = client(settings(f"wss://{host}:{server.port}/", tls=tls), events)
    signalling.start()
    try:
        eventually(lambda: bool(events.of(SessionOffered)) or signalling.last_failure != "")
        return "" if events.of(SignallingUp) else signalling.last_failure
    finally:
        assert signalling.stop()


def test_own_authority_is_trusted_and_the_name_is_checked(tmp_path: Path) -> None:
    ours, others = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "others")
    server = serve(ours.server_file)
    try:
        assert outcome(Tls(ca_file=ours.ca_file), server) == ""
        assert outcome(Tls(ca_file=ours.ca_file), server, "localhost") == ""
        assert outcome(Tls(ca_file=ours.ca_file, server_name="localhost"), server) == ""
        assert "certificate" in outcome(Tls(ca_file=ours.ca_file, server_name="evil.example"), server)
        assert "certificate" in outcome(Tls(ca_file=others.ca_file), server)
        assert "certificate" in outcome(Tls(), server)  # the system's authorities do not know it
    finally:
        assert server.stop()


def test_a_pin_lets_exactly_one_certificate_in(tmp_path: Path) -> None:
    ours, others = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "others")
    colons = ":".join(ours.fingerprint[i : i + 2] for i in range(0, 64, 2)).upper()
    server = serve(ours.server_file)
    try:
        assert outcome(Tls(fingerprint_sha256=colons), server) == ""
        assert outcome(Tls(fingerprint_sha256=ours.fingerprint, ca_file=ours.ca_file), server) == ""
        assert "not the pinned one" in outcome(Tls(fingerprint_sha256=others.fingerprint), server)
        both = Tls(fingerprint_sha256=ours.fingerprint, ca_file=others.ca_file)
        assert "certificate" in outcome(both, server)
    finally:
        assert server.stop()


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    expired = make_certificates(tmp_path, days=-1)
    server = serve(expired.server_file)
    try:
        assert "expired" in outcome(Tls(ca_file=expired.ca_file), server)
    finally:
        assert server.stop()


def test_the_token_never_reaches_a_server_with_the_wrong_certificate(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ours, others = make_certificates(tmp_path / "ours"), make_certificates(tmp_path / "others")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.server_file)
    server = ControlServer(tls=context, token="s3cret")
    server.start()
    events = Events()
    with caplog.at_level(logging.DEBUG):
        tls = Tls(fingerprint_sha256=others.fingerprint)
        signalling = client(settings(server.url, tls=tls, token_query="token"), events, token="s3cret")
        signalling.start()
        assert eventually(lambda: "pinned" in signalling.last_failure)
        assert signalling.stop()
    assert server.stats().counts.get("unauthorized", 0) == 0  # not even a request arrived
    assert server.stop()
    assert "s3cret" not in caplog.text


def test_both_directions_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """OpenSSL allows no two calls at once on one connection, and two threads use this one."""
    made = make_certificates(tmp_path)
    server = serve(made.server_file)
    events = Events()
    to = settings(server.url, tls=Tls(ca_file=made.ca_file), ping_s=0.1)
    signalling = client(to, events)
    signalling.start()
    events.wait(SessionOffered)
    me = Identity("a1", "Porch", "Fire")
    for number in range(40):
        assert signalling.send(connect(me, f"C{number}", 1))
        if number % 10 == 9:
            events.wait(PeersChanged, number + 1)
    assert signalling.counters.connected == 1
    assert events.of(SignallingLost) == []
    assert signalling.stop()
    assert server.stop()


def test_a_server_without_tls_behind_wss_is_survived() -> None:
    server = ControlServer()
    server.start()
    try:
        assert outcome(Tls(), server) != ""
    finally:
        assert server.stop()


@pytest.mark.parametrize("digits", ["", "ab", "zz" * 32, "ab" * 33])
def test_a_fingerprint_that_is_none_says_how_to_get_one(digits: str) -> None:
    if digits == "":
        assert pin(Tls(fingerprint_sha256=digits)) is None
        return
    with pytest.raises(ConfigError, match="openssl x509"):
        pin(Tls(fingerprint_sha256=digits))


def test_a_ca_file_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"control_server\.tls\.ca_file"):
        build_context(Tls(ca_file=str(tmp_path / "none.pem")))
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(ConfigError, match="PEM"):
        build_context(Tls(ca_file=str(tmp_path / "empty.pem")))


def test_a_peer_without_a_certificate_fails_the_pin() -> None:
    with pytest.raises(PinMismatch):
        check_pin(bytes(32), None)
    check_pin(None, None)
