"""Events as lines on a terminal, or as JSON."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TextIO

from echostream.archive_tools.times import shown as time_shown
from echostream.errors import EventLogError
from echostream.event_log.following import POLL_S, Follower
from echostream.event_log.lines import Logged, encode
from echostream.event_log.reading import Wanted, read, tail


@dataclass(frozen=True, slots=True)
class Shown:
    """zone: None is the machine's own. limit: the newest; 0: all."""

    as_json: bool
    zone: tzinfo | None
    limit: int

    def line(self, logged: Logged, site: bool = False) -> str:
        """With its end. site: which gateway it is of, too."""
        if self.as_json:
            return encode(logged).decode()
        notice = logged.notice
        at = time_shown(notice.at_us, self.zone, digits=3)
        who = f"  ({notice.who})" if notice.who else ""
        gateway = f"{logged.gateway:<12}  " if site else ""
        return printable(f"{at}  {gateway}{notice.kind:<12}  {notice.text}{who}") + "\n"


def show(
    directory: Path, wanted: Wanted, shown: Shown, out: TextIO, pause: Callable[[float], bool] | None
) -> int:
    """Print what there is; and with `pause` what comes, until it is True. Exit code 0. EventLogError."""
    try:
        follower = Follower(directory, wanted) if pause is not None else None
        last = _write(out, shown, _found(directory, wanted, shown.limit))
        while follower is not None and pause is not None and not pause(POLL_S):
            # What was written between the two is in both.
            last = _write(out, shown, (one for one in follower.look() if one.number > last), last)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise EventLogError(f"{error.filename or directory}: {error.strerror or error}") from None
    return 0


def _found(directory: Path, wanted: Wanted, limit: int) -> Iterable[Logged]:
    return tail(directory, wanted, limit) if limit else read(directory, wanted)


def _write(out: TextIO, shown: Shown, events: Iterable[Logged], last: int = 0) -> int:
    for one in events:
        out.write(shown.line(one))
        last = max(last, one.number)
    out.flush()
    return last


def printable(text: str) -> str:
    """Names come from outside: what steers a terminal is shown, not obeyed."""
    return "".join(
        one if unicodedata.category(one)[0] != "C" else f"\\u{ord(one):04x}"
        for one in " ".join(text.splitlines())
    )
