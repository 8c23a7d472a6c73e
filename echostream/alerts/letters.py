"""One message to one target, and how it stands in the spool. Pure."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from echostream.spool.item import Item

MOST_IN_ONE: Final = 50
ONE_BY_ONE: Final = 3
"""More than this wait: they go in one, for nobody reads forty messages, and an SMS costs money."""


@dataclass(frozen=True, slots=True)
class Letter:
    """kind: "info", "success", "warning" or "failure". weight: what gives way first, the least. number: in
    the spool. put_s: since when it has waited, monotonic."""

    target: str
    title: str
    body: str
    kind: str
    weight: int
    at_us: int
    rule: str = ""
    incident: int = 0
    number: int = 0
    put_s: float = 0.0
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


def to_item(letter: Letter) -> Item:
    """As it waits on the disk."""
    body = {
        "title": letter.title,
        "body": letter.body,
        "kind": letter.kind,
        "rule": letter.rule,
        "incident": letter.incident,
    }
    text = json.dumps(body, ensure_ascii=False).encode()
    return Item(letter.at_us, letter.weight, letter.target, letter.id, text)


def from_item(item: Item, now_s: float) -> Letter | None:
    """None: it is none of ours."""
    try:
        body = json.loads(item.body)
        return Letter(
            item.lane,
            str(body["title"]),
            str(body["body"]),
            str(body["kind"]),
            item.weight,
            item.at_us,
            str(body["rule"]),
            int(body["incident"]),
            item.number,
            now_s,
            item.key,
        )
    except (ValueError, KeyError, TypeError):
        return None


def next_ones(waiting: Sequence[Letter]) -> tuple[Letter, ...]:
    """What goes in one message, of those that wait for one target."""
    return tuple(waiting[:1] if len(waiting) <= ONE_BY_ONE else waiting[:MOST_IN_ONE])


def in_one(gateway: str, letters: Sequence[Letter]) -> tuple[str, str, str]:
    """Title, text and kind of a message that carries these."""
    if len(letters) == 1:
        return letters[0].title, letters[0].body, letters[0].kind
    lines = [f"{letter.title.removeprefix(f'{gateway}: ')}\n{letter.body}" for letter in letters]
    kinds = [letter.kind for letter in letters]
    worst = next((kind for kind in ("failure", "warning", "info") if kind in kinds), "success")
    return f"{gateway}: {len(letters)} messages", "\n\n".join(lines), worst
