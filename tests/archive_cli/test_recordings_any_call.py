"""Whatever is typed: an answer, or words that say what is wrong; no traceback, and nothing is changed."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import pytest
from archive_house import NOON, SECOND, ArchiveHouse, noise
from hypothesis import given, settings
from hypothesis import strategies as st

from echostream.archive.recording import Gap, ToneMark
from echostream.cli import main

WORDS = st.sampled_from(
    [
        *("porch", "ems.net", "*", "[", "../..", "/etc/passwd", "2024-11-21_1200_00_porch.wav", ""),
        *("--from", "--to", "--for", "--text", "--tone", "--kind", "--limit", "--rate", "--squeeze"),
        *("today", "-2h", "1h", "12:00", "2024-11-21", "@0", "@99999999999", "eng*", "device", "8000"),
        *("--json", "--utc", "--by-files", "--quick", "--all", "--protected", "--mix", "--join", "time"),
        *("9999-12-31", "0001-01-01", "36500d", "0", "1", "-", "a" * 300, "\U0001f4fb", "é\0"),
    ]
)
COMMANDS = st.sampled_from(["list", "show", "verify", "stats", "export", "repair", "nonsense"])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> ArchiveHouse:
    house = ArchiveHouse(tmp_path_factory.mktemp("any") / "archive")
    tone = ToneMark("engine-7", "Engine 7", NOON, NOON + SECOND)
    house.add("porch", NOON, noise(800), tones=[tone], gaps=[Gap(NOON, NOON + 1000, "overload", 5)])
    house.add("ems", NOON + SECOND, noise(800), kind="network", form="flac", state="open", ended="")
    return house


@settings(max_examples=80)
@given(COMMANDS, st.lists(WORDS, max_size=6))
def test_any_call_is_answered(house: ArchiveHouse, command: str, words: list[str]) -> None:
    before = {path: path.read_bytes() for path in house.directory.rglob("*") if path.is_file()}
    out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
    arguments = ["recordings", command, *words, "--directory", str(house.directory), "--by-files"]
    if command == "export":
        arguments += ["-o", str(house.directory.parent / "out.wav"), "--force"]
    if command == "repair":
        arguments.append("--dry-run")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(arguments)
        except SystemExit as ended:  # argparse
            code = int(ended.code or 0)
    assert code in (0, 1, 2)
    assert code != 2 or err.getvalue(), "what is wrong is said"
    assert "Traceback" not in err.getvalue()
    after = {path: path.read_bytes() for path in house.directory.rglob("*") if path.is_file()}
    assert after == before


def test_a_file_instead_of_a_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no archive")
    place = ("--directory", str(tmp_path / "file"))
    for command in ("list", "verify", "stats", "repair"):
        assert main(["recordings", command, *place]) == 2
    for command in ("show", "protect", "delete", "play"):
        assert main(["recordings", command, "x", *place]) == 2
