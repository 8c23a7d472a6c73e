"""What happened in one line, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from echostream.events import (
    ChannelOnline,
    CommandDone,
    DeviceChange,
    LinkChanged,
    Opener,
    PassthroughChanged,
    RecordingAtRisk,
    RecordingUploaded,
    RemoteTransmit,
    SourceChanged,
    ToneDetected,
    ToneMissed,
    TransmissionChanged,
)
from echostream.tones.heard import PAGES

_LINKS: Final = {"mqtt": "the broker", "s3": "the bucket"}
_CLOSED: Final = {
    "released": "",
    "time-out": " by the time-out timer",
    "card": ": the card is gone",
    "offline": ": the server is gone",
    "removed": ": the channel was removed",
}


def is_page(event: ToneDetected) -> bool:
    """Whether a definition of the plan was heard."""
    return event.detection.kind in PAGES and bool(event.detection.tone_id)


def heard(event: ToneDetected) -> str:
    found = event.detection
    figures = " / ".join(f"{tone.hz:.1f}" for tone in found.tones)
    details = [f"{figures} Hz"] if figures and not found.digits else []
    if found.digits and found.digits not in event.name:
        details.append(f"{found.system.upper()} {found.digits}".strip())
    details.append(f"SNR {found.snr_db:.0f} dB")
    what = "page" if is_page(event) else "heard"
    return f"{what} on {event.channel_id}: {event.name} ({', '.join(details)})"


def missed(event: ToneMissed) -> str:
    name = event.miss.tone_id or event.miss.kind.replace("_", " ")
    return f"nearly a page on {event.channel_id}: {name}: {event.miss.explanation}"


def passed(event: PassthroughChanged) -> str:
    way = f"{event.name}: {event.source_id} to {event.target_id}"
    if event.remaining_s > 0:
        return f"passed through {way}, for {event.remaining_s:.0f} s"
    return f"passthrough of {way} ended: {event.reason}"


def transmits(event: TransmissionChanged) -> str:
    if event.active:
        return f"{event.channel_id} transmits ({openers(event.openers)})"
    return f"{event.channel_id} transmitted {event.lasted_s:.1f} s{_CLOSED.get(event.why, f': {event.why}')}"


def openers(names: Sequence[Opener]) -> str:
    return ", ".join(str(name) for name in names)


def talks(event: RemoteTransmit) -> str:
    name = event.member.user_name or event.member.affiliation_id
    agency = f" ({event.member.agency_name})" if event.member.agency_name else ""
    return f"{name}{agency} {'talks' if event.started else 'has talked'} on {event.channel_id}"


def channel(event: ChannelOnline) -> str:
    return f"{event.channel_id} is {'online' if event.online else 'offline'}"


def card(event: SourceChanged) -> str:
    state = "is there" if event.present else f"is away: {event.detail}"
    return f"card of {event.channel_id} ({event.direction}) {state}"


def link(event: LinkChanged) -> str:
    name = _LINKS.get(event.link, event.link)
    state = "reached" if event.up else "away"
    return f"{name} is {state}: {event.detail}" if event.detail else f"{name} is {state}"


def device(change: DeviceChange) -> str:
    what = "connected" if change.present else "gone"
    apart = ", recorded apart" if change.quarantined else ""
    return f"device {change.name} ({change.address}{apart}) {what}: {change.detail}"


def recorded(path: str, what: str, duration_s: float, error: str = "") -> str:
    name = path.rpartition("/")[2] or "a page"
    return f"{name} {what} ({duration_s:.1f} s)" + (f": {error}" if error else "")


def uploaded(event: RecordingUploaded) -> str:
    return f"{event.path.rpartition('/')[2]} is in {event.bucket} as {event.key}"


def at_risk(event: RecordingAtRisk) -> str:
    return f"{event.recordings} recordings will be deleted before they are uploaded: {event.reason}"


def command(event: CommandDone) -> str:
    place = f" on {event.channel_id}" if event.channel_id else ""
    return (
        f"{event.name}{place} by {event.who or 'somebody'}: {'done' if event.ok else 'refused'}: {event.text}"
    )
