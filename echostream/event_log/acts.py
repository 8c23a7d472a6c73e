"""What a person does on the command line, in the log: who, what, before and after."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

from echostream.event_log.files import LogFiles, log_directory
from echostream.notices.notice import Json, Notice
from echostream.notices.stamp import wall_us

AT_ONCE: Final = 100
EVERY_S: Final = 0.5
"""So many acts, or those of this time, are written together: each waits for the disk."""


def whoever() -> str:
    """ "cli:USER": who typed it; with sudo whoever asked for it."""
    number = os.getuid()  # not the effective one: root works as whom the recordings belong to
    user = os.environ.get("SUDO_USER", "") if number == 0 else ""
    if not user:
        with suppress(KeyError):
            user = pwd.getpwuid(number).pw_name
    return f"cli:{user or number}"


class ActLog(AbstractContextManager["ActLog"]):
    """The acts of one command, written together. What goes wrong is told once, and stops nothing.

    directory: events.directory; None, or one that is not there: nobody keeps a log here.
    """

    def __init__(self, directory: Path | None, gateway_id: str = "", err: TextIO | None = None) -> None:
        there = directory is not None and directory.is_dir()
        self._files = LogFiles(log_directory(directory), gateway_id) if directory and there else None
        self._waiting: list[Notice] = []
        self._written_s = time.monotonic()
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
        now_s = time.monotonic()
        if len(self._waiting) >= AT_ONCE or now_s - self._written_s >= EVERY_S:
            self.write()
            self._written_s = now_s

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
