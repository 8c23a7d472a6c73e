"""`echostream run` as a process: arguments, signals, reload, summary. Nothing of the machine is touched."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echostream.simulator.control_server import ControlServer

SUMMARY_KEYS = {
    "frames_captured", "key_ups", "packets_sent", "bytes_sent", "packets_received", "packets_lost",
    "packets_late", "fec_recovered", "concealed", "replayed", "undecryptable", "frames_played",
    "level_dbfs", "delay_ms", "jitter_ms",
}  # fmt: skip


def echostream(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "echostream", *arguments],
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


class Run:
    """One gateway process with a configuration of its own; `log` is what it has said so far."""

    def __init__(self, folder: Path, url: str, *arguments: str) -> None:
        self.folder = folder
        self.config = folder / "config.json"
        self.log_path = folder / "log"
        self.environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder)}
        self.document: dict[str, Any] = {
            "gateway": {"id": "test", "affiliation_id": "test"},
            "control_server": {"url": url, "probe_s": 0.2},
            "channels": [
                {"id": "fire", "card": "A", "ptt": {"pin": 20}},
                {"id": "ems", "card": "B", "vox": {"enabled": True, "threshold_dbfs": -50}},
            ],
        }
        self.save()
        self.command = [sys.executable, "-m", "echostream"]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*self.command, "run", "--config", str(self.config), "--simulate", "all", *arguments],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def save(self) -> None:
        self.config.write_text(json.dumps(self.document), "utf-8")

    def log(self) -> str:
        return self.log_path.read_text("utf-8")

    def wait_for(self, text: str, times: int = 1, timeout_s: float = 10.0) -> None:
        deadline_s = time.monotonic() + timeout_s
        while self.log().count(text) < times:
            assert time.monotonic() < deadline_s, f"{text!r} not said:\n{self.log()}"
            assert self.process.poll() is None or text in self.log(), self.log()
            time.sleep(0.02)

    def reload(self) -> subprocess.CompletedProcess[str]:
        return echostream(self.folder, "reload")

    def end(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(10)


@pytest.fixture
def server() -> Iterator[ControlServer]:
    server = ControlServer(aes_key="generate")
    server.start()
    yield server
    server.stop()


def test_run_ends_by_itself_and_writes_the_whole_summary(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url, "--for", "3", "--summary", str(tmp_path / "out.json"))
    assert run.process.wait(20) == 0, run.log()
    summary = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert 2.9 < summary["duration_s"] < 4.0
    assert summary["cpu_s"] > 0
    assert summary["rss_mb"] > 10
    assert set(summary["channels"]) == {"fire", "ems"}
    for channel in summary["channels"].values():
        assert set(channel) >= SUMMARY_KEYS
        assert set(channel["delay_ms"]) == set(channel["jitter_ms"]) == {"p50", "p99"}
        assert channel["frames_captured"] > 100
        assert channel["packets_sent"] > 20
        assert channel["key_ups"] >= 1
    assert summary["workers"]["capture-fire"] == {"restarts": 0}
    assert "simulated" in run.log()


def test_terminated_stops_in_order_within_two_seconds(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    run.wait_for("channel ems: transmitting")
    began_s = time.monotonic()
    assert run.end() == 0
    assert time.monotonic() - began_s < 2.0
    assert "stopped in" in run.log()
    server.settle()
    assert server.stats().counts["in_disconnect"] == 2


def test_second_signal_ends_at_once(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    run.wait_for("EchoStream runs")
    run.process.send_signal(signal.SIGSTOP)
    run.process.send_signal(signal.SIGTERM)
    run.process.send_signal(signal.SIGINT)
    run.process.send_signal(signal.SIGCONT)
    assert run.process.wait(2) in (128 + signal.SIGTERM, 128 + signal.SIGINT)


def test_reload_touches_only_the_channel_that_changed(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    try:
        run.wait_for("channel ems: transmitting")
        run.document["channels"][0]["input_gain_db"] = 3
        run.save()
        assert run.reload().returncode == 0
        run.wait_for("channel fire changed (input_gain_db)")
        run.wait_for("channel fire: capture: card is there", times=2)
        assert run.log().count("channel ems: capture: card is there") == 1
        assert "ended" not in run.log().split("reload:")[1]
    finally:
        run.end()


def test_reload_of_a_configuration_that_does_not_hold_changes_nothing(
    tmp_path: Path, server: ControlServer
) -> None:
    run = Run(tmp_path, server.url)
    try:
        run.wait_for("channel ems: transmitting")
        run.config.write_text("{ this is not JSON", "utf-8")
        assert run.reload().returncode == 0
        run.wait_for("reload refused, the old configuration stays")
        assert run.process.poll() is None
    finally:
        run.end()


def test_reload_with_a_bad_channel_leaves_it_on_the_air(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    try:
        run.wait_for("channel ems: transmitting")
        run.document["channels"][1]["tot_s"] = -1
        run.save()
        assert run.reload().returncode == 0
        run.wait_for("reload refused, the old configuration stays")
        assert "channels[1].tot_s" in run.log()
        assert "channel ems: transmission ended" not in run.log()  # the hand lets go of the other's button
    finally:
        run.end()


def test_key_file_that_holds_no_key_is_refused_without_showing_it(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("bm90IGEga2V5\n", "ascii")
    key.chmod(0o600)
    config = tmp_path / "config.json"
    document = {
        "gateway": {"id": "x", "affiliation_id": "x"},
        "control_server": {"url": "ws://127.0.0.1:1", "aes_key": {"file": str(key)}},
        "channels": [{"id": "fire", "card": "A"}],
    }
    config.write_text(json.dumps(document), "utf-8")
    result = echostream(tmp_path, "run", "--config", str(config), "--simulate", "all")
    assert result.returncode == 2
    assert "control_server.aes_key" in result.stderr
    assert "Traceback" not in result.stderr
    assert "bm90" not in result.stderr


def test_new_channel_is_taken_up_and_an_old_one_left_by_reload(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url, "--verbose")
    try:
        run.wait_for("session 1")
        run.document["channels"][0] = {"id": "water", "card": "A"}
        run.save()
        assert run.reload().returncode == 0
        run.wait_for("channel water: capture: card is there")
        server.settle()
        assert set(server.stats().channels) == {"ems", "water"}
    finally:
        run.end()


def test_second_gateway_of_the_same_name_is_refused(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    try:
        run.wait_for("EchoStream runs")
        second = echostream(tmp_path, "run", "--config", str(run.config), "--simulate", "all")
        assert second.returncode == 3
        assert "runs already" in second.stderr
    finally:
        run.end()


def test_reload_without_a_gateway_says_so(tmp_path: Path) -> None:
    result = echostream(tmp_path, "reload")
    assert result.returncode == 3
    assert "no gateway runs here" in result.stderr


def test_refused_configuration_ends_with_two_and_every_error(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    document = {"gateway": {"idd": "x"}, "control_server": {"url": "http://x"}, "channels": []}
    config.write_text(json.dumps(document), "utf-8")
    result = echostream(tmp_path, "run", "--config", str(config), "--simulate", "all")
    assert result.returncode == 2
    for place in ("gateway.idd", "control_server.url", "channels"):
        assert place in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
def test_log_on_a_full_disk_costs_nothing_else(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url)
    run.end()
    with open("/dev/full", "wb") as full:
        process = subprocess.Popen(
            [*run.command, "run", "--config", str(run.config), "--simulate", "all", "--for", "2",
             "--summary", str(tmp_path / "out.json")],
            env=run.environment, stdin=subprocess.DEVNULL, stdout=full, stderr=full,
        )  # fmt: skip
        assert process.wait(15) == 0
    summary = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert summary["channels"]["ems"]["packets_sent"] > 10


def test_json_log_is_one_object_a_line(tmp_path: Path, server: ControlServer) -> None:
    run = Run(tmp_path, server.url, "--for", "1", "--log", "json")
    assert run.process.wait(15) == 0
    entries = [json.loads(line) for line in run.log().splitlines()]
    assert {"ts", "level", "message"} <= set(entries[0])


@pytest.mark.parametrize(
    ("module", "text", "package"),
    [
        ("opuslib", "raise Exception('Could not find Opus library.')", "libopus0"),
        ("pyaudio", "raise ImportError('libportaudio.so.2: cannot open shared object')", "libportaudio2"),
    ],
)
def test_missing_library_names_the_package_to_install(
    tmp_path: Path, module: str, text: str, package: str
) -> None:
    (tmp_path / f"{module}.py").write_text(text, "utf-8")
    search = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH"), str(Path.cwd())])])
    result = echostream(tmp_path, "run", "--config", "config.json", "--for", "2", PYTHONPATH=search)
    assert result.returncode == 3
    assert package in result.stderr
    assert "Traceback" not in result.stderr


def test_killed_simulation_leaves_no_server_and_no_second_gateway_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    run = Run(tmp_path, f"ws://127.0.0.1:{port}/")
    run.wait_for("channel ems: transmitting")
    run.process.kill()
    run.process.wait(5)
    deadline_s = time.monotonic() + 5.0
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
        except OSError:
            break
        assert time.monotonic() < deadline_s, "the simulated server still answers"
        time.sleep(0.05)


def write_tone(path: Path, seconds: float) -> Path:
    t = np.arange(int(seconds * 48_000)) / 48_000
    samples = (8000 * np.sin(2 * np.pi * 440 * t)).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.tobytes())
    return path


def test_talk_and_listen_on_a_channel_that_the_server_refuses_fail(tmp_path: Path) -> None:
    server = ControlServer(aes_key="generate", channels={"fire"})
    server.start()
    try:
        tone = write_tone(tmp_path / "tone.wav", 1.0)
        talked = echostream(tmp_path, "talk", server.url, "nowhere", str(tone))
        heard = tmp_path / "heard.wav"
        listened = echostream(tmp_path, "listen", server.url, "nowhere", "--wav", str(heard), "--for", "5")
        good = echostream(tmp_path, "talk", server.url, "fire", str(tone))
    finally:
        server.stop()
    for result in (talked, listened):
        assert result.returncode == 1
        assert "CHANNEL_NOT_FOUND" in result.stderr
    assert good.returncode == 0
    assert "1.0 of 1.0 s said" in good.stderr


def test_talk_whose_server_dies_in_the_middle_fails(tmp_path: Path, server: ControlServer) -> None:
    tone = write_tone(tmp_path / "tone.wav", 3.0)
    with subprocess.Popen(
        [sys.executable, "-m", "echostream", "talk", server.url, "fire", str(tone)],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline_s = time.monotonic() + 10.0
        while server.stats().counts.get("datagrams_in", 0) < 20:
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        server.stop()
        assert process.wait(20) == 1
        assert process.stderr is not None
        assert " of 3.0 s said" in process.stderr.read()
