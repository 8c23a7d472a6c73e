"""From the events of a day to its report. Pure: events in, in the order in which they were written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from echostream.notices.notice import Json, Notice
from echostream.reports.model import (
    Acts,
    AlertDay,
    ChannelDay,
    DayReport,
    DeviceDay,
    LinkDay,
    PageHeard,
    Recorded,
    Uploaded,
)
from echostream.reports.spans import HOUR_US, AnyOf, Signal, hours_of

MOST_PAGES: Final = 1000
"""That are listed; counted are all."""
STOPPING_US: Final = 60_000_000
"""A gateway that stops closes its recordings last; channels, microphones and the server went before."""
MOST_DEVICES: Final = 2000
"""Without an entry: who comes and goes under new names must not fill the report."""
BY_OTHERS: Final = ("admin", "alert")
"""Kinds that somebody may write while no gateway runs."""
MOST_CHANNELS: Final = 256
"""That are told apart; a server may name more. What is left is told together, as OTHERS."""
OTHERS: Final = "(others)"
_SIGNS: Final[Mapping[str, tuple[str, ...]]] = {
    "channel": ("online",),
    "card": ("present",),
    "device": ("present",),
    "server": ("connected",),
    "transmission": ("active",),
}
"""Kind -> what of it only a gateway that runs can say."""
Facts = Mapping[tuple[str, str], Recorded]
"""(kind, source) -> what the index has of it; kind: channel, network, device, quarantine."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Of whom and of when. names: of the channels by id, in order; labels: of microphones with an entry.
    signs: moments at which the gateway was known to run, in order."""

    gateway: str
    date: str
    begin_us: int
    end_us: int
    now_us: int
    names: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    signs: Sequence[int] = ()

    @property
    def until_us(self) -> int:
        return max(self.begin_us, min(self.end_us, self.now_us))


class _Channel:
    def __init__(self, begin_us: int, end_us: int) -> None:
        self.pages = self.tones = self.timed_out = self.overs = 0
        self.online = Signal(begin_us, end_us)
        self.talks = Signal(begin_us, end_us)
        self.heard = AnyOf(begin_us, end_us)
        self.away = AnyOf(begin_us, end_us)

    def finish(self, at_us: int) -> None:
        for signal in (self.online, self.talks, self.heard, self.away):
            signal.finish(at_us)


class _Device:
    def __init__(self, begin_us: int, end_us: int) -> None:
        self.label = ""
        self.known = True
        self.present = Signal(begin_us, end_us)


class DayBuilder:
    """`before` what still held when the day began, then `take` its events, then `finished`."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._channels: dict[str, _Channel] = {}
        self._devices: dict[str, _Device] = {}
        self._links: dict[str, Signal] = {}
        self._ran = self._signal()
        self._starts = self._crashes = self._strangers = 0
        self._pages: list[PageHeard] = []
        self._pages_by_hour = [0] * hours_of(subject.begin_us, subject.end_us)
        self._uploads = [0, 0, 0]
        self._alerts: dict[str, Counter[str]] = {}
        self._alert_on: dict[str, str] = {}
        self._acts: Counter[str] = Counter()
        self._events = self._failures = 0
        self._last_us: int | None = None
        """When the last event happened: the gateway ran until then at least."""
        for channel_id in subject.names:
            self._channel(channel_id)
        for name in subject.labels:
            self._device(name)

    def before(self, notice: Notice) -> None:
        """Something that held when the day began."""
        self._states(notice)
        if notice.kind not in BY_OTHERS:
            self._last_us = notice.at_us if self._last_us is None else max(self._last_us, notice.at_us)

    def take(self, notice: Notice) -> None:
        """The next event of the day."""
        self._events += 1
        self._states(notice)
        self._counts(notice)
        if notice.kind not in BY_OTHERS:
            self._last_us = notice.at_us

    def finished(self, facts: Facts | None, died_us: int | None = None) -> DayReport:
        """facts: what the index has; None: it was not asked. died_us: when the gateway, which still ran by
        what the log says, did so no more. Once."""
        subject = self._subject
        died = died_us is not None and died_us < subject.until_us and self._ran.on
        self._crashes += died and died_us is not None and died_us >= subject.begin_us
        self._stopped(died_us if died and died_us is not None else subject.until_us)
        return DayReport(
            gateway=subject.gateway,
            date=subject.date,
            begin_us=subject.begin_us,
            end_us=subject.end_us,
            until_us=subject.until_us,
            made_us=subject.now_us,
            ran_s=self._ran.total_us / 1e6,
            starts=self._starts,
            crashes=self._crashes,
            ran=tuple(self._ran.spans),
            channels=tuple(self._channel_day(name, one, facts) for name, one in self._channels.items()),
            devices=tuple(self._device_day(name, one, facts) for name, one in self._devices.items()),
            strangers=self._strangers,
            pages=tuple(self._pages),
            pages_heard=sum(channel.pages for channel in self._channels.values()),
            pages_by_hour=tuple(self._pages_by_hour),
            links=tuple(
                LinkDay(name, one.total_us / 1e6, one.ended, tuple(one.spans))
                for name, one in self._links.items()
            ),
            uploaded=Uploaded(*self._uploads),
            alerts=tuple(self._alert_day(rule) for rule in self._alerts),
            acts=Acts(self._acts["admin"], self._acts["command"], self._acts["refused"]),
            worker_failures=self._failures,
            recordings_known=facts is not None,
            events=self._events,
        )

    # ---- what holds for some time

    def _states(self, notice: Notice) -> None:
        at_us, data = notice.at_us, notice.data
        if any(data.get(key) is True for key in _SIGNS.get(notice.kind, ())):
            self._ran.set(True, at_us)  # whatever the log has lost of its start
        match notice.kind:
            case "gateway":
                self._gateway(data.get("state") == "started", at_us)
            case "channel":
                self._channel(notice.channel_id).online.set(bool(data.get("online")), at_us)
            case "transmission":
                self._channel(notice.channel_id).talks.set(bool(data.get("active")), at_us)
            case "talker":
                who = _text(data, "affiliation_id")
                self._channel(notice.channel_id).heard.set(who, bool(data.get("active")), at_us)
            case "card":
                half = _text(data, "direction")
                self._channel(notice.channel_id).away.set(half, not data.get("present"), at_us)
            case "server":
                self._link("server").set(bool(data.get("connected")), at_us)
            case "link":
                self._link(_text(data, "link")).set(bool(data.get("up")), at_us)
            case "device":
                self._device_told(notice)

    def _gateway(self, started: bool, at_us: int) -> None:
        """One that starts without having stopped was killed, some time after the last thing it said."""
        if self._ran.on and started:
            signs = [sign for sign in self._subject.signs if sign <= at_us][-1:]
            ended_us = min(
                at_us, max([*signs, *([] if self._last_us is None else [self._last_us])], default=at_us)
            )
            self._crashes += self._subject.begin_us <= ended_us
            self._stopped(ended_us)
        if not started:
            for signal in self._that_fail():
                signal.forgive(at_us - STOPPING_US)
            self._stopped(at_us)
            return
        self._starts += self._subject.begin_us <= at_us
        self._ran.set(True, at_us)

    def _stopped(self, at_us: int) -> None:
        """With the gateway everything ends, and that is no outage of its own."""
        for signal in (self._ran, *self._links.values(), *(one.present for one in self._devices.values())):
            signal.finish(at_us)
        for channel in self._channels.values():
            channel.finish(at_us)

    def _that_fail(self) -> Iterator[Signal]:
        """Whose end is an outage."""
        yield from (channel.online for channel in self._channels.values())
        yield from (device.present for device in self._devices.values())
        yield from self._links.values()

    def _device_told(self, notice: Notice) -> None:
        data = notice.data
        known = bool(data.get("known"))
        if not notice.subject or (notice.subject not in self._devices and not self._place_for(known)):
            more = data.get("more", 1)
            self._strangers += more if isinstance(more, int) else 1
            return
        device = self._device(notice.subject)
        device.known = known
        device.label = _text(data, "label") or device.label
        device.present.set(bool(data.get("present")), notice.at_us)

    def _place_for(self, known: bool) -> bool:
        return known or len(self._devices) < MOST_DEVICES

    # ---- what is counted

    def _counts(self, notice: Notice) -> None:
        data = notice.data
        match notice.kind:
            case "page":
                self._page(notice)
            case "tone":
                self._channel(notice.channel_id).tones += 1
            case "transmission":
                self._channel(notice.channel_id).timed_out += data.get("why") == "time-out"
            case "talker":
                self._channel(notice.channel_id).overs += bool(data.get("active"))
            case "upload":
                size = data.get("bytes", 0)
                self._uploads[0] += 1
                self._uploads[1] += size if isinstance(size, int) else 0
            case "at_risk":
                self._uploads[2] += 1
            case "alert":
                rule = _text(data, "rule") or notice.subject
                self._alerts.setdefault(rule, Counter())[_text(data, "state")] += 1
                self._alert_on[rule] = _text(data, "on")
            case "admin":
                self._acts["admin"] += 1
            case "command":
                self._acts["command"] += 1
                self._acts["refused"] += not data.get("ok")
            case "worker":
                self._failures += 1

    def _page(self, notice: Notice) -> None:
        data, hours = notice.data, self._pages_by_hour
        self._channel(notice.channel_id).pages += 1
        hour = (notice.at_us - self._subject.begin_us) // HOUR_US
        hours[min(max(hour, 0), len(hours) - 1)] += 1
        if len(self._pages) < MOST_PAGES:
            told = _text(data, "tone_id") or notice.subject, _text(data, "name"), _text(data, "alert")
            self._pages.append(PageHeard(notice.at_us, notice.channel_id, *told))

    # ---- inside

    def _signal(self) -> Signal:
        return Signal(self._subject.begin_us, self._subject.end_us)

    def _channel(self, channel_id: str) -> _Channel:
        if channel_id not in self._channels and len(self._channels) >= MOST_CHANNELS:
            channel_id = OTHERS
        if channel_id not in self._channels:
            self._channels[channel_id] = _Channel(self._subject.begin_us, self._subject.end_us)
        return self._channels[channel_id]

    def _device(self, name: str) -> _Device:
        if name not in self._devices:
            self._devices[name] = _Device(self._subject.begin_us, self._subject.end_us)
        return self._devices[name]

    def _link(self, name: str) -> Signal:
        return self._links.setdefault(name, self._signal())

    def _channel_day(self, channel_id: str, one: _Channel, facts: Facts | None) -> ChannelDay:
        heard, away = one.heard.signal, one.away.signal
        return ChannelDay(
            channel_id=channel_id,
            name=self._subject.names.get(channel_id, "") or channel_id,
            pages=one.pages,
            tones=one.tones,
            transmissions=one.talks.began,
            talk_s=one.talks.total_us / 1e6,
            timed_out=one.timed_out,
            overs=one.overs,
            heard_s=heard.total_us / 1e6,
            up_s=one.online.total_us / 1e6,
            outages=one.online.ended,
            card_away_s=away.total_us / 1e6,
            card_outages=away.began,
            recorded=_recorded(facts, ("channel", channel_id)),
            talk_by_hour=tuple(one.talks.by_hour),
            heard_by_hour=tuple(heard.by_hour),
            online=tuple(one.online.spans),
        )

    def _device_day(self, name: str, one: _Device, facts: Facts | None) -> DeviceDay:
        return DeviceDay(
            name=name,
            label=one.label or self._subject.labels.get(name, ""),
            known=one.known,
            up_s=one.present.total_us / 1e6,
            connections=one.present.began,
            outages=one.present.ended,
            recorded=_recorded(facts, ("device", name), ("quarantine", name)),
            present=tuple(one.present.spans),
        )

    def _alert_day(self, rule: str) -> AlertDay:
        count = self._alerts[rule]
        states = ("raised", "recovered", "acknowledged", "undelivered")
        return AlertDay(rule, self._alert_on[rule], *(count[state] for state in states))


def _recorded(facts: Facts | None, *keys: tuple[str, str]) -> Recorded | None:
    return None if facts is None else next((facts[key] for key in keys if key in facts), None)


def _text(data: Mapping[str, Json], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""
