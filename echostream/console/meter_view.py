"""One wide level meter on a terminal: RMS as a bar, the peak that was highest lately as a mark."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

_FLOOR_DBFS: Final = -60.0
_HOT_DBFS: Final = -6.0
_CLIPPED_DBFS: Final = -0.1
_FALLS_DB: Final = 1.5
"""The mark of the peak sinks by so much with each picture."""
_BESIDE: Final = 34
"""Columns for the numbers."""


class MeterView:
    """Owns a line of the screen; `update` redraws it. aim: the band in which speech should lie, dBFS."""

    def __init__(self, name: str, aim: tuple[float, float], console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._name = name
        self._aim = aim
        self._mark_dbfs = _FLOOR_DBFS

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, rms_dbfs: float, peak_dbfs: float, words: str) -> None:
        """words: what the person is to do, and for how long still."""
        self._mark_dbfs = max(peak_dbfs, self._mark_dbfs - _FALLS_DB)
        width = max(10, self._console.width - _BESIDE)
        text = render_meter(rms_dbfs, self._mark_dbfs, self._aim, width)
        self._live.update(Text.assemble(f"{self._name} ", text, f" {words}"), refresh=True)


def render_meter(rms_dbfs: float, peak_dbfs: float, aim: tuple[float, float], cells: int) -> Text:
    """`cells` wide, and the two numbers. The aim is drawn where the bar does not reach it."""
    meter = Text()
    filled, mark = _cell(rms_dbfs, cells), _cell(peak_dbfs, cells)
    low, high = (_cell(one, cells) for one in aim)
    for at in range(cells):
        if at == mark - 1:
            meter.append("|", style="bold red" if peak_dbfs > _CLIPPED_DBFS else "bold")
        elif at < filled:
            hot = at >= _cell(_HOT_DBFS, cells)
            meter.append("█", style="red" if hot else "green" if low <= at < high else "yellow")
        else:
            meter.append("▒" if low <= at < high else "░", style="dim")
    meter.append(f" {max(rms_dbfs, -99):4.0f} {max(peak_dbfs, -99):4.0f} dBFS")
    return meter


def _cell(dbfs: float, cells: int) -> int:
    return round(max(0.0, min(1.0, 1 - dbfs / _FLOOR_DBFS)) * cells)
