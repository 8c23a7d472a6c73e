"""The typed, frozen events that the coordinator carries. Audio frames never travel here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from echostream.tones.heard import Detection, NearMiss


class Opener(StrEnum):
    """What can open a channel's valve."""

    BUTTON = "button"
    COS = "cos"
    VOX = "vox"
    TALK = "talk"
    PASSTHROUGH = "passthrough"
    DEVICE = "device"
    """The voice at a network microphone."""
    STREAM = "stream"
    """A network microphone that is always on the air."""
    PAGE = "page"
    """A page that was ordered from elsewhere."""


class Direction(StrEnum):
    """Which half of a card an event speaks of."""

    CAPTURE = "capture"
    PLAYBACK = "playback"


@dataclass(frozen=True, slots=True)
class Member:
    """One user of a channel, as the control server describes it. `since_s`: Unix seconds, 0 when not told."""

    affiliation_id: str
    user_name: str
    agency_name: str
    since_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PttChanged:
    """A way to open the valve became active or inactive. `at_s`: monotonic seconds of the edge."""

    channel_id: str
    opener: Opener
    active: bool
    at_s: float


@dataclass(frozen=True, slots=True)
class SignallingUp:
    """The WebSocket is open; the server's offer follows."""


@dataclass(frozen=True, slots=True)
class SignallingLost:
    """The WebSocket is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class SessionOffered:
    """Where this connection's audio goes. `key`: 32 bytes, or None for the pre-shared one; never printed."""

    udp_host: str
    udp_port: int
    websocket_id: int | str
    key: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class PeersChanged:
    """Who is on a channel now. `channel_id` is "" when the server's form does not name it."""

    channel_id: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class RemoteTransmit:
    """Another member started or ended a transmission."""

    channel_id: str
    member: Member
    started: bool


@dataclass(frozen=True, slots=True)
class ServerRefused:
    """The server answered with an error."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ServerDraining:
    """The server shuts down: move elsewhere before it goes. `terminated`: it goes now."""

    terminated: bool


@dataclass(frozen=True, slots=True)
class OutboxOverflowed:
    """Signalling messages were dropped: the whole state must be sent again."""


@dataclass(frozen=True, slots=True)
class TransmitAnnounced:
    """transmit_started of this transmission has left the socket (or could not: `sent` is False)."""

    channel_id: str
    transmission: int
    sent: bool


@dataclass(frozen=True, slots=True)
class TransmitDrained:
    """The last packet of this transmission was handed to the network."""

    channel_id: str
    transmission: int


@dataclass(frozen=True, slots=True)
class PlaybackChanged:
    """Network audio began or ended on a channel's loudspeaker."""

    channel_id: str
    playing: bool


@dataclass(frozen=True, slots=True)
class SourceChanged:
    """A card or stream of a channel went away or came back."""

    channel_id: str
    direction: Direction
    present: bool
    detail: str


@dataclass(frozen=True, slots=True)
class DeviceChange:
    """A device over the network came (present) or went. name, label, address: as its stream has them.

    stream: the number of the connection. detail: for people: how it is read, or why it went.
    """

    name: str
    label: str
    address: str
    present: bool
    stream: int
    detail: str
    known: bool = True
    quarantined: bool = False


@dataclass(frozen=True, slots=True)
class DevicesChanged:
    """Devices came and went, oldest change first. Many in one event: a thousand of them may lose their power
    at once, and the mailbox holds 256."""

    changes: tuple[DeviceChange, ...]


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """A worker thread ended with an error; its owner restarts it."""

    name: str
    error: str


@dataclass(frozen=True, slots=True)
class ToneDetected:
    """A page, a call or another tone was heard on a channel.

    started_at_s, ended_at_s: Unix seconds of its edges (`ended`: the last one known when it was decided).
    position: index of the channel's captured sample (48 kHz) at which it began. name: what people call it;
    record_length_s, priority: of its definition, 0 where there is none.
    """

    channel_id: str
    detection: Detection
    started_at_s: float
    ended_at_s: float
    position: int
    name: str
    alert: str = ""
    record_length_s: float = 0.0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ToneMissed:
    """Something nearly was a page; the reason is in `miss`. started_at_s: Unix seconds."""

    channel_id: str
    miss: NearMiss
    started_at_s: float


@dataclass(frozen=True, slots=True)
class PassthroughChanged:
    """What follows a page on one channel is passed on to another, from now on, for longer, or no more.

    remaining_s: 0 when it ended, for `reason`.
    """

    source_id: str
    target_id: str
    tone_id: str
    name: str
    remaining_s: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordingClosed:
    """A recording is whole. started_at_s: Unix seconds of its first sample; error: why it ended early.

    pages: tone_id and start (Unix microseconds) of each page in it. trigger: as in archive.recording.
    """

    channel_id: str
    path: str
    tone_ids: tuple[str, ...]
    started_at_s: float
    duration_s: float
    error: str = ""
    pages: tuple[tuple[str, int], ...] = ()
    trigger: str = "page"


@dataclass(frozen=True, slots=True)
class RecordingFiled:
    """A recording has the form in which it is kept. path: of the file, absolute; started_at_s: Unix seconds.

    recording: its id; kind: channel, network, device or quarantine. pages: tone_id and start (Unix
    microseconds) of each page in it. trigger: why it was made, as in archive.recording.
    """

    path: str
    recording: str
    source: str
    kind: str
    tone_ids: tuple[str, ...]
    started_at_s: float
    duration_s: float
    sha256: str
    pages: tuple[tuple[str, int], ...] = ()
    channel_id: str = ""
    trigger: str = ""


@dataclass(frozen=True, slots=True)
class RecordingsFiled:
    """Several in one: a thousand sources end their files at the same moment."""

    recordings: tuple[RecordingFiled, ...]


@dataclass(frozen=True, slots=True)
class RecordingAtRisk:
    """Recordings that still have to be uploaded will soon be deleted, for `reason`, unless they are sent.

    paths: the oldest of them; recordings, bytes: of all. at_s, until_s: Unix seconds of the alarm, and before
    which none is deleted.
    """

    paths: tuple[str, ...]
    recordings: int
    bytes: int
    reason: str
    at_s: float
    until_s: float


@dataclass(frozen=True, slots=True)
class TransmissionChanged:
    """This gateway began or ended to transmit on a channel. openers: who holds, or held, the valve.

    lasted_s: of one that ended; why: "released", "time-out", "card", "offline", "muted" or "removed".
    """

    channel_id: str
    active: bool
    openers: tuple[Opener, ...]
    lasted_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class ChannelOnline:
    """A channel can talk with others, or no more."""

    channel_id: str
    online: bool


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """A way out came or went: "mqtt" or "s3". detail: why it is down; when it is up: where to."""

    link: str
    up: bool
    detail: str


@dataclass(frozen=True, slots=True)
class RecordingUploaded:
    """A recording is in the bucket, checked. key: its name there; url: s3://bucket/key. times and pages as in
    RecordingFiled."""

    recording: str
    path: str
    source: str
    kind: str
    channel_id: str
    tone_ids: tuple[str, ...]
    started_at_s: float
    duration_s: float
    bucket: str
    key: str
    bytes: int
    pages: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class CommandAsked:
    """Somebody from outside asks for something. name: page_out, volume, mute, record or reload.

    channel_id: "" for all or none. values, checked by whoever handles it: page_out tone_id, wait_s; volume
    gain_db; mute what ("microphone" or "loudspeaker"), muted; record seconds. who: where it came from.
    answer(ok, text): called once, from the coordinator's thread, when it is done or refused.
    """

    name: str
    channel_id: str
    values: Mapping[str, object]
    who: str
    answer: Callable[[bool, str], None] = field(repr=False, compare=False, default=lambda ok, text: None)


@dataclass(frozen=True, slots=True)
class CommandDone:
    """What came of a command: for the event log. before, after: of what it changed."""

    name: str
    channel_id: str
    who: str
    ok: bool
    text: str
    before: object = None
    after: object = None


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """A new configuration is in force. sections: name -> what it was and is now, as it may be shown."""

    text: str
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class LastGoodTaken:
    """This gateway did not start with the configuration that was asked for, but with the last that worked."""

    why: str


@dataclass(frozen=True, slots=True)
class ReloadRequested:
    """Read the configuration again and apply what changed."""


@dataclass(frozen=True, slots=True)
class ReloadEnded:
    """The configuration was read again, for whoever asked. not ok: text says why the old one stays."""

    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class ShutdownRequested:
    """Stop in order."""

    reason: str


Event = (
    PttChanged
    | SignallingUp
    | SignallingLost
    | SessionOffered
    | PeersChanged
    | RemoteTransmit
    | ServerRefused
    | ServerDraining
    | OutboxOverflowed
    | TransmitAnnounced
    | TransmitDrained
    | PlaybackChanged
    | SourceChanged
    | DevicesChanged
    | WorkerFailed
    | ToneDetected
    | ToneMissed
    | PassthroughChanged
    | RecordingClosed
    | RecordingsFiled
    | RecordingAtRisk
    | RecordingUploaded
    | TransmissionChanged
    | ChannelOnline
    | LinkChanged
    | CommandAsked
    | CommandDone
    | ConfigurationChanged
    | LastGoodTaken
    | ReloadRequested
    | ReloadEnded
    | ShutdownRequested
)

Post = Callable[[Event], None]
"""How a thread hands an event to the coordinator: never blocks."""
