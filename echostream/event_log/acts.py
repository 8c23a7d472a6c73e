"""What a person does on the command line, in the log: who, what, before and after."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from echostream.event_log.files import LogFiles, log_directory
from echostream.notices.maker import wall_us
from echostream.notices.notice import Json, Notice

AT_ONCE: Final = 100
"""Acts that wait until they are written together."""


def whoever() -> str:
    """ "cli:USER": who typed it; with sudo whoever asked for it."""
    user = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    if not user:
        with suppress(OSError, KeyError):
            user = getpass.getuser()
    return f"cli:{user or os.getuid()}"


class ActLog(AbstractContextManager["ActLog"]):
    """The acts of one command, written together. What goes wrong is told once, and stops nothing.

    directory: events.directory; None, or one that is not there: nobody keeps a log here.
    """

    def __init__(self, directory: Path | None, gateway_id: str = "", err: TextIO | None = None) -> None:
        there = directory is not None and directory.is_dir()
        self._files = LogFiles(log_directory(directory), gateway_id) if directory and there else None
        self._waiting: list[Notice] = []
        self._err = err or sys.stderr

    def add(
        self,
        act: str,
        text: str,
        *,
        subject: str = "",
        channel_id: str = "",
        data: Mapping[str, Json] | None = None,
        before: Json = None,
        after: Json = None,
    ) -> None:
        """It was done. act: a short stable word; text: one line for people."""
        if self._files is None:
            return
        self._waiting.append(
            Notice(
                "admin",
                wall_us(),
                text,
                channel_id,
                subject,
                who=whoever(),
                data={"act": act, **(data or {})},
                before=before,
                after=after,
            )
        )
        if len(self._waiting) >= AT_ONCE:
            self.write()

    def write(self) -> None:
        """What waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting or self._files is None:
            return
        try:
            self._files.append(waiting)
        except OSError as error:
            place = error.filename or self._files.directory
            self._err.write(f"done, but not in the event log: {place}: {error.strerror or error}\n")
            self._files = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.write()


def append_act(
    directory: Path | None,
    act: str,
    text: str,
    *,
    gateway_id: str = "",
    subject: str = "",
    channel_id: str = "",
    data: Mapping[str, Json] | None = None,
    before: Json = None,
    after: Json = None,
    err: TextIO | None = None,
) -> None:
    """One act. Never raises for a log that cannot be written: says so on err."""
    with ActLog(directory, gateway_id, err) as log:
        log.add(act, text, subject=subject, channel_id=channel_id, data=data, before=before, after=after)
