"""`echostream subscribe`: what it prints, when it ends, and what it says of a broker that it cannot reach."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import mosquitto
import paho.mqtt.client as paho
import pytest
from authority import Authority
from hypothesis import given
from hypothesis import strategies as st
from mosquitto import Mosquitto, Settings
from paho.mqtt.enums import CallbackAPIVersion

from echostream.cli import build_parser, main
from echostream.console import logs
from echostream.mqtt.listening import Arrived
from echostream.simulator.subscriber import Lines

needs_mosquitto = pytest.mark.skipif(
    mosquitto.binary() is None and "CI" not in os.environ,
    reason="no mosquitto here: `make` says why it could not install it",
)


def lines(*messages: Arrived, **options: object) -> tuple[list[str], int]:
    """(what was printed, how often the end was called)."""
    out, ends = io.StringIO(), []
    asked = {"as_json": False, "short": False, "most": None} | options
    written = Lines(out, bool(asked["as_json"]), bool(asked["short"]), asked["most"], lambda: ends.append(1))  # type: ignore[arg-type]
    for message in messages:
        written.write(message)
    return out.getvalue().splitlines(), len(ends)


def test_a_message_is_one_line_that_no_terminal_obeys() -> None:
    payload = 'Größe\n\x1b[2J\x07"\u2028'.encode() + b"\xff"
    (line,), _ = lines(Arrived("a/b", payload, 1, False))
    assert line == 'a/b Größe\\x0a\\x1b[2J\\x07"\\x2028\\xff'


@given(st.binary(max_size=400), st.booleans(), st.booleans())
def test_whatever_comes_is_one_line(payload: bytes, as_json: bool, short: bool) -> None:
    message = Arrived("a/b", payload, 0, True)
    printed, _ = lines(message, message, as_json=as_json, short=short)
    assert len(printed) == 2
    if as_json:
        told = json.loads(printed[0])
        assert (told["topic"], told["qos"], told["retained"]) == ("a/b", 0, True)
    else:
        assert printed[0].isprintable()


def test_what_is_long_is_cut_and_stays_readable() -> None:
    told = {
        "message_id": "2f0c5a1e-0a6b-4c6e-9a52-0d2f5a0f7b11",
        "text": "page on fire-dispatch: Engine 7, that is a sentence",
        "path": "/var/lib/echostream/recordings/2026-11-21/2026-11-21_1305_12_fire-dispatch.flac",
        "tone_details": {"tone_a": 349.0, "tone_b": 433.7},
    }
    (line,), _ = lines(Arrived("t", json.dumps(told).encode(), 1, False), short=True)
    shorter = {"message_id": "2f0c5a1e…", "path": "…" + str(told["path"])[-30:]}
    assert json.loads(line.removeprefix("t ")) == told | shorter
    (line,), _ = lines(Arrived("t", b"x" * 10_000, 1, False), short=True)
    assert line == "t " + "x" * 320 + "…"


def test_it_ends_after_as_many_as_were_asked_for() -> None:
    printed, ends = lines(*[Arrived("t", b"x", 0, False)] * 5, most=3)
    assert (printed, ends) == (["t x"] * 3, 1)


def test_who_stops_reading_ends_it() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    ends: list[int] = []
    written = Lines(Closed(), False, False, None, lambda: ends.append(1))
    written.write(Arrived("t", b"x", 0, False))
    written.write(Arrived("t", b"x", 0, False))
    assert (ends, written.written, written.over) == ([1], 0, True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.5", ("10.0.0.5", 1883)),
        ("mqtt.example.org:8883", ("mqtt.example.org", 8883)),
        ("[::1]", ("::1", 1883)),
        ("[::1]:99", ("::1", 99)),
    ],
)
def test_a_broker_is_a_host_and_perhaps_a_port(text: str, address: tuple[str, int]) -> None:
    assert build_parser().parse_args(["subscribe", "--broker", text]).broker == address


@pytest.mark.parametrize("text", ["", ":1883", "a:b", "a:0", "a:65536", "a:"])
def test_a_broker_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["subscribe", "--broker", text])


# ---- real brokers


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Mosquitto, Path]]:
    """A broker with TLS and passwords, and a configuration that knows it."""
    authority = Authority(tmp_path / "authority")
    users = {"gateway": "a word"}
    broker = Mosquitto(tmp_path / "broker", Settings(users=users, pair=authority.server("broker")))
    broker.start()
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("a word\n")
    document = {
        "gateway": {"id": "station-7", "affiliation_id": "s7"},
        "control_server": {"url": "ws://127.0.0.1:1"},
        "channels": [{"id": "fire", "card": "A"}],
        "mqtt": {
            "enabled": True,
            "host": "localhost",
            "port": broker.port,
            "username": "gateway",
            "password": {"file": str(secret)},
            "tls": {"ca_file": str(authority.ca)},
        },
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(document))
    yield broker, config
    broker.stop()


@dataclass(frozen=True, slots=True)
class Done:
    """What one call came to."""

    code: int
    out: str
    log: str


Call = Callable[..., Done]


@pytest.fixture
def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Call:
    """`echostream subscribe ...`, in this process; its log is pytest's."""
    monkeypatch.setattr(logs, "set_up", lambda *_: None)
    caplog.set_level(logging.INFO)

    def run(*arguments: str) -> Done:
        caplog.clear()
        code = main(["subscribe", *arguments])
        printed = capsys.readouterr()
        return Done(code, printed.out, caplog.text + printed.err)

    return run


@needs_mosquitto
def test_it_uses_the_names_passwords_and_tls_of_the_configuration(
    secured: tuple[Mosquitto, Path], call: Call
) -> None:
    broker, config = secured
    publisher = paho.Client(CallbackAPIVersion.VERSION2)
    publisher.username_pw_set("gateway", "a word")
    publisher.tls_set(str(config.parent / "authority" / "ca.pem"))
    publisher.connect("localhost", broker.port)
    publisher.loop_start()
    publisher.publish("echostream/station-7/status", "online", 1, retain=True).wait_for_publish(5)
    publisher.publish("echostream/station-8/status", "online", 1, retain=True).wait_for_publish(5)
    done = call("--config", str(config), "--count", "1", "--json")
    publisher.disconnect()
    publisher.loop_stop()
    assert done.code == 0, done.log
    assert json.loads(done.out) == {
        "topic": "echostream/station-7/status",
        "payload": "online",
        "qos": 1,
        "retained": True,
    }
    assert "a word" not in done.log


@needs_mosquitto
def test_a_broker_that_refuses_is_told_with_the_reason(secured: tuple[Mosquitto, Path], call: Call) -> None:
    broker, config = secured
    (config.parent / "secret").write_text("another word\n")
    done = call("--config", str(config))
    assert done.code == 1
    assert "refuses the connection: " in done.log
    assert "another word" not in done.log
    done = call("--broker", f"127.0.0.1:{broker.port}")  # without TLS
    assert (done.code, "TLS" in done.log) == (1, True)


@needs_mosquitto
def test_a_certificate_of_an_unknown_authority_is_told_with_the_remedy(
    secured: tuple[Mosquitto, Path],
) -> None:
    _, config = secured
    document = json.loads(config.read_text())
    del document["mqtt"]["tls"]["ca_file"]
    config.write_text(json.dumps(document))
    # A process of its own: paho leaves the socket of a failed handshake to the garbage collector.
    done = subprocess.run(
        [sys.executable, "-m", "echostream", "subscribe", "--config", str(config)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "mqtt.tls.ca_file" in done.stderr) == (1, True)
    assert "Traceback" not in done.stderr


def test_nobody_there_no_configuration_and_no_broker_are_told(tmp_path: Path, call: Call) -> None:
    done = call("--broker", "127.0.0.1:1")
    assert (done.code, "127.0.0.1:1: " in done.log) == (1, True)
    done = call("--config", str(tmp_path / "nothing.json"))
    assert done.code == 2
    assert "nothing.json" in done.log
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps(
            {
                "gateway": {"id": "a", "affiliation_id": "a"},
                "control_server": {"url": "ws://127.0.0.1:1"},
                "channels": [{"id": "fire", "card": "A"}],
            }
        )
    )
    done = call("--config", str(config))
    assert done.code == 2
    assert "mqtt.host" in done.log
    assert "Traceback" not in done.log


@needs_mosquitto
def test_it_goes_on_when_the_broker_comes_back(tmp_path: Path, call: Call) -> None:
    broker = Mosquitto(tmp_path / "broker")
    broker.start()

    def restart_and_publish() -> None:
        broker.kill()
        broker.start()
        publisher = paho.Client(CallbackAPIVersion.VERSION2)
        publisher.connect("127.0.0.1", broker.port)
        publisher.loop_start()
        publisher.publish("t/1", "late", 1, retain=True).wait_for_publish(5)
        publisher.disconnect()
        publisher.loop_stop()

    later = threading.Timer(0.5, restart_and_publish)
    later.start()
    try:
        done = call("t/#", "--broker", f"127.0.0.1:{broker.port}", "--count", "1", "--for", "60")
    finally:
        later.join()
        broker.stop()
    assert (done.code, done.out) == (0, "t/1 late\n")
