"""Certificates that have ended, end soon, or are none."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from authority import Authority, Pair
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from doctor_machine import Machine, document, findings
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import ScriptedServer

from echostream.config.models import Config
from echostream.doctor import certificates
from echostream.doctor.certificates import endpoints
from echostream.doctor.dates import NoCertificate, validities_of_pem, validity_of_der
from echostream.doctor.model import Level

look = partial(findings, certificates.checks)
DATES = st.datetimes(
    datetime.datetime(1960, 1, 1), datetime.datetime(2200, 1, 1), timezones=st.just(datetime.UTC)
)
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@contextmanager
def shows(pair: Pair) -> Iterator[int]:
    """A server that shows this certificate; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)

    def script(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(1)

    with ScriptedServer(script) as server:
        yield server.port


def certificate(
    begins: datetime.datetime, ends: datetime.datetime, version_1_serial: int = 1
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x" * 40)])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(version_1_serial).not_valid_before(begins).not_valid_after(ends)
    return builder.sign(KEY, hashes.SHA256())


@settings(max_examples=60)
@given(dates=st.tuples(DATES, DATES).map(sorted), serial=st.integers(1, 2**150))
def test_the_dates_are_those_that_a_library_reads(dates: list[datetime.datetime], serial: int) -> None:
    begins, ends = (one.replace(microsecond=0) for one in dates)
    made = certificate(begins, ends, serial)
    read = validity_of_der(made.public_bytes(serialization.Encoding.DER))
    assert (read.begins, read.ends) == (begins, ends)


NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
WHOLE = certificate(NOW, NOW).public_bytes(serialization.Encoding.DER)
BROKEN = st.builds(
    lambda at, byte, cut: (WHOLE[: at % 300] + bytes([byte]) + WHOLE[at % 300 + 1 :])[:cut],
    st.integers(0, 10_000),
    st.integers(0, 255),
    st.one_of(st.none(), st.integers(0, 400)),
)
"""A real one with a byte changed and the end cut off. (A signature's length differs from run to run.)"""


@settings(max_examples=200)
@given(whole=st.one_of(BROKEN, st.binary(max_size=80)))
def test_bytes_that_are_no_certificate_are_told_as_such(whole: bytes) -> None:
    try:
        validity_of_der(whole)
    except NoCertificate:
        return


def test_each_certificate_of_a_file_is_read() -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = certificate(now, now + datetime.timedelta(days=9)).public_bytes(serialization.Encoding.PEM)
    assert [one.days_left(now) for one in validities_of_pem(b"# a comment\n" + made + made)] == [9.0, 9.0]
    with pytest.raises(NoCertificate, match="no certificate in it"):
        validities_of_pem(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")


@pytest.mark.parametrize(
    ("starts_days", "ends_days", "code", "level"),
    [
        (-10, 200, "certificates.holds", Level.OK),
        (-10, 20, "certificates.soon", Level.WARNING),
        (-10, -1, "certificates.ended", Level.FAILURE),
        (5, 200, "certificates.not_yet", Level.FAILURE),
    ],
)
def test_what_a_server_shows(
    machine: Machine, authority: Authority, starts_days: int, ends_days: int, code: str, level: Level
) -> None:
    """Looked at although it may not verify: who would trust one that has ended?"""
    with shows(authority.server("it", starts_days=starts_days, ends_days=ends_days)) as port:
        machine.configure(document(control_server={"url": f"wss://localhost:{port}"}))
        [found] = look(machine.world())[code]
    assert (found.level, found.place) == (level, "control_server.url")
    assert found.data["days"] == pytest.approx(ends_days, abs=0.1)


def test_a_server_that_speaks_no_tls(machine: Machine) -> None:
    with ScriptedServer(lambda sock: sock.sendall(b"hello\r\n")) as server:
        machine.configure(document(control_server={"url": f"wss://localhost:{server.port}"}))
        found = look(machine.world())
    assert found["certificates.not_seen"][0].level is Level.NOTE


def test_files_that_end_are_missing_or_are_none(
    machine: Machine, authority: Authority, tmp_path: Path
) -> None:
    client = authority.client("gateway", ends_days=-2)
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing")
    tls = {"cert_file": str(client.cert), "key_file": str(client.key), "ca_file": str(tmp_path / "away.pem")}
    machine.configure(
        document(
            control_server={"url": "ws://127.0.0.1:9", "tls": {"ca_file": str(wrong)}},
            mqtt={"enabled": True, "host": "127.0.0.1", "port": 9, "tls": tls},
        )
    )
    found = look(machine.world())
    assert [one.place for one in found["certificates.ended"]] == ["mqtt.tls.cert_file"]
    assert {one.place for one in found["certificates.no_file"]} == {
        "mqtt.tls.ca_file",
        "control_server.tls.ca_file",
    }


def test_nothing_to_look_at(machine: Machine) -> None:
    machine.configure(document())
    assert set(look(machine.world())) == {"certificates.none"}


def test_every_server_that_is_reached_over_tls_is_looked_at() -> None:
    config = Config.model_validate(
        document(
            control_server={"url": "wss://control.example.org/ws"},
            mqtt={
                "enabled": True,
                "host": "broker.example.org",
                "port": 443,
                "tls": {"alpn": "x-amzn-mqtt-ca"},
            },
            s3={"enabled": True, "bucket": "b", "region": "eu-west-1"},
        )
    )
    assert [(one.place, one.host, one.port) for one in endpoints(config)] == [
        ("control_server.url", "control.example.org", 443),
        ("mqtt.host", "broker.example.org", 443),
        ("s3.bucket", "s3.eu-west-1.amazonaws.com", 443),
    ]
