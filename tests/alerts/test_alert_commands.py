"""`echostream alerts`, and what docs/alerts.md promises."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import pytest
from alert_receivers import dead_port, http_receiver

from echostream.alerts import control, memory
from echostream.alerts.rules import Incident
from echostream.cli import main
from echostream.config.alert_conditions import LIMITS

DOCS = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")


def configuration(folder: Path, **alerts: object) -> str:
    document = {
        "gateway": {"id": "station-7", "affiliation_id": "g"},
        "control_server": {"url": "ws://127.0.0.1:1"},
        "channels": [{"id": "fire", "card": "usb:1-1.1"}],
        "events": {"directory": str(folder)},
        "alerts": {
            "enabled": True,
            "targets": [{"name": name, "url": {"env": f"URL_{name}"}} for name in ("chief", "desk")],
            "rules": [
                {"name": "hot", "on": "temperature", "threshold": 70, "targets": ["chief"]},
                {"name": "page", "on": "page", "targets": ["chief"]},
            ],
            **alerts,
        },
    }
    path = folder / "config.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_each_target_is_tried_and_what_came_back_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path)
    with http_receiver() as http:
        monkeypatch.setenv("URL_chief", f"json://127.0.0.1:{http.port}/")
        monkeypatch.setenv("URL_desk", f"json://user:sesame@127.0.0.1:{dead_port()}/hidden")
        assert main(["alerts", "test", "--config", config]) == 1
        out = capsys.readouterr().out
        assert re.search(r"^chief  told, after \d+\.\d s$", out, re.M)
        assert "desk   not told: nobody answers there: connection refused" in out
        assert "sesame" not in out
        assert main(["alerts", "test", "chief", "--config", config]) == 0
        assert [got["title"] for got in http.got] == ["station-7: a test"] * 2


def test_a_target_without_an_address_or_a_name_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configuration(tmp_path)
    monkeypatch.setenv("URL_chief", "jsn://127.0.0.1/")
    assert main(["alerts", "test", "--config", config]) == 1
    out = capsys.readouterr().out
    assert "chief  not told: this is no address that Apprise knows" in out
    assert "desk   not told: alerts.targets[1].url: the environment variable URL_desk is not set" in out
    assert main(["alerts", "test", "cheif", "--config", config]) == 2
    assert "the targets are chief, desk" in capsys.readouterr().err
    assert main(["alerts", "test", "--config", configuration(tmp_path, targets=[], rules=[])]) == 2


def test_the_rules_are_shown_with_their_limits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alerts", "rules", "--config", configuration(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hot: temperature at least 70 °C (over at 65.625) for 10 s -> chief",
        "page: page at least 0 priority not again within 10 s -> chief",
    ]


def opened(folder: Path, *numbers: int) -> None:
    incidents = [
        Incident(number, "gone", "device_gone", "porch", 1_795_262_400_000_000, 0.0, 1.0, 1.0)
        for number in numbers
    ]
    memory.save(folder / "alerts.json", incidents, 100, 10.0)
    control.prepare(folder / "alerts.ack")


def test_what_is_open_is_listed_and_acknowledged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened(tmp_path, 16, 17, 18)
    place = ["--directory", str(tmp_path)]
    assert main(["alerts", "list", *place]) == 0
    assert "gone: Microphone porch is gone; nobody was told yet" in capsys.readouterr().out
    assert main(["alerts", "list", "--json", *place]) == 0
    assert [one["incident"] for one in json.loads(capsys.readouterr().out)] == [16, 17, 18]
    found: list[control.Asked] = []
    stop = threading.Event()

    def gateway() -> None:
        while not stop.wait(0.05):
            found.extend(control.fetch(tmp_path / "alerts.ack"))

    thread = threading.Thread(target=gateway, name="gateway")
    thread.start()
    try:
        assert main(["alerts", "ack", "17", *place]) == 0
        assert capsys.readouterr().out == "17  gone: acknowledged\n"
        assert main(["alerts", "ack", "17-99", *place]) == 0
        assert main(["alerts", "ack", "all", *place]) == 0
    finally:
        stop.set()
        thread.join()
    assert [(asked.first, asked.last) for asked in found] == [(17, 17), (17, 18), (16, 18)]
    assert all(asked.who.startswith("cli:") for asked in found)


def test_an_acknowledgement_waits_for_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("echostream.event_tools.alert_commands.TAKEN_S", 0.2)
    opened(tmp_path, 17)
    assert main(["alerts", "ack", "17", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "17  gone: acknowledged, as soon as the gateway runs\n"
    assert [asked.first for asked in control.fetch(tmp_path / "alerts.ack")] == [17]


@pytest.mark.parametrize(("number", "code"), [("18", 1), ("x", 2), ("0-", 2)])
def test_what_cannot_be_acknowledged(tmp_path: Path, number: str, code: int) -> None:
    opened(tmp_path, 17)
    assert main(["alerts", "ack", number, "--directory", str(tmp_path)]) == code
    assert not list((tmp_path / "alerts.ack").iterdir())


def test_where_no_gateway_has_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["list"], ["ack", "1"]):
        assert main(["alerts", *command, "--directory", str(tmp_path)]) == 3
        assert "no gateway has told anybody there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"first": 1}',
        '{"first": 5, "last": 1, "who": "x"}',
        '{"first": 1, "last": 1, "who": "\\n"}',
    ],
)
def test_an_acknowledgement_that_says_nothing_is_removed(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    (tmp_path / ".half").write_text("{")
    assert control.fetch(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == [".half"]


# ---- the document


def test_the_document_has_the_limits_that_hold() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in DOCS.splitlines()]
    told = {row[0].strip("`"): row[2:] for row in rows if row and row[0].strip("`") in LIMITS}
    assert set(told) == set(LIMITS)
    for name, (unit, threshold, clear, for_s, calm, _) in told.items():
        limits = LIMITS[name]
        assert unit == limits.unit
        assert float(for_s) == limits.for_s
        if limits.unit and threshold:
            assert float(threshold) == limits.threshold
        if clear:
            assert float(clear) == limits.clear
        if not limits.event:
            assert calm == f"{limits.calm_s:g} s"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Apprise's own
def test_apprise_knows_each_address_of_the_document() -> None:
    import apprise

    addresses = re.findall(r"`([a-z]+://[^`]+)`", DOCS)
    assert len(addresses) >= 7
    for address in addresses:
        assert apprise.Apprise.instantiate(address) is not None, address
