"""One check that breaks or hangs must not take the others with it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from doctor_machine import Machine

from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.running import run_checks
from echostream.doctor.world import World
from echostream.errors import AudioError

FINE = Kind("test.fine", Level.OK, "fine")


def fine(world: World) -> list[Finding]:
    return [FINE.at()]


def broken(world: World) -> list[Finding]:
    raise ZeroDivisionError("by accident")


def refused(world: World) -> list[Finding]:
    raise AudioError("the card is gone")


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(machine: Machine) -> None:
    checks = [
        Check("cards", "first", broken),
        Check("cards", "second", fine),
        Check("disk", "third", refused),
    ]
    first, second, third = run_checks(checks, machine.world())
    assert [finding.code for finding in first.findings] == ["doctor.broke"]
    assert "ZeroDivisionError: by accident" in first.findings[0].found
    assert [finding.code for finding in second.findings] == ["test.fine"]
    assert third.findings[0].found == "this could not be looked at: the card is gone"


def test_a_check_that_hangs_costs_its_time_and_no_more(machine: Machine, let_go: threading.Event) -> None:
    def hangs(world: World) -> list[Finding]:
        let_go.wait(30)
        return []

    checks = [Check("cards", "stuck", hangs, within_s=0.2), Check("cards", "well", fine)]
    stuck, well = run_checks(checks, machine.world())
    assert [finding.code for finding in stuck.findings] == ["doctor.late"]
    assert "--only cards" in stuck.findings[0].remedy
    assert stuck.took_s == 0.2
    assert [finding.code for finding in well.findings] == ["test.fine"]


def test_checks_that_wait_wait_together(machine: Machine) -> None:
    """Four that only go on when all four have begun."""
    together = threading.Barrier(4, timeout=5)

    def waits(world: World) -> list[Finding]:
        together.wait()
        return [FINE.at()]

    results = run_checks([Check("network", str(at), waits) for at in range(4)], machine.world())
    assert [finding.code for result in results for finding in result.findings] == ["test.fine"] * 4


def test_what_measures_runs_when_all_others_have_ended(machine: Machine) -> None:
    ended: list[str] = []

    def look(name: str) -> Check:
        def looked(world: World) -> list[Finding]:
            ended.append(name)
            return []

        return Check("realtime", name, looked, alone=name.startswith("alone"))

    results = list(run_checks([look("alone 1"), look("other"), look("alone 2")], machine.world()))
    assert ended == ["other", "alone 1", "alone 2"]
    assert [result.check.name for result in results] == ["alone 1", "other", "alone 2"]


def test_a_text_of_a_library_stays_on_one_line_and_short() -> None:
    told = Kind("test.long", Level.NOTE, "it says {why}").at(why="word\n" * 2000)
    assert "\n" not in told.found
    assert len(told.found) <= 600
    assert told.data == {"why": "word\n" * 2000}


def test_braces_in_what_was_found_are_taken_as_they_are() -> None:
    assert (
        Kind("test.braces", Level.NOTE, "it says {why}").at(why="{0} {x!r} }{").found
        == "it says {0} {x!r} }{"
    )


def test_what_is_known_is_told_before_the_last_has_ended(machine: Machine, let_go: threading.Event) -> None:
    def waits(world: World) -> list[Finding]:
        let_go.wait(10)
        return []

    results = run_checks([Check("cards", "quick", fine), Check("disk", "slow", waits)], machine.world())
    assert next(results).check.name == "quick"
    let_go.set()
    assert [result.check.name for result in results] == ["slow"]
