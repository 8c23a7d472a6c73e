"""The suite for a real Pi, tried on a simulated one: passes over a jumper, skips where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpio_bench import REPOSITORY
from gpio_simulator import GpioSimulator, build_forwarder

pytestmark = pytest.mark.real_gpio


def run(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "pytest", "hwtests/test_hw_gpio.py", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ
        | environment
        | {"PYTHONPATH": str(REPOSITORY), "ECHOSTREAM_HWTEST_ROUNDS": "1", "ECHOSTREAM_SLACK": "4"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_jumper_of_a_board_passes(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    with GpioSimulator(tmp_path / "chip.sock", persist_outputs=True) as board:
        board.wire(20, 21)
        said = run(board.environment(library))
    assert "9 passed, 4 skipped" in said
    assert "echostream-ptt-guard.service" in said, "what is held by a service is only where one is installed"


def test_board_without_the_jumper_says_what_to_connect(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    with GpioSimulator(tmp_path / "chip.sock") as board:
        said = run(board.environment(library))
    assert "passed" not in said
    assert "connect BCM 20 (header pin 38) to BCM 21 (pin 40) with a jumper" in said


def test_machine_without_gpio_says_so() -> None:
    assert "this does not look like a Raspberry Pi" in run({"GPIO_SIMULATOR": "/nonexistent"})
