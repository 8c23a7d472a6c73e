"""One line of the report: what was measured, against which limit, and what to do where it failed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "note"]
"""note: told, not judged."""


@dataclass(frozen=True, slots=True)
class Item:
    """part: audio, keying or network. value: for machines, in `unit`; None where it could not be measured.

    shown: for people. limit: what it is judged by. remedy: what to do; empty where it passed.
    """

    part: str
    name: str
    verdict: Verdict
    shown: str
    value: float | None = None
    unit: str = ""
    limit: str = ""
    remedy: str = ""

    def document(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def judged(
    part: str, name: str, value: float, unit: str, good: bool, limit: str, remedy: str, digits: int = 1
) -> Item:
    """An item with a number; the remedy is only said where it is wanted."""
    rounded = round(value, max(digits, 3)) + 0.0
    shown = f"{round(value, digits) + 0.0:.{digits}f} {unit}".strip()  # no "-0.0"
    return Item(part, name, "pass" if good else "fail", shown, rounded, unit, limit, "" if good else remedy)


def failed(part: str, name: str, shown: str, remedy: str, limit: str = "") -> Item:
    """What could not be measured, or is not a number."""
    return Item(part, name, "fail", shown, None, "", limit, remedy)


def noted(part: str, name: str, shown: str, value: float | None = None, unit: str = "") -> Item:
    """Told and not judged."""
    return Item(part, name, "note", shown, None if value is None else round(value, 3), unit)
