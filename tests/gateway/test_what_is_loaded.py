"""A gateway loads a library when something needs it: not at its start, and not where it is switched off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("apprise", "boto3", "botocore", "matplotlib", "paho", "requests", "scipy", "sqlalchemy")


@pytest.mark.parametrize("module", ["echostream.main", "echostream.cli"])
def test_what_not_every_gateway_needs_is_not_loaded_with_it(module: str) -> None:
    program = (
        f"import sys, {module}; {module}.build_parser() if hasattr({module}, 'build_parser') else 0; "
        f"print(*[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == []
