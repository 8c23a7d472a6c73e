"""What a check is, and what it finds. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from echostream.doctor.world import World

LONGEST_TEXT: Final = 600
"""Of what was found: a library's own words can be a page."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing needs to be done."""
    WARNING = "warning"
    """It works, and will not for ever, or not as well as it could."""
    FAILURE = "failure"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. place: where, such as `channels[0].card` or a path; "" is the machine.
    data: what was measured, for machines."""

    code: str
    level: Level
    place: str
    found: str
    remedy: str = ""
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of finding, as docs/doctor.md has it. found, remedy: texts with {fields} in them."""

    code: str
    level: Level
    found: str
    remedy: str = ""

    def at(self, place: str = "", data: Mapping[str, object] | None = None, /, **fields: object) -> Finding:
        """The finding at one place. data: for machines; without it the fields are."""
        found = _one_line(self.found.format(**fields))
        remedy = _one_line(self.remedy.format(**fields))
        told = dict(fields) if data is None else dict(data)
        return Finding(self.code, self.level, place, found, remedy, told)


@dataclass(frozen=True, slots=True)
class Check:
    """One look at the world. within_s: an answer that takes longer is a finding itself. alone: runs when all
    others have ended, because it measures what they would disturb. slow: left out by --quick."""

    group: str
    name: str
    look: Callable[[World], list[Finding]]
    within_s: float = 10.0
    alone: bool = False
    slow: bool = False


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_TEXT else f"{line[: LONGEST_TEXT - 1]}…"
