"""How an ESP32 microphone's stream begins: with a line that says who it is, or with audio at once.

{"hello": "echostream", "device": "porch", "token": "...", "rate": 16000, "format": "s16le", "channels": 1}\\n

Only `device` must be there besides `hello`; keys that are not known are ignored. A stream that starts with
{"hello" is read so, all else is audio (docs/protocol.md, part 4).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, get_args

from echostream.audio.sample_forms import SampleFormat
from echostream.wire.strict_text import Malformed, display_text, load_object

START: Final = b'{"hello"'
MAX_HELLO_BYTES: Final = 512
"""The longest line that is read, its end included."""
MAX_TOKEN: Final = 256
RATES_HZ: Final = range(8000, 48_001)
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Hello:
    """Who a device says it is. rate_hz, sample_format: None where the line does not say; channels: 1 or 2."""

    device: str
    token: str | None = field(default=None, repr=False)
    rate_hz: int | None = None
    sample_format: SampleFormat | None = None
    channels: int = 1


def parse_hello(line: bytes) -> Hello:
    """One line, with or without its end. Raises Malformed, whose message never holds the token."""
    said = load_object(line.strip(b"\r\n"), MAX_HELLO_BYTES)
    if said.get("hello") != "echostream":
        raise Malformed("not_ours", 'hello: expected "echostream"')
    device = said.get("device")
    if not isinstance(device, str) or not _NAME.fullmatch(device):
        raise Malformed(
            "bad_device", "device: expected a name of 1 to 64 letters, digits, dots, hyphens and underscores"
        )
    token = said.get("token")
    if token is not None and not (isinstance(token, str) and len(token) <= MAX_TOKEN):
        raise Malformed("bad_token", f"token: expected a text of at most {MAX_TOKEN} characters")
    rate, form, channels = said.get("rate"), said.get("format"), said.get("channels", 1)
    if rate is not None and not (_is_integer(rate) and rate in RATES_HZ):
        raise Malformed("bad_rate", f"rate: expected 8000 to 48000, not {_shown(rate)}")
    if form is not None and form not in get_args(SampleFormat):
        raise Malformed("bad_format", f"format: expected s16le, u8 or f32le, not {_shown(form)}")
    if not (_is_integer(channels) and channels in (1, 2)):
        raise Malformed("bad_channels", f"channels: expected 1 or 2, not {_shown(channels)}")
    return Hello(device, token, rate, form, channels)  # type: ignore[arg-type]  # checked above


class Opening:
    """Takes a stream's first bytes until it is plain whether they are a hello or audio.

    decided: it is plain. hello: what was said, None for a stream that is audio from its first byte on. The
    same line said again right after the first is passed over: firmware that is not sure it was heard.
    """

    def __init__(self) -> None:
        self.decided = False
        self.hello: Hello | None = None
        self._line = b""
        self._kept = b""

    @property
    def pending(self) -> bool:
        """Bytes are kept until more of them come."""
        return bool(self._kept)

    @property
    def waits_for_line(self) -> bool:
        """It does begin as a hello, the end of the line is not there yet."""
        return not self.decided and self._kept.startswith(START)

    def feed(self, data: bytes) -> bytes:
        """Take bytes; returns those that are audio, b"" while it is not plain yet.

        Raises Malformed for a hello that does not parse, is longer than 512 bytes, or follows another one.
        """
        if self.decided:
            return data
        self._kept += data
        while not self.decided:
            if len(self._kept) < len(START) and START.startswith(self._kept):
                return b""
            if not self._kept.startswith(START):
                return self.give_up()
            end = self._kept.find(b"\n", 0, MAX_HELLO_BYTES)
            if end < 0:
                if len(self._kept) >= MAX_HELLO_BYTES:
                    raise Malformed("too_long", f"hello: no end of line within {MAX_HELLO_BYTES} bytes")
                return b""
            self._take(self._kept[: end + 1])
            self._kept = self._kept[end + 1 :]
        return b""

    def give_up(self) -> bytes:
        """What was kept is audio: it is no hello, or none came in time."""
        self.decided = True
        kept, self._kept = self._kept, b""
        return kept

    def _take(self, line: bytes) -> None:
        if self.hello is None:
            self.hello, self._line = parse_hello(line), line
        elif line != self._line:
            raise Malformed("hello_again", "a second, different hello in one connection")


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return display_text(value)[:32] or type(value).__name__
