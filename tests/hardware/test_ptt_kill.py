"""No end that the gateway or its guard can meet leaves a transmitter keyed, be the guard the gateway's child
or a service. Many rounds of each, on both kinds of chips: tests/torture/kill_while_keyed.py."""

from __future__ import annotations

from pathlib import Path

import kill_bench
import pytest

pytestmark = pytest.mark.real_gpio


@pytest.mark.parametrize("blow", kill_bench.BLOWS)
@pytest.mark.parametrize("kind", kill_bench.KINDS)
def test_lines_are_down_in_time(blow: str, kind: str, tmp_path: Path) -> None:
    seconds = kill_bench.run(blow, 1, tmp_path, persist_outputs=True, kind=kind)
    assert max(seconds) <= kill_bench.BLOWS[blow].limit_s, seconds
