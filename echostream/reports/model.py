"""One day of a gateway, as the report has it. Lengths in seconds, moments in Unix microseconds."""

from __future__ import annotations

from dataclasses import dataclass

from echostream.reports.spans import Span, hours_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the index has of one source. gaps: times without audio that were meant to have some."""

    recordings: int = 0
    recorded_s: float = 0.0
    bytes: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    missing: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelDay:
    """One channel. talk_s: this gateway's own transmissions; heard_s: somebody else talked. up_s: it was
    online; outages: times that it went offline while the gateway ran. card_away_s: its sound card was gone.
    recorded: None where the index was not asked, or has nothing of it. by_hour: seconds of each hour."""

    channel_id: str
    name: str
    pages: int
    tones: int
    transmissions: int
    talk_s: float
    timed_out: int
    overs: int
    heard_s: float
    up_s: float
    outages: int
    card_away_s: float
    card_outages: int
    recorded: Recorded | None
    talk_by_hour: tuple[float, ...]
    heard_by_hour: tuple[float, ...]
    online: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class DeviceDay:
    """One microphone. up_s: it was connected; outages: times that it went while the gateway ran."""

    name: str
    label: str
    known: bool
    up_s: float
    connections: int
    outages: int
    recorded: Recorded | None
    present: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class PageHeard:
    """One page."""

    at_us: int
    channel_id: str
    tone_id: str
    name: str
    alert: str


@dataclass(frozen=True, slots=True)
class LinkDay:
    """A way out: server, mqtt, s3."""

    name: str
    up_s: float
    outages: int
    up: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Uploaded:
    """Recordings that reached the bucket. at_risk: alarms that some would have to go unsent."""

    recordings: int = 0
    bytes: int = 0
    at_risk: int = 0


@dataclass(frozen=True, slots=True)
class AlertDay:
    """What one rule did."""

    rule: str
    on: str
    raised: int
    recovered: int
    acknowledged: int
    undelivered: int


@dataclass(frozen=True, slots=True)
class Acts:
    """What people did: admin are changes on the machine, commands came from elsewhere."""

    admin: int = 0
    commands: int = 0
    commands_refused: int = 0


@dataclass(frozen=True, slots=True)
class DayReport:
    """date: YYYY-MM-DD by the gateway's clock, from begin to end; until: how far it had come when this was
    made. ran: when the gateway ran. pages: the first of them, pages_heard is how many there were. events: how
    many were read. recordings_known: whether the index was asked."""

    gateway: str
    date: str
    begin_us: int
    end_us: int
    until_us: int
    made_us: int
    ran_s: float
    starts: int
    crashes: int
    ran: tuple[Span, ...]
    channels: tuple[ChannelDay, ...]
    devices: tuple[DeviceDay, ...]
    strangers: int
    pages: tuple[PageHeard, ...]
    pages_heard: int
    pages_by_hour: tuple[int, ...]
    links: tuple[LinkDay, ...]
    uploaded: Uploaded
    alerts: tuple[AlertDay, ...]
    acts: Acts
    worker_failures: int
    recordings_known: bool
    events: int

    @property
    def length_s(self) -> float:
        """Of the day, or of what has passed of it."""
        return max(0, self.until_us - self.begin_us) / 1e6

    @property
    def hours(self) -> int:
        """24; on the days on which the clocks change 23 or 25."""
        return hours_of(self.begin_us, self.end_us)
