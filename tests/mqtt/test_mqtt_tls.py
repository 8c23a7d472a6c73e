"""Certificates that do not hold: said once, with what helps, and nothing is sent."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from mosquitto import Mosquitto, Settings, binary
from mqtt_house import event, house

from echostream.config.mqtt_models import MqttTls
from echostream.errors import ConfigError
from echostream.mqtt.verify import build_context

NEEDS_BROKER = pytest.mark.skipif(
    binary() is None, reason="mosquitto is not installed; scripts/setup.sh dev does"
)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@contextmanager
def broker_with(folder: Path, settings: Settings) -> Iterator[Mosquitto]:
    one = Mosquitto(folder / "broker", settings)
    one.start()
    try:
        yield one
    finally:
        one.stop()


@NEEDS_BROKER
@pytest.mark.parametrize(
    ("server", "tls", "said"),
    [
        ({"ends_days": -1}, {}, "has expired: renew it there"),
        ({"starts_days": 2}, {}, "not valid yet: set this machine's clock"),
        ({"host": "broker.example"}, {}, "not for 127.0.0.1: set mqtt.host or mqtt.tls.server_name"),
        ({}, {"ca_file": None}, "unknown authority: name its PEM file in mqtt.tls.ca_file"),
        ({}, {"server_name": "other.example"}, "not for other.example"),
    ],
    ids=["expired", "not yet valid", "another name", "unknown authority", "another server_name"],
)
def test_certificate_that_does_not_hold_is_said_once_with_the_remedy(
    tmp_path: Path, authority: Authority, server: dict[str, Any], tls: dict[str, Any], said: str
) -> None:
    pair = authority.server(f"bad-{len(said)}", **server)
    with broker_with(tmp_path, Settings(pair=pair)) as broker:
        settings = {"tls": {"ca_file": str(authority.ca), **tls}}
        with house(tmp_path, broker.port, settings=settings) as running:
            running.tell(event("secret"))
            running.wait_down(said)
            running.wait(lambda: running.publisher._link.attempts >= 3)
            assert len(running.links) == 1
            assert running.publisher.link().sent == 0  # type: ignore[union-attr]
        assert "secret" not in broker.log()


@NEEDS_BROKER
def test_server_name_takes_the_place_of_the_host(tmp_path: Path, authority: Authority) -> None:
    with broker_with(tmp_path, Settings(pair=authority.server("named", "broker.example"))) as broker:
        settings = {"tls": {"ca_file": str(authority.ca), "server_name": "broker.example"}}
        with house(tmp_path, broker.port, settings=settings) as running:
            running.wait_up()


@NEEDS_BROKER
def test_certificate_that_expires_while_connected_counts_from_the_next_connection(
    tmp_path: Path, authority: Authority
) -> None:
    pair, old = authority.server("renewed"), authority.server("old", ends_days=-1)
    settings = {"tls": {"ca_file": str(authority.ca)}}
    with (
        broker_with(tmp_path, Settings(pair=pair)) as broker,
        house(tmp_path, broker.port, settings=settings) as running,
    ):
        running.wait_up()
        broker.kill()
        broker.configure(Settings(pair=old))
        broker.start()
        running.tell(event("kept"))
        running.wait_down("has expired")
        broker.kill()
        broker.configure(Settings(pair=pair))
        broker.start()
        running.wait_up()
        running.wait_empty()


@NEEDS_BROKER
def test_tls_to_a_port_without_it_and_the_other_way_round(tmp_path: Path, authority: Authority) -> None:
    with broker_with(tmp_path, Settings()) as plain:
        settings = {"tls": {"ca_file": str(authority.ca)}}
        with house(tmp_path, plain.port, settings=settings) as running:
            running.wait_down("mqtt.port")
    with (
        broker_with(tmp_path / "tls", Settings(pair=authority.server("with"))) as broker,
        house(tmp_path, broker.port) as running,
    ):
        running.wait_down("closed the connection")


@NEEDS_BROKER
def test_own_certificate_that_the_broker_does_not_take(tmp_path: Path, authority: Authority) -> None:
    strangers = Authority(tmp_path / "strangers", "strangers").client("thing")
    expired = authority.client("expired", ends_days=-1)
    settings = Settings(pair=authority.server("strict"), client_ca=authority.ca)
    with broker_with(tmp_path, settings) as broker:
        for pair, said in ((strangers, "mqtt.tls.cert_file"), (expired, "has expired: get a new one")):
            tls = {"ca_file": str(authority.ca), "cert_file": str(pair.cert), "key_file": str(pair.key)}
            with house(tmp_path, broker.port, settings={"tls": tls}) as running:
                running.wait_down(said)


def test_file_that_comes_later_is_used_when_it_is_there(tmp_path: Path, authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        tls = {"ca_file": str(tmp_path / "late.pem")}
        with house(tmp_path, listener.getsockname()[1], settings={"tls": tls}) as running:
            running.wait_down("late.pem")
            (tmp_path / "late.pem").write_bytes(authority.ca.read_bytes())
            listener.settimeout(10)
            deadline_s = time.monotonic() + 10
            while "late.pem" in running.publisher.link().detail:  # type: ignore[union-attr]
                assert time.monotonic() < deadline_s
                listener.accept()[0].close()


def test_files_that_cannot_be_used_name_the_place(tmp_path: Path, authority: Authority) -> None:
    one, other = authority.client("one"), authority.client("other")
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.cert_file .* without a password"):
        build_context(MqttTls(cert_file=str(one.cert), key_file=str(other.key)))
    (tmp_path / "no.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"mqtt\.tls\.ca_file"):
        build_context(MqttTls(ca_file=str(tmp_path / "no.pem")))


def test_key_with_a_password_is_refused_and_nobody_is_asked(tmp_path: Path, authority: Authority) -> None:
    pair = authority.client("locked")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkcs8", "-topk8", "-in", str(pair.key), "-out", str(locked), "-passout", "pass:x"]
    subprocess.run(command, check=True, timeout=10)
    with pytest.raises(ConfigError, match="without a password"):
        build_context(MqttTls(cert_file=str(pair.cert), key_file=str(locked)))


def test_alpn_is_asked_for(tmp_path: Path, authority: Authority) -> None:
    """AWS IoT knows by it, on port 443, that MQTT is meant."""
    import ssl

    pair = authority.server("alpn")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.cert, pair.key)
    context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    chosen: list[str | None] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, context.wrap_socket(connection, server_side=True) as tls:
            chosen.append(tls.selected_alpn_protocol())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,), name="alpn")
        thread.start()
        tls = {"ca_file": str(authority.ca), "alpn": "x-amzn-mqtt-ca"}
        with house(tmp_path, listener.getsockname()[1], settings={"tls": tls}):
            thread.join(10)
    assert chosen == ["x-amzn-mqtt-ca"]
