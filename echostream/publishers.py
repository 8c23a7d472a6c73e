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
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

from echostream import __version__
from echostream.alerts.alerts import Alerts
from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.event_log.event_log import EventLog
from echostream.events import Event, Post, RecordingsFiled, WorkerFailed
from echostream.mqtt.mqtt_publisher import MqttPublisher
from echostream.notices.maker import NoticeMaker
from echostream.notices.notice import Notice
from echostream.reports.daily import DailyReport
from echostream.uploads.s3_uploader import S3Uploader
from echostream.vitals.model import LinkVitals, Vitals
from echostream.vitals.watch import VitalsWatch

log = logging.getLogger(__name__)

T = TypeVar("T")

STOP_S: Final = 5.0
"""All of them together have so long to say their last words."""
NAMES: Final = ("events", "mqtt", "s3", "alerts", "report")


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
        self._failed: set[str] = set()
        for name in NAMES:
            self._build(name)

    def start(self) -> None:
        for worker in self.workers:
            worker.start()
        self.tell(NoticeMaker.gateway("started", __version__))

    def stop(self) -> None:
        """Last words are on the disk, and with the broker if it is there."""
        until_s = time.monotonic() + STOP_S
        for thread in self._replacing.values():
            thread.join(max(0.0, until_s - time.monotonic()))
        self.tell(NoticeMaker.gateway("stopped", __version__))
        self._watch.request_stop()
        workers = self.workers
        _end(workers)

    @property
    def workers(self) -> list[Worker]:
        return [*(worker for one in self._running.values() for worker in one.workers), self._watch]

    def links(self) -> list[LinkVitals]:
        """How the ways out are. Any thread."""
        links = [publisher.link() for publisher in list(self._running.values())]
        return [link for link in links if link is not None]

    @property
    def log_stats(self) -> dict[str, int | str]:
        """Counters of the event log, for the summary."""
        log_of_events = self._running.get("events")
        return log_of_events.stats if isinstance(log_of_events, EventLog) else {}

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
        for name, publisher in list(self._running.items()):
            self._guarded(name, publisher.take, notice)

    def apply(self, config: Config, secrets: PublisherSecrets) -> None:
        """A new configuration, on the coordinator's thread: publishers that did not change go on."""
        before = {name: _made_of(name, self._config, self._secrets) for name in NAMES}
        self._config, self._secrets = config, secrets
        self._maker.reconfigure(config)
        for name in NAMES:
            if before[name] != _made_of(name, config, secrets):
                self._replace(name)

    # ---- inside

    def _vitals(self) -> Vitals:
        return self._look(self.links())

    def _looked(self, vitals: Vitals) -> None:
        for name, publisher in list(self._running.items()):
            self._guarded(name, publisher.look, vitals)

    def _guarded(self, name: str, tell: Callable[[T], None], what: T) -> None:
        """A publisher that trips over a bug of ours must not keep the others from being told."""
        try:
            tell(what)
        except Exception as error:
            if name not in self._failed:  # once: it may be so with each
                self._failed.add(name)
                log.exception("%s cannot be told: this is a bug; the others go on", name)
                self._post(WorkerFailed(name, f"{type(error).__name__}: {error}"))

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
                _end(old.workers)
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


def _end(workers: Sequence[Worker]) -> None:
    """All of them at once, within STOP_S."""
    for worker in workers:
        worker.request_stop()
    until_s = time.monotonic() + STOP_S
    for worker in workers:
        if not worker.join(max(0.0, until_s - time.monotonic())):
            log.error("worker %s has not ended after %.1f s", worker.name, STOP_S)


def _made_of(name: str, config: Config, secrets: PublisherSecrets) -> tuple[object, ...]:
    """What a publisher reads: it is made anew where this is another."""
    missing, database, place = name in secrets.missing, secrets.database_url, config.events.directory
    recording, gateway = config.recording, config.gateway
    match name:
        case "events":
            return config.events, recording, gateway.id, database
        case "mqtt":
            pages = config.tones if config.mqtt.commands.page_out else None
            site = (config.channels, config.esp32, config.s3.enabled, gateway, pages)
            return missing, config.mqtt, secrets.mqtt_password, place, site
        case "s3":
            return missing, config.s3, secrets.s3_keys, recording, gateway.id, database
        case "alerts":
            return missing, config.alerts, gateway, dict(secrets.alert_urls), place
    return config.events, recording, gateway, config.channels, config.esp32, database
