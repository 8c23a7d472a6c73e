"""What JSON allows and a configuration does not: a checked, bounded copy of any document."""

from __future__ import annotations

import math
from typing import Final

from echostream.config.findings import HUGE, Finding, Place, path_of, shown

MAX_DEPTH: Final = 32
MAX_VALUES: Final = 500_000


class Tidy:
    """A checked copy of a document: plain dicts, lists, texts, finite numbers, all bounded.

    Accepts any Python object, so that a document that did not come from a text is held to the same rules.
    Numbers without a fraction become int, as in JSON 20 and 20.0 are the same.
    """

    def __init__(self, document: object) -> None:
        self.findings: list[Finding] = []
        self._values = 0
        self.document = self._copy(document, (), 0)

    def _copy(self, value: object, place: Place, depth: int) -> object:
        self._values += 1
        if self._values > MAX_VALUES:
            if self._values == MAX_VALUES + 1:
                self._wrong(place, "more values", f"at most {MAX_VALUES:,} values in all")
            return None
        if isinstance(value, (dict, list, tuple)):
            if depth >= MAX_DEPTH:
                self._wrong(place, "deeper nesting", f"at most {MAX_DEPTH} levels")
                return None
            if isinstance(value, dict):
                return self._copy_object(value, place, depth)
            return [self._copy(item, (*place, at), depth + 1) for at, item in enumerate(value)]
        return self._leaf(value, place)

    def _copy_object(self, value: dict[object, object], place: Place, depth: int) -> dict[str, object]:
        for key in getattr(value, "doubled", ()):
            self._wrong(
                (*place, key), f"the key {shown(key)} twice", "each key once", "remove one of the two"
            )
        result: dict[str, object] = {}
        for key, item in value.items():
            if not isinstance(key, str) or not _encodable(key):
                self._wrong(place, f"the key {shown(key)}", "keys that are Unicode text")
                continue
            result[key] = self._copy(item, (*place, key), depth + 1)
        return result

    def _leaf(self, value: object, place: Place) -> object:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if not _encodable(value):
                self._wrong(place, "half of a surrogate pair", "Unicode text", "remove the \\ud8… escape")
            return str(value)
        if isinstance(value, int):
            if abs(value) < HUGE:
                return int(value)
            self._wrong(place, shown(value, place), "a number of less than 18 digits")
            return None
        if isinstance(value, float):
            if not math.isfinite(value):
                self._wrong(place, "a number without end", "a finite number")
                return None
            return int(value) if value.is_integer() and abs(value) < 1e15 else float(value)
        self._wrong(place, shown(value), "null, true, false, a number, a text, a list or an object")
        return None

    def _wrong(self, place: Place, value: str, expected: str, hint: str = "") -> None:
        self.findings.append(Finding(path_of(place), value, expected, hint))


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
