"""Brokers and buckets that refuse, and those that let us in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from doctor_health import health
from doctor_machine import Machine, document, findings
from postgres import PASSWORD, binaries
from postgres import server as postgres
from scripted_broker import HANG_UP, Script, ScriptedBroker
from servers import free_port

from echostream.doctor import broker, bucket, database
from echostream.doctor.model import Level
from echostream.service.health import LinkHealth
from echostream.simulator.bucket_server import BucketServer
from echostream.uploads.causes import Cause, Refused
from echostream.uploads.client import Bucket

connect = partial(findings, broker.checks)
query = partial(findings, database.checks)
store = partial(findings, bucket.checks)
NOT_AUTHORISED, CLIENT_ID, BAD_PASSWORD = 0x87, 0x85, 0x86


def mqtt(machine: Machine, port: int, **more: Any) -> None:
    machine.configure(
        document(mqtt={"enabled": True, "host": "127.0.0.1", "port": port, "tls": None, **more})
    )


@pytest.fixture
def scripted() -> Iterator[ScriptedBroker]:
    made = ScriptedBroker()
    yield made
    made.close()


def test_a_broker_that_lets_us_in_hears_a_goodbye(machine: Machine, scripted: ScriptedBroker) -> None:
    mqtt(machine, scripted.port)
    found = connect(machine.world())
    assert set(found) == {"mqtt.connected"}
    scripted.wait_for(lambda: scripted.goodbyes == 1)
    assert not scripted.published


@pytest.mark.parametrize(
    ("code", "words"), [(BAD_PASSWORD, "wrong user or password"), (NOT_AUTHORISED, "not authorised")]
)
def test_a_broker_that_refuses_says_why(
    machine: Machine, scripted: ScriptedBroker, code: int, words: str
) -> None:
    scripted.script = Script(connack=code)
    mqtt(machine, scripted.port)
    [found] = connect(machine.world())["mqtt.failed"]
    assert found.level is Level.FAILURE
    assert words in found.found


def test_a_broker_that_hangs_up(machine: Machine, scripted: ScriptedBroker) -> None:
    scripted.script = Script(connack=HANG_UP)
    mqtt(machine, scripted.port)
    assert "closed the connection" in connect(machine.world())["mqtt.failed"][0].found


def test_a_broker_that_knows_only_the_gateways_own_id(machine: Machine, scripted: ScriptedBroker) -> None:
    """As AWS IoT with a policy for one client id: the gateway is in, so nothing is wrong."""
    scripted.script = Script(connack=CLIENT_ID)
    mqtt(machine, scripted.port)
    there = health(links={"mqtt": LinkHealth(True, "")})
    [found] = connect(machine.world(health=there))["mqtt.other_id"]
    assert (found.level, found.data["client_id"]) == (Level.NOTE, "station-7-doctor")
    away = health(links={"mqtt": LinkHealth(False, "refused")})
    assert "mqtt.failed" in connect(machine.world(health=away))


def test_a_gateway_that_is_out_where_the_doctor_gets_in(machine: Machine, scripted: ScriptedBroker) -> None:
    mqtt(machine, scripted.port)
    away = health(links={"mqtt": LinkHealth(False, "timed out")})
    assert "timed out" in connect(machine.world(health=away))["mqtt.away"][0].found


def test_no_broker(machine: Machine) -> None:
    mqtt(machine, free_port())
    assert "Connection refused" in connect(machine.world())["mqtt.unanswered"][0].found
    mqtt(machine, 1883, host="no-such-broker.invalid")
    assert "lookup of no-such-broker.invalid" in connect(machine.world())["mqtt.unanswered"][0].found


def test_a_password_that_cannot_be_read_is_not_tried_without(
    machine: Machine, scripted: ScriptedBroker
) -> None:
    mqtt(machine, scripted.port, username="u", password={"file": "/no/such/file"})
    assert connect(machine.world())["mqtt.secret"][0].level is Level.NOTE
    assert scripted.connections == 0


def test_what_is_switched_off_is_left_alone(machine: Machine) -> None:
    machine.configure(document())
    assert set(connect(machine.world())) == {"mqtt.off"}
    assert set(store(machine.world())) == {"s3.off"}


# ---- the site's database


def recorded(machine: Machine, url: str) -> None:
    secret = machine.write("/keys/database", url)
    secret.chmod(0o600)
    machine.configure(document(recording={"enabled": True, "database": {"file": str(secret)}}))


@pytest.mark.skipif(binaries() is None, reason="PostgreSQL is not installed; scripts/setup.sh dev does")
def test_a_database_that_answers_and_one_that_refuses(machine: Machine) -> None:
    with postgres() as url:
        recorded(machine, url)
        [found] = query(machine.world())["network.database"]
        assert "PostgreSQL 1" in found.found
        recorded(machine, url.replace(PASSWORD, "wrong"))
        [found] = query(machine.world())["network.no_database"]
        assert "password authentication failed" in found.found
        assert "wrong" not in found.found


def test_no_database_there_and_an_address_that_is_none(machine: Machine) -> None:
    recorded(machine, f"postgresql://echostream:hush@127.0.0.1:{free_port()}/recordings")
    [found] = query(machine.world())["network.no_database"]
    assert found.level is Level.WARNING
    assert "hush" not in found.found
    recorded(machine, "mysql://there")
    assert "only postgresql://" in query(machine.world())["network.no_database"][0].found


def test_recordings_that_are_indexed_beside_them_need_no_server(machine: Machine) -> None:
    machine.configure(document(recording={"enabled": True}))
    assert query(machine.world()) == {}


# ---- buckets

KEY_ID, KEY = "doctor-key-id", "doctor-secret"


@pytest.fixture
def bucket_server(tmp_path: Path) -> Iterator[BucketServer]:
    made = BucketServer("127.0.0.1", 0, tmp_path / "buckets", KEY_ID, KEY)
    made.store.make("recordings")
    made.start()
    yield made
    made.stop()


def s3(machine: Machine, url: str, key: str = KEY, name: str = "recordings") -> None:
    key_id, secret = machine.write("/keys/id", KEY_ID), machine.write("/keys/secret", key)
    key_id.chmod(0o600)
    secret.chmod(0o600)
    machine.configure(
        document(
            s3={
                "enabled": True,
                "bucket": name,
                "endpoint_url": url,
                "region": "us-east-1",
                "access_key_id": {"file": str(key_id)},
                "secret_access_key": {"file": str(secret)},
            }
        )
    )


def objects(server: BucketServer, tmp_path: Path) -> list[str]:
    folder = tmp_path / "buckets" / "recordings"
    return [path.name for path in folder.rglob("doctor*")]


def test_a_bucket_takes_an_object_and_has_none_afterwards(
    machine: Machine, bucket_server: BucketServer, tmp_path: Path
) -> None:
    s3(machine, bucket_server.url)
    found = store(machine.world())
    assert set(found) == {"s3.looked", "s3.stored"}
    assert found["s3.stored"][0].data["key"] == "station-7/doctor.txt"
    assert objects(bucket_server, tmp_path) == []


def test_quick_writes_nothing(machine: Machine, bucket_server: BucketServer) -> None:
    s3(machine, bucket_server.url)
    assert set(store(machine.world(quick=True))) == {"s3.looked"}


@pytest.mark.parametrize(("key", "name"), [("wrong", "recordings"), (KEY, "elsewhere")])
def test_a_wrong_key_and_a_wrong_name(
    machine: Machine, bucket_server: BucketServer, key: str, name: str
) -> None:
    s3(machine, bucket_server.url, key, name)
    found = store(machine.world())
    assert set(found) == {"s3.failed"}
    assert found["s3.failed"][0].level is Level.FAILURE


def test_keys_that_may_only_write_are_enough(
    machine: Machine, bucket_server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise Refused(Cause.DENIED, "access is denied")

    for name in ("look", "head", "delete"):
        monkeypatch.setattr(Bucket, name, denied)
    s3(machine, bucket_server.url)
    found = store(machine.world())
    assert set(found) == {"s3.no_list", "s3.stored", "s3.no_delete"}
    assert not any(one.level is Level.FAILURE for ones in found.values() for one in ones)


def test_nobody_at_the_address(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    s3(machine, f"http://127.0.0.1:{port}")
    assert "cannot be reached" in store(machine.world())["s3.failed"][0].found
