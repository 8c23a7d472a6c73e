"""Log lines: readable on a terminal, JSON to the journal, no traceback because a disk is full."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import deque
from typing import TextIO

_LEVEL_COLOURS = {"WARNING": "\x1b[33m", "ERROR": "\x1b[31m", "CRITICAL": "\x1b[31;1m"}
_PRIORITIES = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


class LineFormatter(logging.Formatter):
    """`12:34:56.789 WARNING channel fire: card is away` with colour on a terminal."""

    def __init__(self, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        text = f"{stamp} {level}{record.getMessage()}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        start = _LEVEL_COLOURS.get(record.levelname, "") if self._colour else ""
        return f"{start}{text}\x1b[0m" if start else text


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts (Unix seconds), priority (syslog), level, logger, thread, message."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "ts": round(record.created, 6),
            "priority": _PRIORITIES.get(record.levelname, 6),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class SteadyHandler(logging.StreamHandler[TextIO]):
    """A log that cannot be written (full disk, closed pipe) is counted and costs nothing else."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.lost_lines = 0

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        self.lost_lines += 1


class RecentLines(logging.Handler):
    """Keeps the last lines for the live view, which owns the screen."""

    def __init__(self, lines: int) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=lines)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


def set_up(style: str, verbose: bool, stream: TextIO = sys.stderr) -> SteadyHandler:
    """`style`: "auto" (JSON under systemd's journal, lines elsewhere), "lines" or "json"."""
    handler = SteadyHandler(stream)
    as_json = style == "json" or (style == "auto" and "JOURNAL_STREAM" in os.environ)
    handler.setFormatter(JsonFormatter() if as_json else LineFormatter(colour=_wants_colour(stream)))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    for noisy in ("websocket", "websockets", "alembic", "zeroconf"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return handler


def _wants_colour(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ
