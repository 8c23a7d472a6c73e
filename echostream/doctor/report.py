"""What the doctor found, as a page to read and as JSON."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Final, TextIO

from echostream import __version__
from echostream.doctor.model import Finding, Level
from echostream.doctor.running import Result
from echostream.doctor.world import World

FORM: Final = 1
"""Of the JSON; a change that a reader must know of raises it."""
WIDTH: Final = 100
_SIGNS: Final = {Level.OK: "ok", Level.NOTE: "note", Level.WARNING: "WARNING", Level.FAILURE: "FAILURE"}
_COLOURS: Final = {Level.OK: "32", Level.NOTE: "36", Level.WARNING: "33;1", Level.FAILURE: "31;1"}
_HEAD: Final = 9
"""Columns of the longest sign, and two."""


def all_findings(results: Sequence[Result]) -> list[Finding]:
    """Of all checks, in their order."""
    return [finding for result in results for finding in result.findings]


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when something does not work; warnings do not count."""
    return int(any(finding.level is Level.FAILURE for finding in findings))


def write_report(
    results: Iterable[Result], world: World, out: TextIO, titles: dict[str, str]
) -> list[Finding]:
    """By group, each as soon as it is known; all that was found. titles: of the groups, by name."""
    page = _Page(out)
    where = f"configuration {world.config_path}" if world.config_path else "no configuration"
    page.line(f"EchoStream {__version__}, {where}, as seen for user {world.account.name}")
    everything: list[Finding] = []
    for group, of_group in groupby(results, lambda result: result.check.group):
        found = all_findings(list(of_group))
        everything += found
        if found:
            page.line("")
            page.line(titles[group], "1")
        for finding, following in zip_longest(found, found[1:]):
            # Four cards that are away are four lines, and what helps stands below them once.
            alike = following is not None and (following.code, following.remedy) == (
                finding.code,
                finding.remedy,
            )
            page.finding(finding, finding.remedy if not alike else "")
        out.flush()
    page.line("")
    page.line(summary(everything))
    return everything


def summary(findings: Sequence[Finding]) -> str:
    """One line."""
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    told = [
        f"{counts[level]} {word if counts[level] == 1 else word + 's'}"
        for level, word in ((Level.FAILURE, "failure"), (Level.WARNING, "warning"), (Level.NOTE, "note"))
        if counts[level]
    ]
    fine = f"{counts[Level.OK]} ok"
    return f"{', '.join(told)}, {fine}" if told else f"all fine: {fine}"


def write_json(results: Sequence[Result], world: World, out: TextIO) -> None:
    """For machines."""
    found = all_findings(results)
    document = {
        "form": FORM,
        "version": __version__,
        "at_us": world.now_us(),
        "config": str(world.config_path) if world.config_path else None,
        "user": world.account.name,
        "exit_code": exit_code(found),
        "counts": {str(level): sum(finding.level is level for finding in found) for level in Level},
        "findings": list(_rows(results)),
        "checks": [
            {"group": result.check.group, "name": result.check.name, "took_s": round(result.took_s, 3)}
            for result in results
        ],
    }
    out.write(json.dumps(document, indent=2, default=str) + "\n")


def _rows(results: Sequence[Result]) -> Iterator[dict[str, object]]:
    for result in results:
        for finding in result.findings:
            yield {
                "group": result.check.group,
                "check": result.check.name,
                "code": finding.code,
                "level": str(finding.level),
                "place": finding.place,
                "found": finding.found,
                "remedy": finding.remedy,
                "data": dict(finding.data),
            }


class _Page:
    """Lines of text, with colours on a terminal that wants them (no-color.org)."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._encoding = getattr(out, "encoding", None) or "utf-8"
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def line(self, text: str, colour: str = "") -> None:
        plain = text.encode(self._encoding, "replace").decode(self._encoding)
        self._out.write(f"{self._in(colour, plain)}\n")

    def finding(self, finding: Finding, remedy: str) -> None:
        sign = _SIGNS[finding.level]
        place = f"{finding.place}: " if finding.place else ""
        first, *more = self._wrapped(f"{place}{finding.found}", " " * (_HEAD + 2))
        self._out.write(f"  {self._in(_COLOURS[finding.level], sign.ljust(_HEAD))}{first.lstrip()}\n")
        for line in more:
            self.line(line)
        if remedy:
            for line in self._wrapped(f"-> {remedy}", " " * (_HEAD + 2), " " * (_HEAD + 5)):
                self.line(line)

    def _wrapped(self, text: str, first: str, later: str | None = None) -> list[str]:
        text = text.encode(self._encoding, "replace").decode(self._encoding)
        lines = textwrap.wrap(
            text,
            WIDTH,
            initial_indent=first,
            subsequent_indent=later or first,
            break_long_words=False,
            break_on_hyphens=False,
        )
        return lines or [first]

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if colour and self._coloured else text
