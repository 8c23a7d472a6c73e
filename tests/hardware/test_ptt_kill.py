"""No end that the gateway or its guard can meet leaves a transmitter keyed. A hundred rounds of each:
tests/torture/kill_while_keyed.py."""

from __future__ import annotations

from pathlib import Path

import kill_bench
import pytest

pytestmark = pytest.mark.real_gpio


@pytest.mark.parametrize("trial", kill_bench.TRIALS)
@pytest.mark.parametrize("persist", [True, False], ids=["persist", "release"])
def test_lines_are_down_within_250_ms(trial: str, persist: bool, tmp_path: Path) -> None:
    seconds = kill_bench.run(trial, 4 if persist else 1, tmp_path, persist)
    assert max(seconds) <= 0.25, seconds
