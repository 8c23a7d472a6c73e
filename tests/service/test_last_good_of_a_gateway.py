"""A gateway whose configuration was spoilt: it runs with the one that worked, and says so everywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from servers import free_port

REPOSITORY = Path(__file__).parents[2]
UP_S = 30.0


def configuration(folder: Path) -> dict[str, Any]:
    return {
        "gateway": {"id": "station-9", "affiliation_id": "station-9"},
        # A simulated server comes up there: not on a port where other tests count on nobody.
        "control_server": {"url": f"ws://127.0.0.1:{free_port()}"},
        "channels": [{"id": "ops", "card": "none"}],
        "events": {"directory": str(folder / "data"), "report_at": None},
        "recording": {"enabled": False, "directory": str(folder / "data" / "recordings")},
    }


def health_when_ready(process: subprocess.Popen[str], path: Path) -> dict[str, Any]:
    until_s = time.monotonic() + UP_S
    while time.monotonic() < until_s and process.poll() is None:
        if path.exists() and (document := json.loads(path.read_text()))["ready"]:
            found: dict[str, Any] = document
            return found
        time.sleep(0.1)
    raise AssertionError("not ready in time")


def test_a_spoilt_configuration_costs_nothing_and_is_told(tmp_path: Path) -> None:
    good, path = tmp_path / "last-good", tmp_path / "config.json"
    good.mkdir()
    kept = json.dumps(configuration(tmp_path))
    (good / "config.json").write_text(kept)
    path.write_text(kept[:-40])
    command = [sys.executable, "-m", "echostream", "run", "--simulate", "all", "--log", "lines", "--no-live"]
    command += ["--config", str(path), "--last-good", str(good)]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path), "ECHOSTREAM_PTT_GUARD": ""},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            health = health_when_ready(process, tmp_path / "echostream.health.json")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
            process.wait()
    told = "the last that worked"
    assert any(told in one for one in health["why"]), health["why"]
    assert told in health["status"], health["status"]
    assert told in (tmp_path / "log").read_text()
    (day,) = (tmp_path / "data" / "log").glob("*.jsonl")
    acts = [json.loads(line) for line in day.read_text().splitlines()]
    (act,) = [one for one in acts if one.get("data", {}).get("act") == "last-good"]
    assert told in act["text"]
    assert path.read_text() == kept[:-40], "what a person wrote is left alone"
