"""The fuzzer itself: it runs every parser, and it would find what it looks for."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FUZZ = ROOT / "tests" / "fuzz"
TAKE_ALL = {
    "event_file",
    "framer",
    "microphone_pieces",
    "microphone_order",
    "receive_path",
    "ear",
    "tones",
    "torn_file",
}


def run_fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, FUZZ / "run.py", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_parser_holds_for_two_thousand_inputs() -> None:
    done = run_fuzz("--inputs", "2000", "--seed", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert {line.split()[0] for line in lines} >= {
        "datagram",
        "server",
        "client",
        "key",
        "opener",
        "replay_guard",
    }
    # Of every parser some inputs must get through and some must not, or the generator tests only one half.
    # Some take every input: a byte stream has no wrong bytes, and a conversation or a sound is played
    # whatever it holds.
    for line in lines:
        if line.split()[0] in TAKE_ALL:
            continue
        share = float(line.split("rejected")[1].split("%")[0])
        assert 0.5 < share < 99.5, line


def test_a_reproducer_runs_alone() -> None:
    assert run_fuzz("--parser", "key", "--repro", "TkFO").stdout == "rejected\n"


@pytest.fixture
def fuzz(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FUZZ))
    return importlib.import_module("run")


def spoilt(fuzz: Any, cause: type[BaseException]) -> Any:
    """A parser that fails on every input with an X in it."""

    def parse(data: bytes) -> bool:
        if b"X" in data:
            raise cause("spoilt")
        if b"Y" in data:
            raise ValueError("refused as it should be")
        return True

    return fuzz.Target("spoilt", parse, lambda rng: rng.randbytes(8), (ValueError,))


@pytest.mark.parametrize("cause", [KeyError, AssertionError, RecursionError, BaseException])
def test_a_stray_exception_is_found_and_shrunk_to_what_matters(
    fuzz: Any, cause: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = fuzz.fuzz(spoilt(fuzz, cause), 10_000, 1)
    assert outcome.finding.data == b"X"
    fuzz.report(outcome)
    assert "--repro 'WA=='" in capsys.readouterr().out


def test_the_same_seed_makes_the_same_inputs(fuzz: Any) -> None:
    first, again, other = (fuzz.fuzz(fuzz.TARGETS[0], 300, seed).rejected for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_an_input_that_takes_too_long_is_found(fuzz: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLOW_S", -1.0)
    outcome = fuzz.fuzz(fuzz.Target("slow", lambda data: True, lambda rng: b"", ()), 10, 1)
    assert "CPU time" in outcome.finding.trace
