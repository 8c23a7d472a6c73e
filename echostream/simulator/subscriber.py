"""`echostream subscribe`: what arrives at the broker, a line for each message."""

from __future__ import annotations

import argparse
import json
import logging
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO

from echostream.config.load import load_config
from echostream.config.mqtt_models import Mqtt
from echostream.config.secrets import read_secret
from echostream.console import logs
from echostream.errors import ConfigError
from echostream.mqtt.listening import Arrived, Listening, NotSubscribed
from echostream.mqtt.topics import Topics
from echostream.signals import Waker

log = logging.getLogger(__name__)

SHORT_CHARACTERS: Final = 320
VALUE_CHARACTERS: Final = 30
ID_PATTERN: Final = re.compile("[0-9a-f-]{32,36}")


def subscribe(args: argparse.Namespace) -> int:
    """0 when the time was over, the count reached, or it was ended; 1 when the broker is away."""
    logs.set_up("lines", args.verbose)
    mqtt, password, topics = _broker(args)
    with Waker((signal.SIGINT, signal.SIGTERM), _ignore) as waker:
        lines = Lines(sys.stdout, args.json, args.short, args.count, waker.wake)
        listening = Listening(mqtt, password, topics, lines.write, lambda text: log.warning("%s", text))
        try:
            listening.start()
        except NotSubscribed as error:
            log.error("%s", str(error))  # not the error itself, which holds the connection
            return 1
        log.info("subscribed at %s:%d to %s; Ctrl-C ends", mqtt.host, mqtt.port, ", ".join(topics))
        if not lines.over:
            waker.wait(args.for_s)
        listening.stop()
    return 0 if args.count is None or lines.written >= args.count else 1


class Lines:
    """Written as messages arrive, on the connection's thread: a slow terminal holds back the broker only.

    written: lines so far. over: all that were asked for, or nobody reads them; `ended` is called then.
    """

    def __init__(
        self, out: TextIO, as_json: bool, short: bool, most: int | None, ended: Callable[[], None]
    ) -> None:
        self._out = out
        self._as_json = as_json
        self._short = short
        self._most = most
        self._ended = ended
        self.written = 0
        self.over = False

    def write(self, message: Arrived) -> None:
        if self.over:
            return
        try:
            self._out.write(self._line(message) + "\n")
            self._out.flush()
            self.written += 1
        except OSError:
            self.over = True
        self.over |= self._most is not None and self.written >= self._most
        if self.over:
            self._ended()

    def _line(self, message: Arrived) -> str:
        text = message.payload.decode("utf-8", "backslashreplace")
        if self._as_json:
            told = {"topic": message.topic, "payload": text, "qos": message.qos, "retained": message.retained}
            return json.dumps(told, ensure_ascii=False)
        shown = _printable(_shortened(text) if self._short else text)
        return f"{_printable(message.topic)} {shown}"


def _printable(text: str) -> str:
    """One message, one line, and nothing that a terminal would obey."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)


def _shortened(text: str) -> str:
    """Of an object in JSON every value a little, else the beginning."""
    try:
        told = json.loads(text)
    except ValueError:
        told = None
    if isinstance(told, dict):
        values = {name: _cut(value) for name, value in told.items()}
        text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= SHORT_CHARACTERS else text[:SHORT_CHARACTERS] + "…"


def _cut(value: object) -> object:
    """An id to its first characters; a path to its end."""
    if not isinstance(value, str) or len(value) <= VALUE_CHARACTERS:
        return value
    if ID_PATTERN.fullmatch(value):
        return value[:8] + "…"
    return value if " " in value else "…" + value[-VALUE_CHARACTERS:]


def _broker(args: argparse.Namespace) -> tuple[Mqtt, str | None, tuple[str, ...]]:
    """(how to reach it, the password, what to subscribe to)."""
    if args.broker is not None:
        host, port = args.broker
        return Mqtt(host=host, port=port, tls=None), None, tuple(args.topic) or ("#",)
    path: Path = args.config
    config = load_config(path).config
    mqtt = config.mqtt
    if not mqtt.host:
        raise ConfigError(f"{path}: mqtt.host names no broker; add it, or give --broker HOST:PORT")
    names = Topics(config)
    password = None if mqtt.password is None else read_secret(mqtt.password, "mqtt.password").strip()
    return mqtt, password, tuple(args.topic) or (names.tone_detection, f"{names.root}/#")


def _ignore(number: int) -> None:
    """The waker wakes; there is nothing else to do."""
