"""Tables: fitted to a terminal by rich, in full and in plain columns for a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Column:
    """right: numbers. keep: never shortened on a narrow terminal; others give way first."""

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
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if not column.keep else _width(column, columns, rows),
            style=column.style,
        )
    for row in rows:
        table.add_row(*map(Text, row))
    Console(file=out).print(table)


def _width(column: Column, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> int:
    at = columns.index(column)
    return max(len(column.name), *(len(row[at]) for row in rows))


def _plain(columns: Sequence[Column], rows: Sequence[Sequence[str]], out: TextIO) -> None:
    lines = [[column.name for column in columns], *rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column.right else cell.ljust(width)
            for cell, width, column in zip(line, widths, columns, strict=True)
        ]
        out.write("  ".join(cells).rstrip() + "\n")
