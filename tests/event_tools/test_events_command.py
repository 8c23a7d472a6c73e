"""`echostream events`: finds, follows, and shows what came from outside without obeying it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echostream.cli import main
from echostream.event_log.files import LogFiles, log_directory
from echostream.event_tools.listing import printable
from echostream.notices.notice import Notice

NOON_US = 1_795_262_400_000_000
"""2026-11-21 12:00 UTC."""
MINUTE_US = 60_000_000


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    notices = [Notice("page", NOON_US + n * MINUTE_US, f"page {n}", "fire") for n in range(100)]
    notices[7] = Notice("admin", NOON_US + 7 * MINUTE_US, "deleted x", who="cli:anna", data={"act": "delete"})
    LogFiles(log_directory(tmp_path), "station-7").append(notices)
    return tmp_path


def events(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert main(["events", "--utc", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_newest_are_at_the_bottom(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = events(capsys, "--directory", str(logged), "--limit", "2")
    assert lines == [
        "2026-11-21 13:38:00.000  page          page 98",
        "2026-11-21 13:39:00.000  page          page 99",
    ]
    assert len(events(capsys, "--directory", str(logged))) == 50


def test_a_range_is_shown_whole(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--directory", str(logged))
    assert len(events(capsys, *where, "--since", "2026-11-21")) == 100
    ten = events(capsys, *where, "--since", "2026-11-21 12:10", "--until", "2026-11-21 12:20")
    assert (len(ten), ten[0][-7:]) == (10, "page 10")


def test_who_did_what(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = events(capsys, "--directory", str(logged), "--who", "cli:")
    assert line.endswith("admin         deleted x  (cli:anna)")
    (line,) = events(capsys, "--directory", str(logged / "log"), "--kind", "admin", "--json")
    found = json.loads(line)
    assert (found["n"], found["data"], found["gateway"]) == (8, {"act": "delete"}, "station-7")


def test_the_configuration_says_where(logged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = logged / "config.json"
    config.write_text(
        json.dumps(
            {
                "gateway": {"id": "g", "affiliation_id": "g"},
                "control_server": {"url": "ws://127.0.0.1:1"},
                "channels": [{"id": "a", "card": "none"}],
                "events": {"directory": str(logged)},
            }
        ),
        "utf-8",
    )
    assert len(events(capsys, "--config", str(config), "--limit", "3")) == 3


def test_no_log_there_is_said_with_the_remedy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["events", "--directory", str(tmp_path)]) == 2
    assert "--directory or --config" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [["--kind", "pages"], ["--since", "soon"], ["--limit", "0"]])
def test_a_wrong_call_says_what_is_expected(
    bad: list[str], logged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(main(["events", "--directory", str(logged), *bad]))
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


def test_what_steers_a_terminal_is_shown() -> None:
    assert printable("a\x1b[2Jb\x07\nc\u202ed") == "a\\u001b[2Jb\\u0007 c\\u202ed"
    assert printable("Löschzug 7 消防") == "Löschzug 7 消防"


def test_following_shows_what_comes_and_ends_with_the_pipe(logged: Path) -> None:
    command = [sys.executable, "-m", "echostream", "events", "--directory", str(logged), "--follow", "--json"]
    process = subprocess.Popen([*command, "--limit", "1"], stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["n"] == 100
        LogFiles(log_directory(logged)).append([Notice("page", NOON_US, "news")])
        began_s = time.monotonic()
        assert json.loads(process.stdout.readline())["text"] == "news"
        assert time.monotonic() - began_s < 3.0
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
