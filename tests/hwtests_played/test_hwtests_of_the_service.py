"""The hardware tests of the service, tried on one that is played; and on a machine that has nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from played_manager import PlayedManager

REPOSITORY = Path(__file__).parents[2]
WATCHDOG = "hwtests/test_hw_watchdog.py"


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-rsP", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(
        command,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_service_that_hangs_and_is_killed_and_comes_back_passes(tmp_path: Path) -> None:
    with PlayedManager(tmp_path, REPOSITORY) as manager:
        status, said = run(manager.environment() | {"ECHOSTREAM_DISTURB": "1"}, WATCHDOG)
    assert status == 0, said
    assert "3 passed" in said
    found = re.search(r"SIGSTOP: ready again after (\d+\.\d) s", said)
    assert found is not None
    assert float(found[1]) > 1


def test_service_that_is_not_disturbed_without_leave(tmp_path: Path) -> None:
    with PlayedManager(tmp_path, REPOSITORY) as manager:
        status, said = run(manager.environment(), WATCHDOG)
        assert (tmp_path / "NRestarts").read_text("ascii").strip() == "0"
    assert status == 0
    assert "3 skipped" in said
    assert "set ECHOSTREAM_DISTURB=1 where the installed gateway may be stopped and killed" in said


def test_machine_without_the_service_says_how_to_get_it(tmp_path: Path) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho inactive\n", "utf-8")
    systemctl.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    status, said = run({"PATH": path, "ECHOSTREAM_DISTURB": "1"}, WATCHDOG)
    assert status == 0
    assert "echostream.service is inactive: sudo make install" in said


def test_machine_without_cards_and_without_anybody_says_so() -> None:
    nothing = {"ECHOSTREAM_KERNEL": "/nonexistent:/nonexistent"}
    files = [f"hwtests/test_hw_{name}.py" for name in ("audio", "hotplug", "cm108", "soak")]
    status, said = run(nothing, *files)
    assert status == 0
    assert "passed" not in said
    assert "set ECHOSTREAM_HOTPLUG=1 when you stand at the machine" in said
    assert "no USB sound card with output and input is plugged in" in said
    assert "set ECHOSTREAM_SOAK_H=24" in said
