"""Everybody who is told what happens: the event log, MQTT, the bucket, people, the daily report.

Events come from the coordinator, each publisher keeps what it has to say on the disk, and none of them can
make the audio wait: `take` puts a notice into a bounded queue and returns.

    coordinator ─Event─> NoticeMaker ─Notice─> EventLog, MqttPublisher, Alerts
                                               (each: queue ─> its thread ─> its spool)
    RecordingsFiled ─> S3Uploader ─RecordingUploaded─> coordinator
    VitalsWatch ─Vitals─> MqttPublisher, Alerts
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from echostream import __version__
from echostream.alerts.alerts import Alerts
from echostream.config.changes import Changes
from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.event_log.event_log import EventLog
from echostream.events import Event, Post, RecordingsFiled
from echostream.mqtt.mqtt_publisher import MqttPublisher
from echostream.notices.maker import NoticeMaker
from echostream.notices.notice import Notice
from echostream.reports.daily import DailyReport
from echostream.uploads.s3_uploader import S3Uploader
from echostream.vitals.model import LinkVitals, Vitals
from echostream.vitals.watch import VitalsWatch

log = logging.getLogger(__name__)

STOP_S: Final = 5.0
SECTIONS: Final = {
    "events": frozenset({"events", "gateway", "recording"}),
    "mqtt": frozenset({"mqtt", "events", "gateway", "esp32"}),
    "s3": frozenset({"s3", "recording", "gateway"}),
    "alerts": frozenset({"alerts", "events", "gateway"}),
    "report": frozenset({"events", "recording", "gateway"}),
}
"""Publisher -> sections of the configuration that it is made of."""


@dataclass(frozen=True, slots=True)
class PublisherSecrets:
    """What the configuration only refers to; never printed. missing: publishers that cannot run without what
    could not be read ("mqtt", "s3")."""

    mqtt_password: str | None = None
    s3_keys: tuple[str, str] | None = None
    alert_urls: Mapping[str, str] = field(default_factory=dict)
    database_url: str | None = None
    missing: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return "PublisherSecrets(…)"


class Publisher(Protocol):
    """What each of them can."""

    @property
    def workers(self) -> Sequence[Worker]: ...

    def take(self, notice: Notice) -> None: ...

    def look(self, vitals: Vitals) -> None: ...

    def link(self) -> LinkVitals | None: ...


class Publishers:
    """Started before the gateway and stopped after it: what its end has to say goes out too."""

    def __init__(
        self,
        config: Config,
        secrets: PublisherSecrets,
        post: Post,
        look: Callable[[Sequence[LinkVitals]], Vitals],
    ) -> None:
        """post: to the coordinator. look: how the gateway is now, from any thread."""
        self._config = config
        self._secrets = secrets
        self._post = post
        self._look = look
        self._maker = NoticeMaker(config)
        self._running: dict[str, Publisher] = {}
        self._replacing: dict[str, threading.Thread] = {}
        self._watch = VitalsWatch(self._vitals, self._looked, post)
        for name in SECTIONS:
            self._build(name)

    def start(self) -> None:
        for worker in self.workers:
            worker.start()
        self.tell(NoticeMaker.gateway("started", __version__))

    def stop(self) -> None:
        """Last words are on the disk, and with the broker if it is there."""
        for thread in self._replacing.values():
            thread.join(2 * STOP_S)
        self.tell(NoticeMaker.gateway("stopped", __version__))
        self._watch.request_stop()
        workers = self.workers
        for worker in workers:
            worker.request_stop()
        _join(workers)

    @property
    def workers(self) -> list[Worker]:
        return [*(worker for one in self._running.values() for worker in one.workers), self._watch]

    def links(self) -> list[LinkVitals]:
        """How the ways out are. Any thread."""
        links = [publisher.link() for publisher in list(self._running.values())]
        return [link for link in links if link is not None]

    def note(self, event: Event, now: float) -> None:
        """An observer of the coordinator: on its thread, and never blocks."""
        if isinstance(event, RecordingsFiled) and "s3" in self._running:
            uploader = self._running["s3"]
            assert isinstance(uploader, S3Uploader)
            uploader.filed(event.recordings)
        for notice in self._maker.notices(event, now):
            self.tell(notice)

    def tell(self, notice: Notice) -> None:
        """Everybody. Any thread, never blocks."""
        for publisher in list(self._running.values()):
            publisher.take(notice)

    def apply(self, config: Config, secrets: PublisherSecrets, changes: Changes) -> None:
        """A new configuration, on the coordinator's thread: publishers that did not change go on."""
        before, self._config, self._secrets = self._secrets, config, secrets
        self._maker.reconfigure(config)
        changed = set(changes.global_changes)
        if changes.channels_added or changes.channels_removed or changes.channels_changed:
            changed.add("channels")
        for name, sections in SECTIONS.items():
            touched = bool(sections & changed) or (name == "mqtt" and "channels" in changed)
            if touched or _secrets_of(name, before) != _secrets_of(name, secrets):
                self._replace(name)

    # ---- inside

    def _vitals(self) -> Vitals:
        return self._look(self.links())

    def _looked(self, vitals: Vitals) -> None:
        for publisher in list(self._running.values()):
            publisher.look(vitals)

    def _replace(self, name: str) -> None:
        """The new one takes notices at once, and works when the old one has ended: they share a file, and a
        name at the broker. Not here, where channels would wait for a disk."""
        old = self._running.pop(name, None)
        self._build(name)
        new, before = self._running.get(name), self._replacing.get(name)

        def hand_over() -> None:
            if before is not None:
                before.join()
            if old is not None:
                for worker in old.workers:
                    worker.request_stop()
                _join(old.workers)
            if new is not None:
                for worker in new.workers:
                    worker.start()

        self._replacing[name] = threading.Thread(target=hand_over, name=f"replace-{name}")
        self._replacing[name].start()

    def _build(self, name: str) -> None:
        publisher = self._made(name)
        if publisher is not None:
            self._running[name] = publisher

    def _made(self, name: str) -> Publisher | None:
        config, secrets = self._config, self._secrets
        directory = Path(config.events.directory)
        if name in secrets.missing:
            return None
        match name:
            case "events":
                return EventLog(
                    config.events, config.recording, config.gateway.id, secrets.database_url, self._post
                )
            case "mqtt" if config.mqtt.enabled:
                return MqttPublisher(config, secrets.mqtt_password, directory / "mqtt.sqlite3", self._post)
            case "s3" if config.s3.enabled:
                return S3Uploader(
                    config.s3,
                    config.recording,
                    config.gateway.id,
                    secrets.s3_keys,
                    secrets.database_url,
                    self._post,
                )
            case "alerts" if config.alerts.enabled:
                return Alerts(
                    config.alerts,
                    config.gateway,
                    secrets.alert_urls,
                    directory / "alerts.sqlite3",
                    self.tell,
                    self._post,
                )
            case "report" if config.events.report_at is not None:
                return DailyReport(config, secrets.database_url, self._post)
        return None


def _join(workers: Sequence[Worker]) -> None:
    for worker in workers:
        if not worker.join(STOP_S):
            log.error("worker %s has not ended after %.1f s", worker.name, STOP_S)


def _secrets_of(name: str, secrets: PublisherSecrets) -> object:
    return {
        "events": secrets.database_url,
        "mqtt": secrets.mqtt_password,
        "s3": (secrets.s3_keys, secrets.database_url),
        "alerts": dict(secrets.alert_urls),
        "report": secrets.database_url,
    }[name]
