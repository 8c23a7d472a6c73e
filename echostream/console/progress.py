"""A progress bar on stderr: on a terminal, and only for what takes a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LONG_S: Final = 120.0
"""Seconds of sound from which a bar is shown; what is shorter is heard before it could be read."""


class Bar:
    """How far something is; silent where no bar is wanted."""

    def __init__(self, name: str, total_s: float) -> None:
        self._bar: Progress | None = None
        if total_s >= LONG_S and sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
            # rich would redirect stdout to stderr, where whoever reads a pipe does not look.
            self._bar = Progress(
                *columns,
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._task = self._bar.add_task(name, total=total_s)

    def done(self, done_s: float) -> None:
        """So many seconds are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done_s)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """The bar is out of the way, so that a line can be written on the same terminal."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
