"""The live view on a terminal: channels, PTT, levels, talkers, packets, loss, delay."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from echostream.channels.channel_state import Phase
from echostream.console.snapshot import ChannelSnapshot

REFRESH_HZ = 8
_METER_CELLS = 12
_METER_FLOOR_DBFS = -60.0


class LiveView:
    """Owns the screen between `start` and `stop`; `update` redraws."""

    def __init__(self, console: Console | None = None) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=False)

    def start(self) -> None:
        self._live.start()

    def update(self, title: str, channels: list[ChannelSnapshot], lines: Iterable[str]) -> None:
        self._live.update(render(title, channels, lines), refresh=True)

    def stop(self) -> None:
        self._live.stop()


def render(title: str, channels: list[ChannelSnapshot], lines: Iterable[str]) -> RenderableType:
    """The whole picture: a table of the channels and the last log lines below it."""
    table = Table(title=title, title_justify="left", expand=True)
    for heading in ("channel", "PTT", "mic", "loudspeaker", "talking", "sent", "received", "lost", "delay"):
        right = heading in ("sent", "received", "lost", "delay")
        table.add_column(heading, justify="right" if right else "left", no_wrap=True)
    for channel in channels:
        table.add_row(*_row(channel))
    return Group(table, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines))


def _row(channel: ChannelSnapshot) -> list[Text]:
    sent, received = channel.transmit, channel.receive
    return [
        Text(channel.name, style="bold" if channel.online else "dim"),
        _ptt(channel),
        _meter(sent.level.rms_dbfs, sent.level.peak_dbfs, channel.capture_present),
        _meter(channel.output_level.rms_dbfs, channel.output_level.peak_dbfs, channel.playback_present),
        Text(", ".join(channel.talkers) or "-", style="cyan" if channel.talkers else "dim"),
        Text(str(sent.packets_sent)),
        Text(str(received.packets_received)),
        Text(str(received.packets_lost + received.packets_late)),
        Text(f"{received.delay_ms_p50:.0f} ms" if received.packets_received else "-"),
    ]


def _ptt(channel: ChannelSnapshot) -> Text:
    if channel.latched:
        return Text("TIMED OUT", style="bold white on red")
    if channel.phase in (Phase.STARTING, Phase.OPEN):
        return Text("ON AIR " + "+".join(channel.openers), style="bold white on red")
    if channel.keyed:
        return Text("keys radio", style="bold black on yellow")
    if not channel.online:
        return Text("offline", style="dim")
    return Text("ready", style="green")


def _meter(rms_dbfs: float, peak_dbfs: float, present: bool) -> Text:
    if not present:
        return Text("no card", style="red")
    share = max(0.0, min(1.0, 1 - rms_dbfs / _METER_FLOOR_DBFS))
    filled = round(share * _METER_CELLS)
    colour = "red" if peak_dbfs > -1.5 else "yellow" if peak_dbfs > -6 else "green"
    meter = Text("█" * filled, style=colour)
    meter.append("░" * (_METER_CELLS - filled), style="dim")
    meter.append(f" {max(rms_dbfs, -99):4.0f}")
    return meter
