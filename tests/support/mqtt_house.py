"""A publisher under test, with messages so plain that a test can say what it expects."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from echostream.config.models import Config
from echostream.events import CommandAsked, Event, LinkChanged
from echostream.mqtt.message import Message
from echostream.mqtt.messages import Messages
from echostream.mqtt.mqtt_publisher import MqttPublisher
from echostream.network.backoff import Backoff
from echostream.notices.notice import Notice, Weight
from echostream.vitals.model import Vitals


def config(port: int, **mqtt: Any) -> Config:
    """A gateway "gw" with four channels, and a broker on this machine without TLS."""
    section = {"enabled": True, "host": "127.0.0.1", "port": port, "tls": None, **mqtt}
    return Config.model_validate(
        {
            "gateway": {"id": "gw", "affiliation_id": "gw"},
            "control_server": {"url": "ws://127.0.0.1:1/"},
            "channels": [{"id": name, "card": name} for name in ("fire", "ems", "police", "water")],
            "mqtt": section,
        }
    )


class PlainMessages(Messages):
    """Of a notice: an event on `events/CHANNEL`; of kind "channel" a state, of kind "transmission" telemetry,
    on the topic that its subject says. The payload is the text."""

    def of_notice(self, notice: Notice) -> list[Message]:
        payload = notice.text.encode()
        if notice.kind == "channel":
            return [Message(notice.subject, payload, "state", retain=True)]
        if notice.kind == "transmission":
            return [Message(notice.subject, payload, "telemetry", qos=0)]
        topic = notice.subject or f"events/{notice.channel_id}"
        weight, at_us = int(notice.weight), notice.at_us
        return [
            Message(topic, payload, "event", 1, False, notice.channel_id, weight, at_us, message_id=notice.id)
        ]

    def of_vitals(self, vitals: Vitals) -> list[Message]:
        return []

    def birth(self) -> list[Message]:
        return [Message("status", b"online", "state", retain=True, content_type="text/plain")]

    def will(self) -> Message:
        return Message("status", b"offline", "state", retain=True, content_type="text/plain")


def event(text: str, channel: str = "fire", weight: Weight = Weight.EVENT, subject: str = "") -> Notice:
    return Notice("tone", 1_700_000_000_000_000, text, channel, subject, weight)


def state(topic: str, text: str) -> Notice:
    return Notice("channel", 1_700_000_000_000_000, text, subject=topic)


def telemetry(topic: str, text: str) -> Notice:
    return Notice("transmission", 1_700_000_000_000_000, text, subject=topic)


class House:
    """A running publisher, and what it posted."""

    def __init__(
        self, folder: Path, configuration: Config, password: str | None, plain: bool, quick: bool = True
    ) -> None:
        """quick: tries again at once, and not as in the field."""
        self.posted: list[Event] = []
        self.spool = folder / "mqtt.sqlite3"
        self.publisher = MqttPublisher(
            configuration,
            password,
            self.spool,
            self.posted.append,
            PlainMessages(configuration) if plain else None,
            Backoff(0.05, 0.2, 0.1) if quick else None,
        )

    def start(self) -> None:
        for worker in self.publisher.workers:
            worker.start()

    def stop(self, most_s: float = 2.5) -> None:
        began_s = time.monotonic()
        for worker in self.publisher.workers:
            worker.request_stop()
        ended = [worker.join(10) for worker in self.publisher.workers]
        took_s = time.monotonic() - began_s
        assert all(ended), "a thread has not ended"
        assert took_s < most_s, f"the stop took {took_s:.2f} s"

    def tell(self, *notices: Notice) -> None:
        for notice in notices:
            self.publisher.take(notice)

    @property
    def links(self) -> list[tuple[bool, str]]:
        return [(one.up, one.detail) for one in self.posted if isinstance(one, LinkChanged)]

    @property
    def commands(self) -> list[CommandAsked]:
        return [one for one in self.posted if isinstance(one, CommandAsked)]

    def wait(self, found: Callable[[], object], timeout_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while not found():
            assert time.monotonic() < deadline_s, f"{self.posted}, {self.publisher.link()}"
            time.sleep(0.01)

    def cut(self) -> None:
        """The connection is gone, without a goodbye."""
        stream = self.publisher._link._stream
        assert stream is not None
        assert stream._sock is not None
        stream._sock.shutdown(socket.SHUT_RDWR)

    def wait_up(self) -> None:
        self.wait(lambda: self.publisher.link().up)  # type: ignore[union-attr]

    def wait_down(self, detail: str) -> None:
        """It is, or was for a moment that nobody saw."""

        def seen() -> bool:
            link = self.publisher.link()
            assert link is not None
            now = not link.up and detail in link.detail
            return now or any(detail in why for up, why in self.links if not up)

        self.wait(seen)

    def wait_empty(self) -> None:
        """Nothing waits, on the disk neither."""
        self.wait(lambda: self.publisher.link().waiting == 0)  # type: ignore[union-attr]


@contextmanager
def house(
    folder: Path,
    port: int,
    *,
    password: str | None = None,
    plain: bool = True,
    start: bool = True,
    settings: Mapping[str, Any] | None = None,
) -> Iterator[House]:
    """Started, and stopped within its time."""
    running = House(folder, config(port, **(settings or {})), password, plain)
    if start:
        running.start()
    try:
        yield running
    finally:
        running.stop()


def trusting(ca: Path) -> ssl.SSLContext:
    """For a subscriber."""
    return ssl.create_default_context(cafile=str(ca))
