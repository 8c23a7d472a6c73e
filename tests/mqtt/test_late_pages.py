"""A page that was heard while nobody could be told: after a restart, subscribers know all the same."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from config_documents import small
from mosquitto import Mosquitto, binary
from mqtt_scenes import PAGE_ID, page_notice
from subscriber import Subscriber

from echostream.config.load import parse_config
from echostream.config.models import Config
from echostream.mqtt.mqtt_publisher import MqttPublisher

pytestmark = pytest.mark.skipif(
    binary() is None, reason="mosquitto is not installed: scripts/setup.sh dev does"
)
LAST = "echostream/g/channel/a/last_page"
TONES = "from/device/g/tone_detection"


def started(config: Config, spool: Path) -> MqttPublisher:
    publisher = MqttPublisher(config, None, spool, lambda event: None)
    for worker in publisher.workers:
        worker.start()
    return publisher


def stopped(publisher: MqttPublisher) -> None:
    for worker in publisher.workers:
        worker.request_stop()
    for worker in publisher.workers:
        assert worker.join(5)


def test_a_page_from_before_a_restart_is_published_and_is_the_last_page(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path / "broker")  # not there yet
    mqtt = {"enabled": True, "host": "localhost", "port": broker.port, "tls": None}
    config = parse_config(small(mqtt=mqtt), "test").config
    before = started(config, tmp_path / "mqtt.sqlite3")
    try:
        before.take(page_notice())
        deadline_s = time.monotonic() + 10
        while (link := before.link()) is None or link.waiting < 4:
            assert time.monotonic() < deadline_s, link
            time.sleep(0.02)
    finally:
        stopped(before)
    broker.start()
    after = started(config, tmp_path / "mqtt.sqlite3")
    try:
        subscriber = Subscriber(broker.port)
        try:
            subscriber.wait_for(lambda heard: LAST in {one.topic for one in heard})
        finally:
            subscriber.close()
    finally:
        stopped(after)
    late = Subscriber(broker.port)
    try:
        late.wait_for(lambda heard: LAST in {one.topic for one in heard})
        (last,) = late.of(LAST)
        assert json.loads(last.payload)["message_id"] == PAGE_ID
        assert last.retained
        assert not late.of(TONES)  # what happened is told once, and not to those who come later
    finally:
        late.close()
        broker.stop()
