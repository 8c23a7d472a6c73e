"""Libraries that do not load, do so and take their process along, or are of another version."""

from __future__ import annotations

import json
from functools import partial

import pytest
from doctor_machine import Machine, findings
from hypothesis import given
from hypothesis import strategies as st

from echostream.doctor import software
from echostream.doctor.model import Level
from echostream.doctor.software import EXTRA, NEEDED, within
from echostream.doctor.world import Ran, run_program

look = partial(findings, software.checks)
PYTHON = "/"  # every program whose path begins so: the interpreter that imports


def answers(machine: Machine, **broken: str) -> None:
    told = dict.fromkeys({**NEEDED, **EXTRA}, "") | broken
    document = {"told": told, "opus": "libopus 1.3.1", "audio": "PortAudio V19.6.0, revision 396"}
    machine.programs[PYTHON] = Ran(0, json.dumps(document) + "\n")


def test_all_that_is_needed_loads_here(machine: Machine) -> None:
    """Really imported, in a process of its own."""
    found = look(machine.world(run=run_program))
    assert "software.library" not in found
    assert "libopus 1." in found["software.libraries"][0].found
    assert "PortAudio" in found["software.libraries"][0].found


def test_a_library_whose_system_part_is_missing_names_the_package(machine: Machine) -> None:
    answers(machine, opuslib="Exception: Could not find Opus library. Make sure it is installed.")
    [found] = look(machine.world())["software.library"]
    assert found.level is Level.FAILURE
    assert "sudo apt install libopus0" in found.remedy


def test_what_only_a_feature_needs_is_a_warning(machine: Machine) -> None:
    answers(machine, matplotlib="ImportError: broken")
    found = look(machine.world())
    assert "software.library" not in found
    assert found["software.extra"][0].found == "matplotlib does not load: ImportError: broken"


def test_a_library_that_ends_its_process_is_named(machine: Machine) -> None:
    lines = "".join(json.dumps({"at": name}) + "\n" for name in ("numpy", "pyaudio"))
    machine.programs[PYTHON] = Ran(-11, lines)
    [found] = look(machine.world())["software.library"]
    assert found.found.startswith("pyaudio does not load: the process that imports it ended (-11)")
    assert "libportaudio2" in found.remedy


def test_an_interpreter_that_does_not_start(machine: Machine) -> None:
    machine.programs[PYTHON] = Ran(None, "", "Exec format error")
    assert "Exec format error" in look(machine.world())["software.library"][0].found


def test_an_old_kernel_has_no_lines_for_us(machine: Machine) -> None:
    answers(machine)
    machine.write("/proc/sys/kernel/osrelease", "5.4.83-v7l+\n")
    assert look(machine.world())["software.old_kernel"][0].level is Level.FAILURE
    machine.write("/proc/sys/kernel/osrelease", "6.1.21-v8+\n")
    assert "software.old_kernel" not in look(machine.world())


def test_a_python_that_nobody_tested(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(machine)
    monkeypatch.setattr(software, "SUPPORTED", ((3, 2), (3, 3)))
    assert "3.2 to 3.3" in look(machine.world())["software.python"][0].found


def test_a_library_out_of_its_range(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(machine)
    monkeypatch.setattr(software, "_requirements", lambda: ["numpy<1.26", "pytest>=1", "not-installed>=9"])
    [found] = look(machine.world())["software.range"]
    assert found.remedy.endswith("pip install 'numpy<1.26'")


@pytest.mark.parametrize(
    ("version", "wanted", "met"),
    [
        ("2.1.3", ">=2,<3", True),
        ("3.0", ">=2,<3", False),
        ("2", ">=2.0.0", True),
        ("0.2.14", ">=0.2.14,<0.3", True),
        ("0.2.9", ">=0.2.14", False),
        ("1.4.9", "==1.4.*", True),
        ("1.5", "==1.4.*", False),
        ("1.4.5", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2.0rc1", "!=2.0", False),
        ("weird", "", True),
    ],
)
def test_ranges(version: str, wanted: str, met: bool) -> None:
    assert within(version, wanted) is met


@given(numbers=st.lists(st.integers(0, 99), min_size=1, max_size=4), raised=st.integers(0, 3))
def test_a_version_is_in_the_range_that_begins_with_it(numbers: list[int], raised: int) -> None:
    version = ".".join(map(str, numbers))
    higher = [*numbers[:raised], numbers[min(raised, len(numbers) - 1)] + 1]
    assert within(version, f">={version},<={version}.0")
    assert not within(version, f"<{version}")
    assert within(".".join(map(str, higher)), f">{version}") is (tuple(higher) > tuple(numbers))
