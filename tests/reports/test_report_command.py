"""`echostream report`, as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from told_day import a_day

from echostream.cli import main
from echostream.errors import EventLogError
from echostream.event_log.files import LogFiles, log_directory
from echostream.event_tools.report_command import parse_day

Told = Callable[..., str]


@pytest.fixture
def told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    LogFiles(log_directory(tmp_path), "station-4").append(a_day())

    def run(*args: str) -> str:
        assert main(["report", "2026-11-20", "--utc", "--directory", str(tmp_path), *args]) == 0
        return capsys.readouterr().out

    return run


def test_each_form_is_printed(told: Told) -> None:
    assert told().startswith("station-4, 2026-11-20 (UTC)\n")
    assert told("--csv").startswith("date,kind,")
    assert json.loads(told("--json"))["pages_heard"] == 1
    assert told("--html").startswith("<!doctype html>")


def test_it_is_written_where_it_is_asked_for(told: Told, tmp_path: Path) -> None:
    out = tmp_path / "day.csv"
    assert told("--csv", "-o", str(out)) == ""
    assert out.read_bytes().count(b"\r\n") == 7


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["report", "noon"], '"noon" is no day: expected 2026-11-21, today or yesterday'),
        (["report", "2026-02-30"], '"2026-02-30" is no day'),
        (["report", "--directory", "/nonexistent"], "/nonexistent: no event log there"),
        (["report", "--config", "/nonexistent.json"], "/nonexistent.json"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(
    args: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    if "--directory" not in args and "--config" not in args:
        LogFiles(log_directory(tmp_path), "g").append(a_day())
        args = [*args, "--directory", str(tmp_path)]
    assert main(args) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_said_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LogFiles(log_directory(tmp_path), "g").append(a_day())
    assert main(["report", "2026-11-20", "--directory", str(tmp_path), "-o", "/nonexistent/x"]) == 2
    assert "/nonexistent/x: cannot be written" in capsys.readouterr().err


def test_days_are_those_of_the_clock_that_is_asked_for() -> None:
    from datetime import date
    from zoneinfo import ZoneInfo

    half_past_midnight = 1_795_220_000_000_000  # 2026-11-21 00:13 UTC
    new_york = ZoneInfo("America/New_York")
    assert parse_day("today", half_past_midnight, new_york) == date(2026, 11, 20)
    assert parse_day(" Yesterday", half_past_midnight, ZoneInfo("UTC")) == date(2026, 11, 20)
    with pytest.raises(EventLogError):
        parse_day("1900-01-01", half_past_midnight, None)


def test_the_configuration_names_place_channels_and_microphones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LogFiles(log_directory(tmp_path), "station-4").append(a_day())
    document = {
        "gateway": {"id": "station-4", "affiliation_id": "g"},
        "control_server": {"url": "ws://127.0.0.1:9"},
        "channels": [{"id": "ems", "card": "none"}, {"id": "spare", "name": "Spare", "card": "none"}],
        "events": {"directory": str(tmp_path)},
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))
    assert main(["report", "2026-11-20", "--utc", "--config", str(path), "--json"]) == 0
    read = json.loads(capsys.readouterr().out)
    assert [one["channel_id"] for one in read["channels"]] == ["ems", "spare", "fire"]
    assert read["channels"][1]["name"] == "Spare"
