"""What an event of the coordinator means to those who are told; docs/events.md has each kind and its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Literal

from echostream.config.models import Config
from echostream.events import (
    ChannelOnline,
    CommandDone,
    ConfigurationChanged,
    DeviceChange,
    DevicesChanged,
    Event,
    LastGoodTaken,
    LinkChanged,
    PassthroughChanged,
    RecordingAtRisk,
    RecordingClosed,
    RecordingsFiled,
    RecordingUploaded,
    RemoteTransmit,
    ServerDraining,
    ServerRefused,
    SignallingLost,
    SignallingUp,
    SourceChanged,
    ToneDetected,
    ToneMissed,
    TransmissionChanged,
    WorkerFailed,
)
from echostream.notices import recordings, tones_heard, words
from echostream.notices.differences import as_json, differences
from echostream.notices.notice import Json, Kind, Notice
from echostream.notices.stamp import wall_us
from echostream.notices.strangers import Strangers

MOST_TEXT: Final = 1000
"""Characters of a line for people."""
MOST_TALKERS: Final = 1024
"""Whose end is still to come; a server that names more is not believed."""


class NoticeMaker:
    """Lives as long as the gateway. Not thread-safe: the coordinator's thread.

    What is told twice (a server that is still away) is one notice.
    """

    def __init__(self, config: Config, unix_us: Callable[[], int] = wall_us) -> None:
        self._unix_us = unix_us
        self._connected: bool | None = None
        self._server_said = ""
        self._talking: dict[tuple[str, str], RemoteTransmit] = {}
        self._strangers = Strangers()
        self.reconfigure(config)

    def reconfigure(self, config: Config) -> None:
        """What is told from now on is told by a new configuration."""
        self._gateway_id = config.gateway.id
        self._definitions = tones_heard.definitions(config)
        self._channel_of = {one.name: one.channel or "" for one in config.esp32.devices}

    def notices(self, event: Event, now: float) -> list[Notice]:
        """What it means, in order; nothing for most. now: monotonic seconds."""
        return [_in_one_line(notice) for notice in self._made(event, now)]

    @staticmethod
    def gateway(state: Literal["started", "stopped"], version: str, reason: str = "") -> Notice:
        """The gateway starts or stops: told by whoever runs it."""
        text = f"EchoStream {version} {state}" + (f": {reason}" if reason else "")
        data: dict[str, Json] = {"state": state, "version": version, "reason": reason}
        return Notice("gateway", wall_us(), text, data=data)

    # ---- inside

    def _made(self, event: Event, now: float) -> list[Notice]:
        match event:
            case ToneDetected():
                return [tones_heard.heard(event, self._gateway_id, self._definitions)]
            case DevicesChanged(changes):
                return self._devices(changes, now)
            case RecordingsFiled():
                return [recordings.filed(one, self._gateway_id, self._unix_us()) for one in event.recordings]
            case RemoteTransmit():
                return self._talker(event)
            case SignallingUp():
                return self._server(True, "")
            case SignallingLost(reason):
                return [*self._server(False, reason), *self._silenced()]
            case ServerRefused(code, message):
                return self._said(f"it refuses: {code}: {message}" if code else f"it refuses: {message}")
            case ServerDraining(terminated):
                return self._said("it goes now" if terminated else "it is about to go")
        notice = self._one(event)
        return [] if notice is None else [notice]

    def _one(self, event: Event) -> Notice | None:
        match event:
            case ToneMissed():
                return tones_heard.missed(event)
            case PassthroughChanged():
                return self._passthrough(event)
            case TransmissionChanged():
                return self._transmission(event)
            case ChannelOnline(channel_id, online):
                return self._told("channel", words.channel(event), {"online": online}, channel_id)
            case SourceChanged():
                return self._card(event)
            case LinkChanged(name, up, detail):
                data: dict[str, Json] = {"link": name, "up": up, "detail": detail}
                return self._told("link", words.link(event), data, subject=name)
            case RecordingClosed():
                return recordings.closed(event, self._gateway_id, self._unix_us())
            case RecordingUploaded():
                return recordings.uploaded(event, self._gateway_id, self._unix_us())
            case RecordingAtRisk():
                return recordings.at_risk(event)
            case WorkerFailed(name, error):
                text = f"worker {name} failed and is started again: {error}"
                return self._told("worker", text, {"error": error}, subject=name)
            case CommandDone():
                return self._command(event)
            case ConfigurationChanged():
                return self._configuration(event)
            case LastGoodTaken(why):
                done: dict[str, Json] = {"act": "last-good", "why": why}
                return self._told("admin", why, done, subject="configuration")
        return None

    def _told(
        self, kind: Kind, text: str, data: Mapping[str, Json], channel_id: str = "", subject: str = ""
    ) -> Notice:
        return Notice(kind, self._unix_us(), text, channel_id, subject, data=data)

    def _passthrough(self, event: PassthroughChanged) -> Notice:
        data: dict[str, Json] = {
            "target": event.target_id,
            "tone_id": event.tone_id,
            "name": event.name,
            "active": event.remaining_s > 0,
            "remaining_s": round(event.remaining_s, 3),
            "reason": str(event.reason),
        }
        return self._told("passthrough", words.passed(event), data, event.source_id, event.tone_id)

    def _transmission(self, event: TransmissionChanged) -> Notice:
        data: dict[str, Json] = {
            "active": event.active,
            "openers": [str(name) for name in event.openers],
            "lasted_s": round(event.lasted_s, 3),
            "why": event.why,
        }
        return self._told("transmission", words.transmits(event), data, event.channel_id)

    def _card(self, event: SourceChanged) -> Notice:
        direction = str(event.direction)
        data: dict[str, Json] = {"direction": direction, "present": event.present, "detail": event.detail}
        return self._told("card", words.card(event), data, event.channel_id, direction)

    def _command(self, event: CommandDone) -> Notice:
        return Notice(
            "command",
            self._unix_us(),
            words.command(event),
            event.channel_id,
            event.name,
            who=event.who,
            data={"ok": event.ok, "detail": event.text},
            before=as_json(event.before),
            after=as_json(event.after),
        )

    def _configuration(self, event: ConfigurationChanged) -> Notice:
        before, after = differences(event.before, event.after)
        text = f"a new configuration is in force: {event.text}"
        data: dict[str, Json] = {"act": "reload", "sections": list(event.after)}
        return Notice(
            "admin", self._unix_us(), text, subject="configuration", data=data, before=before, after=after
        )

    def _devices(self, changes: tuple[DeviceChange, ...], now: float) -> list[Notice]:
        told, more = self._strangers.told(changes, now)
        notices = [self._device(change) for change in told]
        if more:
            text = f"devices without an entry came or went {more} more times"
            notices.append(self._told("device", text, {"more": more, "known": False}))
        return notices

    def _device(self, change: DeviceChange) -> Notice:
        data: dict[str, Json] = {
            "present": change.present,
            "label": change.label,
            "address": change.address,
            "detail": change.detail,
            "known": change.known,
            "quarantined": change.quarantined,
        }
        channel_id = self._channel_of.get(change.name, "") if change.known else ""
        return self._told("device", words.device(change), data, channel_id, change.name)

    def _talker(self, event: RemoteTransmit) -> list[Notice]:
        key = (event.channel_id, event.member.affiliation_id)
        self._talking.pop(key, None)
        if event.started:
            if len(self._talking) >= MOST_TALKERS:
                self._talking.pop(next(iter(self._talking)))
            self._talking[key] = event
        return [self._talks(event)]

    def _talks(self, event: RemoteTransmit, reason: str = "") -> Notice:
        member = event.member
        data: dict[str, Json] = {
            "affiliation_id": member.affiliation_id,
            "user_name": member.user_name,
            "agency_name": member.agency_name,
            "active": event.started,
            "reason": reason,
        }
        return self._told("talker", words.talks(event), data, event.channel_id, member.affiliation_id)

    def _silenced(self) -> list[Notice]:
        """Who talked when the server went is not heard any more, and nobody will say so."""
        over = [
            RemoteTransmit(event.channel_id, event.member, False) for event in list(self._talking.values())
        ]
        self._talking.clear()
        return [self._talks(event, "the server is gone") for event in over]

    def _server(self, connected: bool, detail: str) -> list[Notice]:
        if connected == self._connected:
            return []
        self._connected, self._server_said = connected, ""
        text = "the control server is reached" if connected else f"the control server is away: {detail}"
        return [self._told("server", text, {"connected": connected, "detail": detail})]

    def _said(self, detail: str) -> list[Notice]:
        """Something that the server says again and again."""
        if detail == self._server_said:
            return []
        self._server_said = detail
        data: dict[str, Json] = {"connected": bool(self._connected), "detail": detail}
        return [self._told("server", f"the control server: {detail}", data)]


def _in_one_line(notice: Notice) -> Notice:
    """What a library says of an error may have many."""
    text = notice.text
    if len(text) <= MOST_TEXT and text.isprintable():
        return notice
    shown = "".join(one if one.isprintable() else " " for one in text)
    return replace(notice, text=" ".join(shown.split())[:MOST_TEXT])
