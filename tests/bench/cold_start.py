"""From `exec` to the first datagram with audio, through real PortAudio: a voice opens the valve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from echostream.audio.format import RATE_HZ
from echostream.errors import LibraryMissing
from echostream.simulator.control_server import ControlServer
from echostream.simulator.microphone import Microphone
from echostream.simulator.virtual_cards import VirtualCards
from tests.bench.rows import Row, percentile, skipped

WHAT = "process start to first audio datagram"
STARTS = 5
WAIT_S = 15.0
POLL_S = 0.005
CARD = "cold_card"


def run(long: bool = False) -> list[Row]:
    """The card hums all the time; the valve opens with the first frame that is heard."""
    with tempfile.TemporaryDirectory(prefix="cold") as folder:
        try:
            cards = VirtualCards([CARD], Path(folder))
        except LibraryMissing as error:
            return [skipped("cold_start", WHAT, str(error))]
        hum = (8000 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)
        microphone = Microphone(cards[CARD], hum, pause_s=0.0)
        try:
            times = [_one_start(Path(folder), cards.environment()) for _ in range(STARTS)]
        finally:
            microphone.close()
            cards.close()
    worst = max(times)
    figure = f"median {percentile(times, 0.5):.2f} s, worst of {STARTS} {worst:.2f} s"
    return [Row("cold_start", WHAT, figure, "< 2 s", worst < 2.0)]


def _one_start(folder: Path, environment: dict[str, str]) -> float:
    server = ControlServer("127.0.0.1", 0, aes_key="generate")
    server.start()
    config = folder / "config.json"
    config.write_text(json.dumps(_config(server.url, folder)), "utf-8")
    began_s = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "echostream", "run", "--config", str(config), "--no-live"],
        env={**os.environ, **environment, "RUNTIME_DIRECTORY": str(folder)},
        stderr=subprocess.DEVNULL,
    )
    try:
        return _first_audio_s(server, began_s)
    finally:
        process.terminate()
        process.wait(10)
        server.stop()


def _first_audio_s(server: ControlServer, began_s: float) -> float:
    pause = threading.Event()
    while time.monotonic() - began_s < WAIT_S:
        counts = server.stats().counts
        if counts.get("datagrams_in", 0) > counts.get("heartbeats", 0):
            return time.monotonic() - began_s
        pause.wait(POLL_S)
    return WAIT_S


def _config(url: str, folder: Path) -> dict[str, object]:
    channel = {"id": "fire", "card": CARD, "vox": {"enabled": True, "threshold_dbfs": -50}}
    return {
        "gateway": {"id": "cold", "affiliation_id": "cold"},
        "control_server": {"url": url},
        "channels": [channel],
        "events": {"directory": str(folder / "events")},
    }
