"""The report of a self-test: readable lines, or a document for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TextIO

from echostream import __version__
from echostream.selftest.items import Item

_WORDS: Final = {"pass": "pass", "fail": "FAIL", "note": "note"}
_COLOURS: Final = {"pass": "\x1b[32m", "fail": "\x1b[1;31m", "note": "\x1b[2m"}
_PLAIN: Final = "\x1b[0m"


@dataclass
class Report:
    """name: of what was tested. simulated: what stood in for hardware, in words."""

    name: str
    items: list[Item] = field(default_factory=list)
    simulated: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing failed, and something was judged."""
        verdicts = {item.verdict for item in self.items}
        return "fail" not in verdicts and "pass" in verdicts


def write_report(report: Report, out: TextIO) -> None:
    """A line for each item; under what failed, what to do."""
    out.write(f"self-test of {report.name}\n")
    for line in report.simulated:
        out.write(f"  {line}\n")
    part = ""
    for item in report.items:
        if item.part != part:
            part = item.part
            out.write(f"\n{part}\n")
        _write(item, _width(report.items), out)
    failures = sum(item.verdict == "fail" for item in report.items)
    verdict = "passed" if report.passed else f"FAILED: {failures} of {len(report.items)} items"
    out.write(f"\n{report.name}: {verdict}\n")


def _width(items: Sequence[Item]) -> int:
    return max(len(item.name) for item in items)


def _write(item: Item, width: int, out: TextIO) -> None:
    word = _WORDS[item.verdict]
    if out.isatty():
        word = f"{_COLOURS[item.verdict]}{word}{_PLAIN}"
    limit = f"   ({item.limit})" if item.limit else ""
    out.write(f"  {word}  {item.name:<{width}}  {item.shown}{limit}\n")
    if item.remedy:
        out.write(f"        {'':<{width}}  -> {item.remedy}\n")


def write_json(report: Report, out: TextIO) -> None:
    """The same for machines."""
    document = {
        "version": __version__,
        "name": report.name,
        "passed": report.passed,
        "simulated": report.simulated,
        "items": [item.document() for item in report.items],
    }
    out.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
