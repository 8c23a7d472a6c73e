"""A gateway with two channels and a microphone, as those see it who publish."""

from __future__ import annotations

from typing import Any

from echostream.notices.notice import Notice, Weight
from echostream.vitals.model import BoardVitals, ChannelVitals, DeviceVitals, LinkVitals, Vitals

AT_US = 1_795_287_600_000_000  # 2026-11-21 19:00:00 UTC
PAGE_ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"


def page_notice(**changes: Any) -> Notice:
    """A two-tone page on channel a."""
    data = {
        "tone_id": "engine 7",
        "name": "Engine 7",
        "alert": "Engine 7",
        "tone_kind": "two_tone",
        "tone_a_hz": 349.0,
        "tone_b_hz": 433.7,
        "measured_a_hz": 349.2,
        "measured_b_hz": 433.5,
        "a_length_s": 1.0,
        "b_length_s": 3.0,
        "digits": "",
        "snr_db": 31.5,
        "level_dbfs": -14.0,
        "started_at_us": AT_US - 4_000_000,
        "ended_at_us": AT_US,
        "record_length_s": 60.0,
        "priority": 5,
    }
    values: dict[str, Any] = {
        "kind": "page",
        "at_us": AT_US,
        "text": "Page heard on a: Engine 7",
        "channel_id": "a",
        "subject": "engine 7",
        "weight": Weight.ALARM,
        "data": data,
        "id": PAGE_ID,
    }
    return Notice(**values | changes)


def channel(channel_id: str, **changes: Any) -> ChannelVitals:
    values: dict[str, Any] = {
        "channel_id": channel_id,
        "name": channel_id,
        "online": True,
        "phase": "idle",
        "transmitting_s": 0.0,
        "stuck": False,
        "talkers": (),
        "members": 3,
        "playing": False,
        "capture_present": True,
        "playback_present": True,
        "level_dbfs": -60.0,
        "peak_dbfs": -50.0,
        "out_dbfs": float("-inf"),
        "clipped": 0.0,
        "quiet_s": 0.0,
        "drift_ppm": 12.3456,
        "output_gain_db": -6.0,
        "loudspeaker_muted": True,
    }
    return ChannelVitals(**values | changes)


def device(name: str = "porch", **changes: Any) -> DeviceVitals:
    values: dict[str, Any] = {
        "name": name,
        "label": "Porch",
        "channel_id": "a",
        "known": True,
        "connected": True,
        "quarantined": False,
        "talking": False,
        "level_dbfs": -41.0,
        "quiet_s": 0.0,
        "clipped": 0.0,
        "ppm": 3.0,
        "for_s": 60.0,
    }
    return DeviceVitals(**values | changes)


def board(disk_free: float = 0.5) -> BoardVitals:
    return BoardVitals(
        temperature_c=51.5,
        under_voltage=False,
        was_under_voltage=False,
        throttled=False,
        clock_synchronised=True,
        clock_error_ms=0.4,
        disk_bytes=1_000_000,
        disk_free_bytes=int(disk_free * 1_000_000),
        disk_full_s=None,
        load=0.4,
        memory_mb=120.0,
        cpu=0.21,
        uptime_s=3600.0,
    )


def vitals(at_s: float = 0.0, disk_free: float = 0.5, **of_channel_a: Any) -> Vitals:
    """at_s: monotonic seconds. The rest: what is different at channel a."""
    first = channel("a", talkers=("Ann", "Bob"), **of_channel_a)
    links = (LinkVitals("server", True, 10.0), LinkVitals("mqtt", True, 10.0, waiting=4))
    return Vitals(
        at_us=AT_US + int(at_s * 1e6),
        now_s=at_s,
        gateway="g",
        version="0.1.0",
        channels=(first, channel("fire/tac é", name="Fire tac", has_card=False)),
        devices=(device(),),
        board=board(disk_free),
        links=links,
    )
