"""A look at microphones and recorder from outside their threads: cheap, also with a thousand of them."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from echostream.archive.recorder import SourceStatus
from echostream.console import site_snapshot
from echostream.console.site_snapshot import SiteWatch, device_snapshots, devices_summary, recorder_summary
from echostream.network.esp32_status import DeviceStatus, RelayCounters


def sink(name: str, active: bool, dropped: int = 0) -> Any:
    air = SimpleNamespace(delay_ms=lambda percent: percent / 2, block_ms=40.0, underruns=2)
    return SimpleNamespace(
        info=SimpleNamespace(name=name), voice=SimpleNamespace(active=active, air=air), dropped=dropped
    )


def gateway(devices: list[DeviceStatus], sinks: list[Any], sources: list[SourceStatus]) -> Any:
    records = SimpleNamespace(
        recorder=SimpleNamespace(sources=sources),
        directory="/data",
        pages=SimpleNamespace(begun=2, failed=1, lost_s=0.5),
        filing=SimpleNamespace(filed=7, failed=0, waiting=1),
        index=SimpleNamespace(stats={"waiting": 2, "written": 9}),
        retention=SimpleNamespace(deleted=3),
        sync=SimpleNamespace(slowest_s=0.0123),
    )
    relay = SimpleNamespace(devices=lambda: devices, counters=RelayCounters())
    return SimpleNamespace(
        microphones=SimpleNamespace(relay=relay),
        records=records,
        channels=[SimpleNamespace(devices=SimpleNamespace(sinks=tuple(sinks)))],
    )


def test_a_device_is_put_together_from_relay_channel_and_recorder() -> None:
    since_s = time.monotonic() - 30
    porch = DeviceStatus("porch", "Porch", True, True, False, channel="c4", transmit="vox", since_s=since_s)
    away = DeviceStatus("yard", "", False, True, False)
    running = gateway(
        [porch, away],
        [sink("porch", True, dropped=3), sink("yard", True)],
        [SourceStatus("porch", "device", "2026-01-01/x.wav", 0.25), SourceStatus("c4", "channel", "", 0.0)],
    )
    first, second = device_snapshots(running)
    assert (first.talking, first.recorded, first.late_blocks, first.channel) == (True, True, 3, "c4")
    assert first.for_s == pytest.approx(30, abs=1)
    assert (second.talking, second.recorded, second.for_s) == (False, False, None)
    told_of: Any = devices_summary(running)["porch"]
    assert told_of["air"] == {"delay_ms_p50": 25.0, "delay_ms_p99": 49.5, "block_ms": 40.0, "underruns": 2}
    told = recorder_summary(running)
    assert told is not None
    assert (told["recordings"], told["failed"], told["lost_s"], told["waiting"]) == (2, 1, 0.75, 3)


def test_a_channel_of_the_same_name_does_not_pass_for_the_device() -> None:
    device = DeviceStatus("works", "", True, True, False)
    (seen,) = device_snapshots(gateway([device], [], [SourceStatus("works", "channel", "a.wav", 0.0)]))
    assert not seen.recorded


def test_without_microphones_and_recorder_there_is_nothing_to_tell() -> None:
    nothing: Any = SimpleNamespace(microphones=None, records=None, channels=[])
    assert device_snapshots(nothing) == []
    assert recorder_summary(nothing) is None
    assert site_snapshot.relay_summary(nothing) is None


def test_a_view_that_is_drawn_often_does_not_look_often() -> None:
    looks = 0

    def devices() -> list[DeviceStatus]:
        nonlocal looks
        looks += 1
        return [DeviceStatus("porch", "", True, True, False)]

    running = gateway([], [], [])
    running.microphones.relay.devices = devices
    watch = SiteWatch()
    for _ in range(20):
        seen, recorder = watch.look(running)
    assert looks == 1
    assert [device.name for device in seen] == ["porch"]
    assert recorder is not None
    assert recorder.filed == 7
