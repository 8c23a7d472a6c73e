"""Microphones over the network and the recorder, in a few words."""

from __future__ import annotations

from collections.abc import Sequence

from echostream.console.site_snapshot import DeviceSnapshot, RecorderSnapshot


def devices_words(devices: Sequence[DeviceSnapshot]) -> str:
    """ "2 of 3 microphones, porch talks; not there: yard"; "" where there are none."""
    if not devices:
        return ""
    there = [device for device in devices if device.connected]
    text = f"{len(there)} of {len(devices)} microphones"
    talking = [device.name for device in there if device.talking]
    if talking:
        text += f", {_some(talking)} talk{'s' if len(talking) == 1 else ''}"
    quarantined = sum(device.quarantined for device in there)
    if quarantined:
        text += f", {quarantined} quarantined"
    away = [device.name for device in devices if not device.connected]
    return f"{text}; not there: {_some(away)}" if away else text


def recorder_words(recorder: RecorderSnapshot | None) -> str:
    """ "recording 3 of 8 sources, 12 filed"; "" where nothing is recorded."""
    if recorder is None:
        return ""
    parts = [f"recording {recorder.writing} of {recorder.following} sources, {recorder.filed} filed"]
    if recorder.waiting:
        parts.append(f"{recorder.waiting} to be filed")
    if recorder.deleted:
        parts.append(f"{recorder.deleted} deleted")
    if recorder.lost_s:
        parts.append(f"{recorder.lost_s:.1f} s lost")
    return ", ".join(parts)


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
