"""`echostream selftest` as it is typed: exit codes, consent, reports, pictures."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from echostream.cli import main
from echostream.errors import ConfigError
from echostream.selftest.command import _consented
from echostream.selftest.items import Item, failed, judged, noted
from echostream.selftest.network_loop import NetworkMeasured, judge_network
from echostream.selftest.parts import Simulation
from echostream.selftest.report import Report, write_report
from echostream.selftest.setup import Asked, KeyWire, Setup, setup_of

CONFIG = str(Path(__file__).parents[2] / "config.json")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bare_machine_passes_when_everything_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an upgrade asks of a new version: no configuration, no hardware, all three parts."""
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "take.png"
    assert main(["selftest", "--simulate", "all", "--quick", "--json", "--plot", str(picture)]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["passed"] is True
    assert {item["part"] for item in document["items"]} == {"audio", "keying", "network"}
    assert len(document["simulated"]) == 2
    assert picture.stat().st_size > 20_000


def test_nobody_there_to_say_that_the_radio_is_off_means_no(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["selftest", "fire-dispatch", "--config", CONFIG]) == 2
    said = capsys.readouterr().err
    assert "BCM 12" in said
    assert "--yes" in said


@pytest.mark.parametrize(("answer", "agreed"), [("y\n", True), ("yes\n", True), ("\n", False), ("", False)])
def test_a_person_is_asked(answer: str, agreed: bool) -> None:
    setup = Setup("channel", "usb0", wire=KeyWire(12, None, 20))
    out = io.StringIO()
    assert _consented(setup, Simulation(None, setup), Tty(answer), out) is agreed
    assert "card usb0" in out.getvalue()


def test_what_is_simulated_needs_no_consent() -> None:
    setup = Setup("channel", "usb0", wire=KeyWire(12, None, 20))
    assert _consented(setup, Simulation("all", setup), io.StringIO(), io.StringIO())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-channel", "--config", CONFIG], "fire-dispatch"),
        (["--config", "/nonexistent.json"], "nonexistent"),
        (["--simulate", "all", "--plot", "/tmp/take.txt"], "expected a name"),
        (["--simulate", "all", "--plot", "/nonexistent/of/ours/take.png"], "no directory"),
    ],
)
def test_a_wrong_call_is_2_and_says_why(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["selftest", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_without_any_configuration_it_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("echostream.selftest.setup.CONFIGURATIONS", (tmp_path / "none.json",))
    with pytest.raises(ConfigError, match=r"none\.json"):
        setup_of(Asked())


def test_a_channel_gives_card_side_and_pins() -> None:
    setup = setup_of(Asked(channel="fire-tac", config=Path(CONFIG)))
    assert setup == Setup("fire-tac", "usb:1-1.2", "mono", "auto", KeyWire(13, None, 21))


def test_options_go_before_the_configuration() -> None:
    setup = setup_of(Asked(channel="ems", config=Path(CONFIG), card="Device", out_pin=5, in_pin=6))
    assert (setup.card, setup.wire) == ("Device", KeyWire(5, None, 6))


def test_pins_that_nobody_names_are_said_to_be_missing() -> None:
    setup = setup_of(Asked(card="Device", out_pin=5))
    assert setup.wire is None
    assert "--in-pin" in setup.why_no_wire


def test_the_report_says_what_to_do_under_what_failed() -> None:
    report = Report(
        "channel",
        [
            judged("audio", "gain", -30.0, "dB", False, "-20 to +6 dB", "raise it"),
            judged("audio", "noise", -80.0, "dBFS", True, "at most -55 dBFS", "never said"),
            noted("keying", "wire", "not measured"),
        ],
    )
    out = io.StringIO()
    write_report(report, out)
    lines = out.getvalue().splitlines()
    at = next(number for number, line in enumerate(lines) if "gain" in line)
    assert "FAIL" in lines[at]
    assert "raise it" in lines[at + 1]
    assert "never said" not in out.getvalue()
    assert "FAILED: 1 of 3" in lines[-1]


def test_notes_alone_are_no_pass() -> None:
    assert not Report("channel", [noted("audio", "card", "none")]).passed
    assert Report("channel", [judged("audio", "gain", 0.0, "dB", True, "", "")]).passed
    assert not Report("channel", [failed("audio", "card", "gone", "plug it in")]).passed


def verdict(measured: NetworkMeasured) -> list[Item]:
    return [item for item in judge_network(measured) if item.verdict == "fail"]


def test_the_network_is_judged_by_delay_and_loss() -> None:
    good = NetworkMeasured((55.0, 56.0, 57.0), 130, 130, 0)
    assert verdict(good) == []
    assert verdict(replace(good, lost=2))[0].name == "packets lost"
    assert verdict(replace(good, delays_ms=(300.0, 310.0, 320.0)))[0].name == "end to end"
    assert verdict(replace(good, delays_ms=(55.0,)))[0].name == "end to end"
    assert "firewall" in verdict(replace(good, delays_ms=()))[0].remedy
