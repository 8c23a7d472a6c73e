"""The page about all findings is made from them, and none of them leaves its reader alone."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from string import Formatter

from doctor_machine import Machine, document

from echostream.doctor.catalogue import checks, kinds
from echostream.doctor.groups import GROUPS, LOOKS_AT
from echostream.doctor.model import Level
from echostream.doctor.reference import render

PAGE = Path(__file__).parents[2] / "docs/doctor.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "python -m echostream.doctor.reference > docs/doctor.md"


def test_every_group_has_checks_findings_and_words(machine: Machine) -> None:
    machine.configure(document())
    found = Counter(check.group for check in checks(machine.world()))
    assert set(found) == set(GROUPS) == set(LOOKS_AT)
    assert all(list(kinds(group)) for group in GROUPS)


def test_each_code_is_of_its_group_and_there_once() -> None:
    codes = [(group, kind.code) for group in GROUPS for kind in kinds(group)]
    assert all(re.fullmatch(rf"{group}\.[a-z0-9_]+", code) for group, code in codes), codes
    assert max(Counter(code for _, code in codes).values()) == 1


def test_whoever_reads_that_something_is_wrong_reads_what_helps() -> None:
    alone = [
        kind.code
        for group in GROUPS
        for kind in kinds(group)
        if kind.level in (Level.WARNING, Level.FAILURE) and not kind.remedy
    ]
    assert not alone


def test_a_remedy_names_only_what_the_finding_knows() -> None:
    for group in GROUPS:
        for kind in kinds(group):
            names = {
                name
                for text in (kind.found, kind.remedy)
                for _, name, _, _ in Formatter().parse(text)
                if name
            }
            assert all(name.isidentifier() for name in names), kind.code


def test_only_narrows_to_the_groups_that_were_asked_for(machine: Machine) -> None:
    assert {check.group for check in checks(machine.world(), ["clock", "disk"])} == {"clock", "disk"}


def test_quick_leaves_out_what_takes_time(machine: Machine) -> None:
    machine.configure(document())
    assert any(check.slow for check in checks(machine.world()))
    assert not any(check.slow for check in checks(machine.world(quick=True)))
