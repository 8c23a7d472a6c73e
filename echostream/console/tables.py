"""Tables: fitted to a terminal by rich, in full and in plain columns for a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

_APART: Final = 2
_LEAST: Final = 8
"""A column that gives way is at least so wide, or not there."""


@dataclass(frozen=True, slots=True)
class Column:
    """right: numbers. keep: whole on every terminal; others are shortened on a narrow one, or left out."""

    name: str
    right: bool = False
    keep: bool = False
    style: str = ""


def write_table(columns: Sequence[Column], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    """A column without any text is left out."""
    used = [at for at, _ in enumerate(columns) if any(row[at] for row in rows)]
    columns = [columns[at] for at in used]
    rows = [[row[at] for at in used] for row in rows]
    if out.isatty():
        _fitted(columns, rows, out)
    else:
        _plain(columns, rows, out)


def _fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    console = Console(file=out)
    widths = [max(len(column.name), *(len(row[at]) for row in rows)) for at, column in enumerate(columns)]
    shown = _that_fit(columns, widths, console.width)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, _APART - 1, 0, 0), show_edge=False)
    for at in shown:
        column = columns[at]
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=widths[at] if column.keep else min(widths[at], _LEAST),
            style=column.style,
        )
    for row in rows:
        table.add_row(*(Text(row[at]) for at in shown))
    console.print(table)


def _that_fit(columns: Sequence[Column], widths: Sequence[int], room: int) -> list[int]:
    """Indices of the columns to show: without the last ones that may go, until the others fit."""
    shown = list(range(len(columns)))
    for at in reversed(range(len(columns))):
        least = [widths[one] if columns[one].keep else min(widths[one], _LEAST) for one in shown]
        if sum(least) + _APART * (len(shown) - 1) <= room:
            break
        if not columns[at].keep:
            shown.remove(at)
    return shown


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    lines = [[column.name for column in columns], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        out.write("  ".join(cells).rstrip() + "\n")
