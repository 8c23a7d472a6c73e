"""Which definition was dialled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from echostream.tones.plan import Digits

ANY_DIGIT: Final = "?"


def fits(pattern: str, digits: str) -> bool:
    """All of `digits` as `pattern` has them; a "?" stands for any one digit."""
    same_length = len(pattern) == len(digits) > 0
    return same_length and all(p in (ANY_DIGIT, d) for p, d in zip(pattern.upper(), digits, strict=True))


def most_exact(definitions: Sequence[Digits]) -> Digits | None:
    """The one with the most digits that are not left open, then the longest, then the first."""
    if not definitions:
        return None
    return max(
        definitions, key=lambda item: (len(item.digits) - item.digits.count(ANY_DIGIT), len(item.digits))
    )


class TailMatcher:
    """Compares what has been dialled so far, digit by digit: a definition may be the tail of it.

    One digit completes at most one definition, and the same definition takes no digit twice.
    """

    def __init__(self, definitions: Sequence[Digits]) -> None:
        self._definitions = tuple(definitions)
        self._used: dict[str, int] = {}

    def match(self, dialled: str) -> Digits | None:
        """After each digit: what its coming has completed."""
        fitting = [item for item in self._definitions if self._completes(item, dialled)]
        found = most_exact(fitting)
        if found is not None:
            self._used[found.tone_id] = len(dialled)
        return found

    def clear(self) -> None:
        """A new string begins."""
        self._used.clear()

    def _completes(self, item: Digits, dialled: str) -> bool:
        start = len(dialled) - len(item.digits)
        return start >= self._used.get(item.tone_id, 0) and fits(item.digits, dialled[max(start, 0) :])
