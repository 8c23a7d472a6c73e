"""Strict reading of JSON: bounded in size and depth, no key twice, and errors that show the place."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Final, NoReturn

from echostream.config.findings import Finding, InvalidConfig, secret_like
from echostream.config.shadow import KEYS as SHADOW_KEYS
from echostream.config.tidy import MAX_DEPTH

MAX_BYTES: Final = 8_000_000
"""16 channels of 1000 tones each, written generously, are 5 MB."""
LONGEST_NUMBER: Final = 400
_WINDOW = 50
_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]|-?Infinity|NaN', re.S)
_WORDS = re.compile(r'[^\s"{}\[\]:,]+')
_EXPECTED: Final = {
    "',' delimiter": "a comma or a closing bracket",
    "':' delimiter": "a colon",
    "property name enclosed in double quotes": "a key in double quotes",
}
_PUBLIC = frozenset({"true", "false", "null"})


class Doubled(dict[str, object]):
    """An object in whose text a key stood twice."""

    doubled: tuple[str, ...] = ()


def parse_text(data: bytes | str, origin: str) -> object:
    """The document in a text. Raises InvalidConfig that says line, column and remedy."""
    text = _decoded(data, origin)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        expected, hint = _explained(error)
        _refuse(origin, text, error.pos, _met(text, error.pos), expected, hint)
    except RecursionError:
        _refuse(origin, text, _too_deep_at(text), "deeper nesting", f"at most {MAX_DEPTH} levels", "")
    except _NotANumber as error:
        at = next((m.start() for m in _TOKENS.finditer(text) if m[0] == error.args[0]), 0)
        _refuse(origin, text, at, error.args[0], "a finite number", "JSON knows neither NaN nor Infinity")


class _NotANumber(ValueError):
    """NaN or Infinity stood where a number belongs."""


def _no_constant(text: str) -> NoReturn:
    raise _NotANumber(text)


def _integer(text: str) -> int | float:
    return int(text) if len(text) < LONGEST_NUMBER else math.inf


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    plain = dict(pairs)
    if len(plain) == len(pairs):
        return plain
    result = Doubled(plain)
    result.doubled = tuple(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
    return result


def _decoded(data: bytes | str, origin: str) -> str:
    if len(data) > MAX_BYTES:
        size = f"{len(data):,} bytes or more"
        raise InvalidConfig(
            origin, [Finding("", size, f"at most {MAX_BYTES:,} bytes", "is this the right file?")]
        )
    if isinstance(data, str):
        return data.removeprefix("\ufeff")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "save it as UTF-8"
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            hint = "this is UTF-16; " + hint
        line = data.count(b"\n", 0, error.start) + 1
        finding = Finding(f"line {line}", f"byte 0x{data[error.start]:02x}", "UTF-8 text", hint)
    raise InvalidConfig(origin, [finding])


# ---- errors of syntax


def _refuse(origin: str, text: str, at: int, value: str, expected: str, hint: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    column = at - (text.rfind("\n", 0, at) + 1) + 1
    place = f"line {line}, column {column}"
    raise InvalidConfig(origin, [Finding(place, value, expected, hint, excerpt=_excerpt(text, at))]) from None


def _met(text: str, at: int) -> str:
    if at >= len(text):
        return "the end of the file"
    if text[at].isalnum():
        return "a word or number"
    return json.dumps(text[at]) if text[at].isprintable() else f"character U+{ord(text[at]):04X}"


def _explained(error: json.JSONDecodeError) -> tuple[str, str]:
    """What was expected, and what a person most likely did."""
    text, at = error.doc, error.pos
    rest, before = text[at : at + 40].lstrip(), text[max(0, at - 200) : at].rstrip()
    expected = error.msg[0].lower() + error.msg[1:].removesuffix(":").removesuffix(" starting at")
    expected = _EXPECTED.get(expected.removeprefix("expecting "), expected.removeprefix("expecting "))
    if not text.strip():
        return "a JSON object", "the file is empty"
    if rest.startswith(("//", "/*", "#")):
        return "JSON", "JSON has no comments: remove it"
    if rest.startswith("'"):
        return "JSON", 'texts stand in double quotes: "…"'
    if (before.endswith(",") and rest[:1] in ("}", "]")) or "trailing comma" in error.msg:
        return "another entry", "remove the comma after the last entry"
    if at >= len(text.rstrip()):
        return expected, "the file is cut off: a bracket or quote is not closed"
    if "delimiter" in error.msg:
        return expected, "a comma or colon is missing before this"
    if error.msg.startswith("Extra data"):
        return "the end of the file", "one JSON object only; a bracket may be closed too early"
    if "control character" in error.msg:
        return "a text that ends on its line", 'a closing quote is missing, or write a line break as "\\n"'
    if "Unterminated string" in error.msg:
        return "a closing quote", ""
    if "escape" in error.msg:
        return "a JSON escape", 'write a backslash as "\\\\"'
    return expected, ""


def _too_deep_at(text: str) -> int:
    depth = 0
    for match in _TOKENS.finditer(text):
        depth += (match[0] in "{[") - (match[0] in "}]")
        if depth > MAX_DEPTH:
            return match.start()
    return 0


def _excerpt(text: str, at: int) -> str:
    """The line of the place, cut to a window, with a caret under it.

    Words that are no keys of ours are hidden: where the syntax is broken nobody can tell which is a secret.
    """
    start = text.rfind("\n", 0, at) + 1
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    left, right = max(start, at - _WINDOW), min(end, at + _WINDOW)
    near_secret = any(secret_like(word) for word in _WORDS.findall(text[max(0, left - 300) : right]))
    number = f"{text.count(chr(10), 0, at) + 1:>5} | "
    before = ("…" if left > start else "") + _hide(text[left:at], near_secret)
    after = _hide(text[at:right], near_secret) + ("…" if right < end else "")
    return f"{number}{before}{after}\n{'| ':>{len(number)}}{' ' * len(before)}^"


def _hide(text: str, near_secret: bool) -> str:
    def word(match: re.Match[str]) -> str:
        found = match[0]
        if found in _PUBLIC or found in _field_names():
            return found
        if not near_secret and re.fullmatch(r"-?[0-9.eE+]{1,8}", found):
            return found
        return "…"

    return "".join(c if c.isprintable() else " " for c in _WORDS.sub(word, text))


def _field_names() -> frozenset[str]:
    from echostream.config.describe import field_names  # only when a text is broken

    return field_names() | SHADOW_KEYS
