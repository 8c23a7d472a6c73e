"""A day of a gateway as its event log has it, for the tests of reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from echostream.notices.notice import Json, Kind, Notice

SECOND: Final = 1_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
BEGIN: Final = round(datetime(2026, 11, 20, tzinfo=UTC).timestamp()) * SECOND


def told(
    kind: Kind, at_s: float, text: str = "", *, channel: str = "", subject: str = "", **data: Json
) -> Notice:
    """at_s: seconds into 2026-11-20 UTC."""
    at_us = BEGIN + round(at_s * SECOND)
    return Notice(kind, at_us, text or f"{kind} {channel or subject}", channel, subject, data=data)


def started(at_s: float) -> Notice:
    return told("gateway", at_s, state="started", version="1")


def stopped(at_s: float) -> Notice:
    return told("gateway", at_s, state="stopped", version="1")


def online(at_s: float, channel: str, on: bool = True) -> Notice:
    return told("channel", at_s, channel=channel, online=on)


def talks(at_s: float, channel: str, active: bool, why: str = "") -> Notice:
    return told("transmission", at_s, channel=channel, active=active, openers=["button"], why=why)


def heard(at_s: float, channel: str, who: str, active: bool) -> Notice:
    return told("talker", at_s, channel=channel, subject=who, affiliation_id=who, active=active)


def page(at_s: float, channel: str, tone_id: str = "engine-7", name: str = "Engine 7") -> Notice:
    return told("page", at_s, channel=channel, subject=tone_id, tone_id=tone_id, name=name, alert="fire")


def device(at_s: float, name: str, present: bool, known: bool = True, label: str = "") -> Notice:
    return told("device", at_s, subject=name, present=present, known=known, label=label)


def link(at_s: float, name: str, up: bool) -> Notice:
    return told("link", at_s, subject=name, link=name, up=up, detail="")


def alert(at_s: float, rule: str, state: str) -> Notice:
    return told("alert", at_s, subject=rule, rule=rule, on="disk", state=state)


def a_day() -> list[Notice]:
    """From start to stop, with something of everything."""
    return [
        started(3600),
        told("server", 3601, connected=True, detail=""),
        online(3602, "fire"),
        online(3602, "ems"),
        device(3605, "porch", True, label="Porch"),
        link(3606, "mqtt", True),
        page(7200, "fire"),
        talks(7210, "fire", True),
        talks(7240, "fire", False, "released"),
        heard(9000, "fire", "a", True),
        heard(9005, "fire", "b", True),
        heard(9010, "fire", "a", False),
        heard(9020, "fire", "b", False),
        online(10_800, "ems", False),
        online(11_400, "ems"),
        device(12_000, "porch", False),
        device(12_600, "porch", True),
        told("upload", 13_000, subject="r1", bytes=5_000_000, key="k", bucket="b"),
        told("at_risk", 13_100, recordings=3, bytes=10),
        alert(13_200, "disk nearly full", "raised"),
        alert(13_900, "disk nearly full", "recovered"),
        told("admin", 14_000, subject="r1", act="protect"),
        told("command", 14_001, channel="fire", subject="mute", ok=False),
        told("worker", 14_002, subject="index", error="boom"),
        told("card", 15_000, channel="ems", direction="capture", present=False),
        told("card", 15_060, channel="ems", direction="playback", present=False),
        told("card", 15_300, channel="ems", direction="capture", present=True),
        told("card", 15_360, channel="ems", direction="playback", present=True),
        stopped(21_600),
    ]
