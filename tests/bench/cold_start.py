"""From `exec` to the first datagram with audio: the button is held from the start."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from echostream.simulator.control_server import ControlServer
from tests.bench.rows import Row, percentile

STARTS = 5
WAIT_S = 15.0


def run(long: bool = False) -> list[Row]:
    """`talk` joins, announces and speaks at once: process start to the first relayed packet."""
    times = [_one_start() for _ in range(STARTS)]
    worst = max(times)
    figure = f"median {percentile(times, 0.5):.2f} s, worst of {STARTS} {worst:.2f} s"
    return [Row("cold_start", "process start to first audio datagram", figure, "< 2 s", worst < 2.0)]


def _one_start() -> float:
    server = ControlServer("127.0.0.1", 0, aes_key="generate")
    server.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder) / "config.json"
            config.write_text(json.dumps(_config(server.url)), "utf-8")
            began_s = time.monotonic()
            command = [sys.executable, "-m", "echostream", "run", "--config", str(config), "--simulate", "all"]
            process = subprocess.Popen(
                [*command, "--instance", "bench-cold-start", "--no-live"], stderr=subprocess.DEVNULL
            )
            try:
                return _first_audio_s(server, began_s)
            finally:
                process.terminate()
                process.wait(10)
    finally:
        server.stop()


def _first_audio_s(server: ControlServer, began_s: float) -> float:
    while time.monotonic() - began_s < WAIT_S:
        if server.stats().counts.get("datagrams_out_of_audio", 0):
            return time.monotonic() - began_s
        time.sleep(0.005)
    return WAIT_S


def _config(url: str) -> dict[str, object]:
    return {
        "gateway": {"id": "cold", "affiliation_id": "cold"},
        "control_server": {"url": url},
        "channels": [{"id": "fire", "card": "Bench", "vox": {"enabled": True, "threshold_dbfs": -50}}],
    }
