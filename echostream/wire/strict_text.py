"""JSON and base64 from strangers: lenient in form, strict in substance.

One decoder for datagrams and signalling, so that a hazard is met in one place: duplicate keys (two readers
could see two messages), numbers that are none or that cost time, nesting that eats the stack, and lone
surrogates, which are text that no socket or log can take.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Final, NoReturn

from echostream.errors import WireError

MAX_DEPTH: Final = 32
"""Nesting of lists and objects. The formats need four."""
MAX_DIGITS: Final = 20
"""Characters of an integer: enough for 64 bits with a sign."""
MAX_REAL: Final = 64
"""Characters of a number with a fraction or an exponent."""
MAX_TEXT: Final = 256
"""Characters of any one string that is kept."""

_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_ASCII_SPACE: Final = b" \t\r\n\x0b\x0c"
# What can rewrite a terminal or a log line: C0, DEL, C1, line separators, and marks that turn the direction.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


class Malformed(WireError):
    """Input from outside that does not parse. `reason`: one of a few short codes, fit to count by."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


def load_object(data: bytes | str, max_bytes: int) -> dict[str, object]:
    """The JSON object that `data` is. Raises Malformed, never anything else.

    Control characters inside strings are taken as they are (some clients break base64 lines without
    escaping); everything else is RFC 8259, without duplicate keys, NaN or numbers beyond 20 digits.
    """
    text = decode_utf8(data, max_bytes)
    try:
        value = _DECODER.decode(text)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("too_deep", f"nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        at = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise Malformed("not_json", f"not JSON{at}") from None
    if not isinstance(value, dict):
        raise Malformed("not_object", f"expected a JSON object, got {type(value).__name__}")
    _check_depth(value)
    if _SURROGATE_ESCAPE.search(text):
        _check_surrogates(value)
    return value


def decode_utf8(data: bytes | str, max_bytes: int) -> str:
    """`data` as text of at most `max_bytes` bytes of UTF-8. Raises Malformed: too_long, not_utf8."""
    # A character is at least one byte, so this spares encoding what is too long anyway.
    if len(data) > max_bytes:
        raise Malformed("too_long", f"{len(data)} long, at most {max_bytes} bytes are read")
    try:
        if isinstance(data, bytes):
            return data.decode("utf-8")
        size = len(data.encode("utf-8"))
    except UnicodeError:
        raise Malformed("not_utf8", "not UTF-8") from None
    if size > max_bytes:
        raise Malformed("too_long", f"{size} bytes, at most {max_bytes} are read")
    return data


def decode_base64(text: str | bytes) -> bytes:
    """Standard base64, white space and missing padding tolerated. Raises Malformed: bad_base64.

    The message never contains any of the text: it may be a key.
    """
    if isinstance(text, str):
        if not text.isascii():
            raise Malformed("bad_base64", "base64 with characters that are not ASCII")
        text = text.encode("ascii")
    if not text.isalnum():  # Only + / = and white space make it worth looking for the latter.
        text = text.translate(None, _ASCII_SPACE)
    missing = -len(text) % 4
    if missing:
        text += b"=" * missing
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        message = f"not base64: {error}"
    # Raised out here so that no exception with the text in it hangs on as the context.
    raise Malformed("bad_base64", message)


def display_text(value: object) -> str:
    """A string or number as text for people: control characters taken out, cut to MAX_TEXT; else ""."""
    if isinstance(value, str):
        return _CONTROL.sub(" ", value[:MAX_TEXT]).strip()
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return ""


def channel_id_of(value: object) -> str:
    """A channel id, string or integer, as a string. Raises Malformed: no_channel, bad_channel."""
    if value is None:
        raise Malformed("no_channel", "channel_id is missing")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise Malformed("bad_channel", f"channel_id: expected an integer or 1 to {MAX_TEXT} characters")
    return value


def _object_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("duplicate_key", "a JSON object names one key twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Malformed("bad_number", f"an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits) if len(digits) <= MAX_REAL else math.inf
    if math.isinf(value):
        raise Malformed("bad_number", f"a number of over {MAX_REAL} characters or beyond a double's range")
    return value


def _constant(_name: str) -> NoReturn:
    raise Malformed("bad_number", "NaN and Infinity are not JSON")


def _check_depth(value: object) -> None:
    """By levels, not by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper.extend(child for child in item.values() if isinstance(child, dict | list))
            elif isinstance(item, list):
                deeper.extend(child for child in item if isinstance(child, dict | list))
        if not deeper:
            return
        level = deeper
    raise Malformed("too_deep", f"nested deeper than {MAX_DEPTH} levels")


def _check_surrogates(value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError:
        raise Malformed("lone_surrogate", "text with half a surrogate pair") from None


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object_of,
    parse_int=_integer,
    parse_float=_real,
    parse_constant=_constant,
    strict=False,
)
