"""The table of microphones over the network, for the live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from echostream.console.site_snapshot import DeviceSnapshot

MOST_ROWS: Final = 8
"""Microphones that the live view shows one by one."""
WIDE_COLUMNS: Final = 100
_COLUMNS: Final = ("microphone", "state", "peak", "channel", "recorded", "delay", "clock", "missing")
"""The last three only where there is room."""
_STRETCH: Final = ("microphone", "channel")


def devices_table(devices: Sequence[DeviceSnapshot], width_columns: int = 80) -> Table:
    """Those that talk first, then those that are there; beyond eight they are counted."""
    table = Table(expand=True, box=box.SIMPLE_HEAD, pad_edge=False)
    columns = _COLUMNS if width_columns >= WIDE_COLUMNS else _COLUMNS[:-3]
    for heading in columns:
        if heading in _STRETCH:
            table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
        else:
            table.add_column(heading, no_wrap=True)
    ordered = sorted(devices, key=lambda device: (not device.talking, not device.connected))
    for device in ordered[:MOST_ROWS]:
        table.add_row(*_row(device)[: len(columns)])
    rest = ordered[MOST_ROWS:]
    if rest:
        there = sum(device.connected for device in rest)
        table.add_row(Text(f"and {len(rest)} more, {there} of them there", style="dim"))
    return table


def _row(device: DeviceSnapshot) -> list[Text]:
    ppm = "-" if device.ppm is None else f"{device.ppm:+.0f} ppm"
    peak = "-" if device.peak_dbfs is None or not device.connected else f"{max(device.peak_dbfs, -99):.0f}"
    return [
        Text(device.label or device.name, style="bold" if device.connected else "dim"),
        _state(device),
        Text(peak),
        Text(device.channel or "-", style="" if device.transmit != "never" else "dim"),
        Text("yes", style="green") if device.recorded else Text("-", style="dim"),
        Text(f"{device.air.delay_ms_p50:.0f} ms" if device.air is not None else "-"),
        Text(ppm),
        Text(f"{device.missing_s:.1f} s" if device.missing_s else "-"),
    ]


def _state(device: DeviceSnapshot) -> Text:
    if not device.connected:
        return Text("not there" if device.for_s is not None else "never seen", style="dim")
    if device.quarantined:
        return Text("quarantined", style="black on yellow")
    if device.talking:
        return Text("TALKS", style="bold white on red")
    return Text("there", style="green")
