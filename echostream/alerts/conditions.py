"""What each condition of a rule sees: values in how the gateway is, and things that happen.

Pure. A value of None says that nobody knows now: nothing is raised by it, and nothing is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from echostream.notices.notice import Notice
from echostream.vitals.model import ChannelVitals, DeviceVitals, LinkVitals, Vitals

FULL_SHARE: Final = 0.01
"""A disk with less of it free is full, whatever the forecast says."""
NO_DISK: Final = -1.0
"""Hours that a disk has which fails or does not answer."""


@dataclass(frozen=True, slots=True)
class Sight:
    """One source at one moment. source: id of the channel, name of the device; "" for the gateway itself.
    value: in the condition's unit; 1 and 0 where it is so or not. name: what people call the source. detail:
    for people, why."""

    source: str
    value: float | None
    name: str = ""
    channel_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that does not last. on: the condition; source: by which a rule chooses, and by which the same
    is known again; at_us: Unix microseconds."""

    on: str
    source: str
    value: float
    at_us: int
    name: str = ""
    channel_id: str = ""
    detail: str = ""


def sights(on: str, vitals: Vitals) -> list[Sight]:
    """What a condition sees of every source; nothing for one that only happens."""
    look = _LOOKS.get(on)
    return list(look(vitals)) if look is not None else []


def happening(notice: Notice) -> Happening | None:
    """What a notice is to a rule; None: nothing."""
    data, at_us = notice.data, notice.at_us
    match notice.kind:
        case "page":
            tone_id = str(data.get("tone_id") or notice.subject)
            priority = data.get("priority")
            value = float(priority) if isinstance(priority, (int, float)) else 0.0
            name = str(data.get("name") or tone_id)
            return Happening("page", tone_id, value, at_us, name, notice.channel_id, notice.text)
        case "at_risk":
            count = data.get("recordings")
            value = float(count) if isinstance(count, (int, float)) else 0.0
            return Happening("recordings_at_risk", "", value, at_us, "", notice.channel_id, notice.text)
        case "worker":
            name = notice.subject
            return Happening("worker_failed", name, 1.0, at_us, name, notice.channel_id, notice.text)
    return None


# ---- devices and cards


def _devices_gone(vitals: Vitals) -> Iterator[Sight]:
    """Those with an entry. One that was not seen since the start is gone as well."""
    for device in vitals.devices:
        if device.known:
            yield _of_device(device, float(not device.connected))


def _cards_gone(vitals: Vitals) -> Iterator[Sight]:
    for channel in vitals.channels:
        if channel.has_card:
            halves = (("capture", channel.capture_present), ("playback", channel.playback_present))
            missing = [name for name, present in halves if not present]
            yield _of_channel(channel, float(bool(missing)), " and ".join(missing))


# ---- sound


def _silent(vitals: Vitals) -> Iterator[Sight]:
    """Without a card or a connection there is nothing to hear: `card_gone` and `device_gone` say that."""
    for channel in vitals.channels:
        if channel.has_card:
            yield _of_channel(channel, channel.quiet_s if channel.capture_present else None)
    for device in vitals.devices:
        if device.known:
            yield _of_device(device, device.quiet_s if device.connected else None)


def _stuck(vitals: Vitals) -> Iterator[Sight]:
    """How long it has been transmitting; without end when the time-out timer had to end it."""
    for channel in vitals.channels:
        yield _of_channel(channel, math.inf if channel.stuck else channel.transmitting_s)


def _clipping(vitals: Vitals) -> Iterator[Sight]:
    for channel in vitals.channels:
        if channel.has_card:
            yield _of_channel(channel, 100.0 * channel.clipped if channel.capture_present else None)
    for device in vitals.devices:
        if device.known:
            yield _of_device(device, 100.0 * device.clipped if device.connected else None)


def _drifting(vitals: Vitals) -> Iterator[Sight]:
    for channel in vitals.channels:
        if channel.has_card:
            yield _of_channel(channel, abs(channel.drift_ppm) if channel.capture_present else None)
    for device in vitals.devices:
        if device.known:
            running = device.connected and device.ppm is not None
            yield _of_device(device, abs(device.ppm or 0.0) if running else None)


# ---- the machine


def _clock(vitals: Vitals) -> Iterator[Sight]:
    board = vitals.board
    if board.clock_synchronised is None:
        yield Sight("", None)
    elif board.clock_synchronised:
        yield Sight("", board.clock_error_ms or 0.0)
    else:
        yield Sight("", math.inf, detail="nothing sets it")


def _disk(vitals: Vitals) -> Iterator[Sight]:
    board = vitals.board
    if board.disk_bytes <= 0:
        yield Sight("", NO_DISK)
        return
    free = board.disk_free_bytes / board.disk_bytes
    hours = math.inf if board.disk_full_s is None else max(0.0, board.disk_full_s) / 3600.0
    detail = f"{board.disk_free_bytes / 1e9:.1f} GB free, {100 * free:.0f} %"
    yield Sight("", 0.0 if free < FULL_SHARE else hours, detail=detail)


def _temperature(vitals: Vitals) -> Iterator[Sight]:
    slowed = "the processor is slowed down" if vitals.board.throttled else ""
    yield Sight("", vitals.board.temperature_c, detail=slowed)


def _under_voltage(vitals: Vitals) -> Iterator[Sight]:
    now = vitals.board.under_voltage
    yield Sight("", None if now is None else float(now))


# ---- ways out


def _upload_lag(vitals: Vitals) -> Iterator[Sight]:
    link = _link(vitals, "s3")
    if link is not None:
        detail = f"{link.waiting} recordings wait" + (f": {link.detail}" if link.detail else "")
        yield Sight("", link.oldest_s if link.waiting else 0.0, detail=detail)


def _gone(name: str) -> Callable[[Vitals], Iterator[Sight]]:
    def look(vitals: Vitals) -> Iterator[Sight]:
        link = _link(vitals, name)
        if link is not None:
            yield Sight("", float(not link.up), detail=link.detail)

    return look


def _link(vitals: Vitals, name: str) -> LinkVitals | None:
    return next((link for link in vitals.links if link.name == name), None)


def _of_channel(channel: ChannelVitals, value: float | None, detail: str = "") -> Sight:
    return Sight(channel.channel_id, value, channel.name or channel.channel_id, channel.channel_id, detail)


def _of_device(device: DeviceVitals, value: float | None) -> Sight:
    return Sight(device.name, value, device.label or device.name, device.channel_id)


_LOOKS: Final[dict[str, Callable[[Vitals], Iterator[Sight]]]] = {
    "device_gone": _devices_gone,
    "card_gone": _cards_gone,
    "silence": _silent,
    "stuck_open": _stuck,
    "clipping": _clipping,
    "clock": _clock,
    "drift": _drifting,
    "upload_lag": _upload_lag,
    "disk": _disk,
    "temperature": _temperature,
    "under_voltage": _under_voltage,
    "server_gone": _gone("server"),
    "broker_gone": _gone("mqtt"),
}
