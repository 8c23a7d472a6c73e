"""What a person reads, and what a machine reads."""

from __future__ import annotations

import io
import json

import pytest
from doctor_machine import Machine

from echostream.doctor.groups import TITLES
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.report import all_findings, exit_code, summary, write_json, write_report
from echostream.doctor.running import Result
from echostream.doctor.world import World

OK = Kind("disk.ok", Level.OK, "enough room")
NOTE = Kind("disk.note", Level.NOTE, "an SD card")
WARNING = Kind("disk.warning", Level.WARNING, "little room, {free} µB", "make room")
FAILURE = Kind("cards.failure", Level.FAILURE, "no card", "plug it in")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def nothing(world: World) -> list[Finding]:
    return []


def results(*kinds: Kind) -> list[Result]:
    found = tuple(kind.at("place", free=3) for kind in kinds)
    return [Result(Check("disk", "space", nothing), found, 0.1)]


@pytest.mark.parametrize(
    ("kinds", "code"), [((OK, NOTE), 0), ((OK, WARNING), 0), ((OK, FAILURE, WARNING), 1), ((), 0)]
)
def test_only_failures_count_for_the_exit_code(kinds: tuple[Kind, ...], code: int) -> None:
    assert exit_code(all_findings(results(*kinds))) == code


def test_a_remedy_stands_below_what_it_helps_against(machine: Machine) -> None:
    out = io.StringIO()
    write_report(results(WARNING, OK), machine.world(), out, TITLES)
    lines = out.getvalue().splitlines()
    at = next(number for number, line in enumerate(lines) if "WARNING" in line)
    assert lines[at - 1] == "Disk"
    assert lines[at] == "  WARNING  place: little room, 3 µB"
    assert lines[at + 1].strip() == "-> make room"
    assert lines[at + 2] == "  ok       place: enough room"
    assert lines[-1] == "1 warning, 1 ok"


def test_what_helps_several_stands_below_the_last_of_them(machine: Machine) -> None:
    out = io.StringIO()
    write_report(results(FAILURE, FAILURE, WARNING, FAILURE), machine.world(), out, TITLES)
    page = out.getvalue()
    assert page.count("no card") == 3
    assert page.count("-> plug it in") == 2
    assert page.count("-> make room") == 1


def test_a_group_that_found_nothing_has_no_title(machine: Machine) -> None:
    out = io.StringIO()
    write_report(
        [Result(Check("cards", "none", nothing), (), 0.0), *results(OK)], machine.world(), out, TITLES
    )
    assert "Sound cards" not in out.getvalue()
    assert "Disk" in out.getvalue()


def test_colours_are_for_terminals_that_want_them(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for out in (terminal, pipe):
        write_report(results(FAILURE), machine.world(), out, TITLES)
    assert "\x1b[31;1mFAILURE" in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    asked = Terminal()
    write_report(results(FAILURE), machine.world(), asked, TITLES)
    assert "\x1b" not in asked.getvalue()


def test_a_terminal_that_knows_only_ascii_gets_ascii(machine: Machine) -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    write_report(results(WARNING), machine.world(), out, TITLES)
    assert b"little room, 3 ?B" in raw.getvalue()


def test_json_has_all_that_the_page_has_and_what_was_measured(machine: Machine) -> None:
    out = io.StringIO()
    write_json(results(WARNING, FAILURE), machine.world(), out)
    document = json.loads(out.getvalue())
    assert document["exit_code"] == 1
    assert document["counts"] == {"ok": 0, "note": 0, "warning": 1, "failure": 1}
    assert document["findings"][0] == {
        "group": "disk",
        "check": "space",
        "code": "disk.warning",
        "level": "warning",
        "place": "place",
        "found": "little room, 3 µB",
        "remedy": "make room",
        "data": {"free": 3},
    }
    assert document["checks"] == [{"group": "disk", "name": "space", "took_s": 0.1}]


def test_the_last_line_says_how_much_of_what_there_is() -> None:
    assert summary(all_findings(results(OK, OK))) == "all fine: 2 ok"
    assert summary(all_findings(results(FAILURE, FAILURE, NOTE))) == "2 failures, 1 note, 0 ok"
