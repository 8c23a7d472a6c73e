"""The live view on a terminal: channels, PTT, levels, talkers, packets, loss, delay."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from echostream.channels.channel_state import Phase
from echostream.console.devices_table import devices_table
from echostream.console.link_words import links_words
from echostream.console.page_status import page_status
from echostream.console.site_snapshot import DeviceSnapshot, RecorderSnapshot
from echostream.console.site_words import recorder_words
from echostream.console.snapshot import ChannelSnapshot
from echostream.vitals.model import LinkVitals

WIDE_COLUMNS = 110
_METER_FLOOR_DBFS = -60.0
_COLUMNS = ("channel", "PTT", "mic dBFS", "speaker dBFS", "talking", "sent", "heard", "lost", "delay")
_NUMBERS = ("sent", "heard", "lost", "delay")
_STRETCH = ("channel", "talking")


class LiveView:
    """Owns the screen between `start` and `stop`; `update` redraws."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def start(self) -> None:
        self._live.start()

    def update(
        self,
        title: str,
        channels: list[ChannelSnapshot],
        lines: Iterable[str],
        devices: Sequence[DeviceSnapshot] = (),
        recorder: RecorderSnapshot | None = None,
        links: Sequence[LinkVitals] = (),
    ) -> None:
        picture = render(title, channels, lines, self._console.width, devices, recorder, links)
        self._live.update(picture, refresh=True)

    def stop(self) -> None:
        self._live.stop()


def render(
    title: str,
    channels: list[ChannelSnapshot],
    lines: Iterable[str],
    width_columns: int = 80,
    devices: Sequence[DeviceSnapshot] = (),
    recorder: RecorderSnapshot | None = None,
    links: Sequence[LinkVitals] = (),
) -> RenderableType:
    """The whole picture: channels, their last pages, microphones, the recorder, the ways out, and the last
    log lines."""
    table = Table(title=title, title_justify="left", expand=True, box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in _COLUMNS:
        justify: JustifyMethod = "right" if heading in _NUMBERS else "left"
        if heading in _STRETCH:
            table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
        else:
            table.add_column(heading, justify=justify, no_wrap=True)
    cells = 10 if width_columns >= WIDE_COLUMNS else 5
    for channel in channels:
        table.add_row(*_row(channel, cells))
    return Group(
        table,
        *(_page(channel) for channel in channels if page_status(channel.pages)),
        *([devices_table(devices, width_columns)] if devices else []),
        *([Text(recorder_words(recorder))] if recorder is not None else []),
        *([_links(links)] if links else []),
        *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines),
    )


def _page(channel: ChannelSnapshot) -> Text:
    """The last page of a channel; while it is passed through, for all to see."""
    passing = channel.pages.passed_to or channel.pages.heard_from
    style = "bold black on yellow" if passing else "cyan"
    text = f" {channel.name}: {page_status(channel.pages)} "
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _links(links: Sequence[LinkVitals]) -> Text:
    style = "" if all(link.up for link in links) else "yellow"
    return Text(links_words(links), style=style, no_wrap=True, overflow="ellipsis")


def _row(channel: ChannelSnapshot, cells: int) -> list[Text]:
    sent, received = channel.transmit, channel.receive
    speaker = channel.output_level
    return [
        Text(channel.name, style="bold" if channel.online else "dim"),
        _ptt(channel),
        _meter(sent.level.rms_dbfs, sent.level.peak_dbfs, channel.capture_present, cells),
        _meter(speaker.rms_dbfs, speaker.peak_dbfs, channel.playback_present, cells),
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
        return Text("ON AIR", style="bold white on red")
    if channel.keyed:
        return Text("KEYED", style="bold black on yellow")
    if not channel.online:
        return Text("offline", style="dim")
    return Text("ready", style="green")


def _meter(rms_dbfs: float, peak_dbfs: float, present: bool, cells: int) -> Text:
    if not present:
        return Text("no card", style="red")
    share = max(0.0, min(1.0, 1 - rms_dbfs / _METER_FLOOR_DBFS))
    filled = round(share * cells)
    colour = "red" if peak_dbfs > -1.5 else "yellow" if peak_dbfs > -6 else "green"
    meter = Text("█" * filled, style=colour)
    meter.append("░" * (cells - filled), style="dim")
    meter.append(f" {max(rms_dbfs, -99):3.0f}")
    return meter
