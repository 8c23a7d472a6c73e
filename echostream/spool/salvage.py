"""What can still be read of a damaged spool."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from echostream.errors import SpoolUnavailable
from echostream.spool.file import BROKEN, PARTS
from echostream.spool.item import Item

MOST_ITEMS: Final = 1_000_000
_FORWARDS: Final = "SELECT number, at_us, weight, lane, key, body FROM items ORDER BY number"
_BACKWARDS: Final = f"{_FORWARDS} DESC"


def readable(path: Path) -> list[Item]:
    """The items before the first damaged page and those behind the last one, in their order."""
    found: dict[int, Item] = {}
    for question in (_FORWARDS, _BACKWARDS):
        for item in _until_it_breaks(path, question):
            if item.number in found:
                break
            found[item.number] = item
    return [found[number] for number in sorted(found)]


def _until_it_breaks(path: Path, question: str) -> Iterator[Item]:
    try:
        file = sqlite3.connect(path, timeout=1.0)
    except sqlite3.Error:
        return
    file.text_factory = lambda raw: raw.decode("utf-8", "replace")
    try:
        for at, row in enumerate(file.execute(question)):
            item = _checked(row)
            if item is not None:
                yield item
            if at >= MOST_ITEMS:
                return
    except sqlite3.Error:
        return  # the page at which it breaks
    finally:
        file.close()


def _checked(row: tuple[object, ...]) -> Item | None:
    """A damaged page may still be a page, with nonsense in its cells."""
    match row:
        case (int(number), int(at_us), int(weight), str(lane), str(key), bytes(body)) if number > 0:
            return Item(at_us, weight, lane, key, body, number)
        case _:
            return None


def move_aside(path: Path) -> None:
    """Put a damaged file where nobody opens it; one from before gives way. Raises SpoolUnavailable."""
    try:
        for part in PARTS:
            aside = path.with_name(f"{path.name}{BROKEN}{part}")
            aside.unlink(missing_ok=True)
            there = path.with_name(f"{path.name}{part}")
            if there.exists():
                there.replace(aside)
    except OSError as error:
        raise SpoolUnavailable(f"{path} is damaged and cannot be moved aside: {error.strerror}") from error
