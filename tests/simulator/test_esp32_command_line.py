"""What a person types: ranges, mistakes, and a help that teaches."""

from __future__ import annotations

import argparse

import pytest

from echostream.cli import build_parser
from echostream.simulator.esp32_options import add_arguments

TO = ("--to", "127.0.0.1:9000")


def parsed(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([*TO, *options])


@pytest.mark.parametrize(
    ("text", "target"),
    [("gateway:9000", ("gateway", 9000)), ("[::1]:9000", ("::1", 9000)), ("10.0.0.7:1", ("10.0.0.7", 1))],
)
def test_a_target_is_host_and_port(text: str, target: tuple[str, int]) -> None:
    assert parsed("--to", text).to == target


@pytest.mark.parametrize(
    "options",
    [
        ("--to", "9000"),
        ("--to", "host:"),
        ("--to", ":9000"),
        ("--to", "host:65536"),
        ("--to", "host:٣"),
        ("--devices", "0"),
        ("--devices", "4001"),
        ("--chunk", "0"),
        ("--drop", "1.1"),
        ("--drop", "nan"),
        ("--ppm", "nan"),
        ("--ppm", "1:x"),
        ("--rate", "999"),
        ("--format", "s24le"),
        ("--for", "0"),
        ("--for", "5", "--loop"),
        ("--channels", "3"),
    ],
)
def test_what_makes_no_sense_is_refused(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*options)
    assert ended.value.code == 2
    assert "error" in capsys.readouterr().err


def test_one_ppm_is_for_all_and_two_are_a_range() -> None:
    assert parsed("--ppm", "20").ppm == (20.0, 20.0)
    assert parsed("--ppm=-300:300").ppm == (-300.0, 300.0)


def test_help_says_how_a_run_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["esp32", "--help"])
    text = capsys.readouterr().out
    for word in ("--check", "SHA-256", "exit codes", "--power-cut", "--ppm"):
        assert word in text
