"""Broker, bucket and subscriber of a simulated run: real ones where they are configured, else our own."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from echostream.config.base import Secret
from echostream.config.load import parse_config
from echostream.config.models import Channel, Config, ControlServer, Gateway
from echostream.config.mqtt_models import Mqtt, MqttCommands
from echostream.config.recording_models import Recording
from echostream.config.s3_models import S3
from echostream.config.secrets import read_secret
from echostream.simulator import stage_broker
from echostream.simulator.stage_broker import StageBroker, find_mosquitto
from echostream.simulator.stage_bucket import StageBucket
from echostream.simulator.stage_children import Child, answers, free_port, wait_until_answers

needs_mosquitto = pytest.mark.skipif(
    find_mosquitto() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)
ROOT = Path(__file__).parents[2]


def config(**sections: Any) -> Config:
    return Config(
        gateway=Gateway(id="station 7/b", affiliation_id="test"),
        control_server=ControlServer(url="ws://127.0.0.1:1"),
        channels=(Channel(id="fire", card="K1"),),
        **sections,
    )


@pytest.fixture
def ended() -> Iterator[list[Child]]:
    """Children that are ended with the test."""
    children: list[Child] = []
    yield children
    for child in children:
        child.end()


# ---- the broker


@needs_mosquitto
def test_the_subscriber_shows_what_is_published(
    tmp_path: Path, ended: list[Child], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = config()
    stage = StageBroker(asked, tmp_path / "broker")
    broker = stage.start()
    assert broker is not None
    ended.append(broker)
    adapted = stage.adapt(asked)
    assert (adapted.mqtt.enabled, adapted.mqtt.host, adapted.mqtt.tls) == (True, "127.0.0.1", None)
    ended.insert(0, stage.subscriber(asked))
    publisher = paho.Client(CallbackAPIVersion.VERSION2)
    publisher.connect("127.0.0.1", adapted.mqtt.port)
    publisher.loop_start()
    until_s = time.monotonic() + 10
    topic = next(one for one in stage_broker.topics(asked) if one.startswith("from/device/"))
    while "subscriber: " not in caplog.text and time.monotonic() < until_s:
        publisher.publish(topic, '{"text": "a page\x1b[31m"}' + "x" * 300, qos=1).wait_for_publish(5)
        publisher.publish("echostream/station 7%2Fb/channel/fire/levels", "not this")
        time.sleep(0.1)
    publisher.disconnect()
    publisher.loop_stop()
    assert f'subscriber: {topic} {{"text": "a page\\x1b[31m"}}xxx' in caplog.text
    assert "…" in caplog.text
    assert "not this" not in caplog.text
    stage.close()
    assert not (tmp_path / "broker").exists()


def test_a_broker_that_is_configured_is_the_one_that_is_told(tmp_path: Path) -> None:
    asked = config(mqtt=Mqtt(enabled=True, host="mqtt.example.org"))
    stage = StageBroker(asked, tmp_path / "broker")
    assert not stage.wanted
    assert stage.start() is None
    assert stage.adapt(asked) is asked


def test_without_mosquitto_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage_broker, "find_mosquitto", lambda: None)
    asked = config()
    stage = StageBroker(asked, tmp_path / "broker")
    assert stage.wanted
    assert stage.start() is None
    assert stage.adapt(asked) is asked


def test_a_program_that_is_no_broker_costs_the_run_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage_broker, "find_mosquitto", lambda: "/bin/false")
    asked = config()
    stage = StageBroker(asked, tmp_path / "broker")
    assert stage.start() is None
    assert stage.adapt(asked) is asked
    stage.close()


@needs_mosquitto
def test_secrets_and_commands_of_the_real_broker_do_not_go_to_the_simulated_one(
    tmp_path: Path, ended: list[Child]
) -> None:
    real = Mqtt(
        host="mqtt.example.org",
        username="u",
        password=Secret(credential="nobody-has-this"),
        commands=MqttCommands(page_out=True, reload=True),
        topic_prefix="county",
    )
    stage = StageBroker(config(mqtt=real), tmp_path / "broker")
    broker = stage.start()
    assert broker is not None
    ended.append(broker)
    adapted = stage.adapt(config(mqtt=real)).mqtt
    assert (adapted.username, adapted.password, adapted.commands) == (None, None, MqttCommands())
    assert adapted.topic_prefix == "county"
    stage.close()


# ---- the bucket


def test_what_is_uploaded_stands_in_a_folder(tmp_path: Path, ended: list[Child]) -> None:
    asked = config()
    stage = StageBucket(asked, tmp_path / "bucket")
    server = stage.start()
    assert server is not None
    ended.append(server)
    s3 = stage.adapt(asked).s3
    assert s3.access_key_id is not None
    assert s3.secret_access_key is not None
    assert s3.secret_access_key.file is not None
    assert Path(s3.secret_access_key.file).stat().st_mode & 0o077 == 0
    client = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        region_name=s3.region,
        aws_access_key_id=read_secret(s3.access_key_id, ""),
        aws_secret_access_key=read_secret(s3.secret_access_key, ""),
    )
    client.put_object(Bucket=s3.bucket, Key="a/b.flac", Body=b"sound")
    client.close()
    assert (tmp_path / "bucket" / s3.bucket / "a" / "b.flac").read_bytes() == b"sound"


@pytest.mark.parametrize(
    "sections",
    [
        {"s3": S3(enabled=True, bucket="county")},
        {"recording": Recording(enabled=True, directory="/srv/recordings")},
    ],
)
def test_real_buckets_and_real_recordings_are_left_alone(tmp_path: Path, sections: dict[str, Any]) -> None:
    asked = config(**sections)
    stage = StageBucket(asked, tmp_path / "bucket")
    assert stage.start() is None
    assert stage.adapt(asked) is asked
    assert not (tmp_path / "bucket").exists()


def test_what_the_stage_makes_is_a_configuration_that_holds(tmp_path: Path, ended: list[Child]) -> None:
    asked = config()
    bucket = StageBucket(asked, tmp_path / "bucket")
    server = bucket.start()
    assert server is not None
    ended.append(server)
    adapted = bucket.adapt(asked)
    loaded = parse_config(json.loads(adapted.model_dump_json()), "test")
    assert not loaded.dropped
    assert loaded.config == adapted
    assert bucket.adapt(asked) == adapted  # also at a reload


# ---- the children


def test_a_child_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    port = free_port()
    program = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from echostream.simulator.stage_children import Child; "
            f"Child(sys.executable, '-c', {program!r}); time.sleep(60)",
        ],
        cwd=ROOT,
    )
    until_s = time.monotonic() + 10
    while not answers("127.0.0.1", port):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while answers("127.0.0.1", port):
        assert time.monotonic() < until_s, "the child outlived its parent"
        time.sleep(0.05)


def test_a_child_that_does_not_listen_is_not_waited_for_to_the_end() -> None:
    child = Child("/bin/false")
    began_s = time.monotonic()
    assert not wait_until_answers(child, "127.0.0.1", free_port())
    assert time.monotonic() - began_s < 5
    child.end()


def test_a_child_that_does_not_want_to_end_is_ended() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    child = Child(sys.executable, "-c", deaf, logged_as="deaf")
    time.sleep(0.5)
    child.end()
    assert not child.alive


def test_free_ports_are_of_this_machine_alone() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"
