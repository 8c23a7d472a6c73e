"""Keying through real lgpio and the real guard process, over a wire on a simulated chip."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpio_bench import REPOSITORY
from gpio_simulator import GpioSimulator, build_forwarder

pytestmark = pytest.mark.real_gpio


def keying(environment: dict[str, str], folder: Path) -> dict[str, dict[str, object]]:
    """The keying part of a self-test: real pins, because there is a chip; a simulated card."""
    command = [sys.executable, "-m", "echostream", "selftest", "--card", "simulated", "--simulate", "missing"]
    command += ["--out-pin", "12", "--in-pin", "20", "--quick", "--yes", "--json"]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY), "ECHOSTREAM_PTT_GUARD": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    items = json.loads(done.stdout)["items"]
    return {item["name"]: item for item in items if item["part"] == "keying"}


def test_a_wire_between_two_pins_is_measured(tmp_path: Path) -> None:
    library = build_forwarder(tmp_path)
    with GpioSimulator(tmp_path / "chip.sock", persist_outputs=True) as board:
        board.wire(12, 20)
        found = keying(board.environment(library), tmp_path)
        assert board.level(12) == 0, "the line is down at the end"
        assert board.consumer(12) == ""
    assert set(found) == {"key-up", "key-down", "drops by itself"}
    assert found["drops by itself"]["verdict"] == "pass"
    up_ms = found["key-up"]["value"]
    assert isinstance(up_ms, float)
    assert 0 < up_ms < 500
