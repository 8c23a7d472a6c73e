"""Events to MQTT subscribers.

    take, look ─> Inbox ─> thread `mqtt`: Messages ─> Outbox (events: on the disk) ─> `mqtt-link` ─> broker

Two threads, so that what happened is on the disk at once, however long a broker keeps the other waiting.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from echostream.config.models import Config
from echostream.coordinator.worker import Worker
from echostream.events import CommandAsked, Post
from echostream.mqtt.commands import Refused
from echostream.mqtt.inbox import Answered, Connected, Inbox
from echostream.mqtt.link import Greeting, MqttLink
from echostream.mqtt.message import Message
from echostream.mqtt.messages import Messages
from echostream.mqtt.outbox import Outbox
from echostream.mqtt.pace import Bucket, CommandPace
from echostream.network.backoff import Backoff
from echostream.notices.notice import Notice
from echostream.spool.kept_spool import KeptSpool
from echostream.vitals.model import LinkVitals, Vitals

if TYPE_CHECKING:
    from echostream.mqtt.connection import Received

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
STOP_S: Final = 2.0
REFUSALS_BURST: Final = 30.0
REFUSALS_PER_SECOND: Final = 10.0


class MqttPublisher(Worker):
    """Thread `mqtt`."""

    def __init__(
        self,
        config: Config,
        password: str | None,
        spool: Path,
        post: Post,
        messages: Messages | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        """messages, backoff: for tests."""
        super().__init__("mqtt", post)
        mqtt = config.mqtt
        self._config = config
        if messages is not None:
            self._messages = messages
        self._inbox = Inbox()
        self._spool = KeptSpool(spool, int(mqtt.outbox_mb * 1e6))
        self._link = MqttLink(mqtt, mqtt.client_id or config.gateway.id, password, post, backoff)
        self._outbox = Outbox(self._spool, self._link.wake)
        self._link.serve(self._outbox, self._inbox.connected, self._inbox.received)
        self._pace = CommandPace()
        self._refusals = Bucket(REFUSALS_BURST, REFUSALS_PER_SECOND)
        self._oldest_s = 0.0

    @property
    def workers(self) -> Sequence[Worker]:
        return [self, self._link]

    def take(self, notice: Notice) -> None:
        """Told what happened. Any thread, never blocks."""
        self._inbox.take(notice)

    def look(self, vitals: Vitals) -> None:
        """Told how the gateway is, about once a second. Any thread, never blocks."""
        self._inbox.look(vitals)

    def link(self) -> LinkVitals | None:
        """How this way out is."""
        link, spool, waiting = self._link, self._spool, self._spool.count
        return LinkVitals(
            "mqtt",
            link.up,
            time.monotonic() - link.since_s,
            waiting,
            self._oldest_s if waiting else 0.0,
            spool.dropped + self._outbox.refused + self._inbox.dropped,
            link.sent,
            spool.bytes_waiting,
            link.detail,
        )

    def _unblock(self) -> None:
        self._inbox.wake()

    # ---- thread mqtt

    @cached_property
    def _messages(self) -> Messages:
        """Made here: it takes a while where there are many devices, and channels wait for whoever builds
        publishers."""
        return Messages(self._config)

    def _work(self) -> None:
        self._outbox.take(())  # opens the spool, so that its troubles are said at the start
        self._link.greet(Greeting(self._messages.will(), self._messages.subscriptions()))
        try:
            while not self._stopping.is_set():
                self._inbox.wait(LOOK_S)
                self._round()
            self._round()
        finally:
            if self._stopping.is_set():
                self._end()

    def _end(self) -> None:
        """The link says the last words; one that hangs is cut off, so that the end is within its time."""
        self._link.drained.set()
        self._link.wake()
        if not self._link.ended.wait(STOP_S):
            self._link.interrupt()
            self._link.ended.wait(STOP_S)
        self._spool.close()

    def _round(self) -> None:
        """All that came in, as one batch for the disk."""
        now = time.monotonic()
        messages: list[Message] = []
        for one in self._inbox.taken():
            match one:
                case Notice():
                    messages += self._messages.of_notice(one)
                case Connected():
                    messages += self._messages.birth()
                case Answered():
                    self._pace.answered()
                    messages.append(self._messages.answer(one.command, one.ok, one.text))
                case _:
                    messages += self._command(one, now)
        vitals = self._inbox.vitals()
        if vitals is not None:
            messages += self._messages.of_vitals(vitals)
        if messages:
            self._outbox.take(messages)
        self._oldest_s = self._spool.oldest_s

    def _command(self, received: Received, now: float) -> list[Message]:
        asked = self._messages.command(received.topic, received.payload, received.retained)
        if isinstance(asked, Refused):
            return self._refused("a command", asked.reason, list(asked.messages), now)
        where = f" on channel {asked.channel_id}" if asked.channel_id else ""
        why = self._pace.refusal(now)
        if why:
            return self._refused(f"{asked.name}{where}", why, [self._messages.answer(asked, False, why)], now)
        log.info("mqtt: %s asks for %s%s", asked.who, asked.name, where)
        self._post(replace(asked, answer=self._answerer(asked)))
        return []

    def _refused(self, what: str, why: str, messages: list[Message], now: float) -> list[Message]:
        """Answered, unless there are so many that the answers would be a flood too."""
        if why and not self._refusals.take(now):
            return []
        if why:
            log.warning("mqtt: %s is refused: %s", what, why)
        return messages

    def _answerer(self, asked: CommandAsked) -> Answerer:
        return Answerer(asked, self._inbox)


class Answerer:
    """What a command is answered through: any thread, never blocks."""

    def __init__(self, asked: CommandAsked, inbox: Inbox) -> None:
        self._asked = asked
        self._inbox = inbox

    def __call__(self, ok: bool, text: str) -> None:
        self._inbox.answer(self._asked, ok, text)
