"""What is searched for, and in what: words without case, accents or signs, the same in every database.

A recording's words are those of its labels, channel, device, tone names and notes. Beside them stand marks:
words with an underscore in front, which nobody can type, for what is asked for by its identity (`_d7` is
device 7). A search by words and by device is so one look into one inverted index. Everything here is pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_APART = re.compile(r"[\W_]+")
LONGEST_WORD: Final = 60
MOST_WORDS: Final = 400
"""Of one recording: a note may be long."""
MOST_TERMS: Final = 12
"""Of one search."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word that must occur; `begins`: one that begins with it is enough."""

    word: str
    begins: bool = False


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of these words must occur; `begins`: or one that begins so, where there are too many to name."""

    words: tuple[str, ...]
    begins: str = ""


def words_of(text: str) -> list[str]:
    """`"Straße 4, Wache-Süd"` -> `["strasse", "4", "wache", "sud"]`."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return [word[:LONGEST_WORD] for word in _APART.split(plain) if word]


def mark(kind: str, value: object) -> str:
    """A word that no person's text contains: `mark("d", 7)` -> `"_d7"`."""
    return f"_{kind}{'z'.join(words_of(str(value)))}"


def all_words(texts: Iterable[str], marks: Iterable[str]) -> str:
    """What the database gets: each word once, one space between."""
    found = dict.fromkeys(word for text in texts for word in words_of(text))
    return " ".join([*marks, *list(found)[:MOST_WORDS]])


def terms_of(text: str) -> list[Term]:
    """What a person types: `"porch eng*"`. The star stands at a word's end."""
    terms = []
    for part in text.split():
        words = words_of(part)
        terms += [Term(word) for word in words]
        if words and part.endswith("*"):
            terms[-1] = Term(words[-1], begins=True)
    return list(dict.fromkeys(terms))[:MOST_TERMS]


def fts5_match(groups: Iterable[AnyOf]) -> str:
    """An FTS5 expression: of every group at least one. Words are letters and digits: none needs an escape."""
    parts = []
    for group in groups:
        words = [f'"{word}"' for word in group.words] + ([f'"{group.begins}"*'] if group.begins else [])
        parts.append(f"({' OR '.join(words)})")
    return " AND ".join(parts)
