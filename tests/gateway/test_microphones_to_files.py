"""From simulated microphones through a whole gateway into files: each sample, each start, each tool."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import soundfile

from echostream.archive.meta_files import read_meta
from echostream.archive.recording import Recording

DEVICES = 4
START_WITHIN_S = 0.1
SETTLED_S = 2.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def echostream(folder: Path, *arguments: str, timeout_s: float = 40) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "echostream", *arguments],
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def configure(folder: Path) -> tuple[Path, int]:
    port = free_port()
    document = {
        "gateway": {"id": "test", "affiliation_id": "test"},
        "control_server": {"url": f"ws://127.0.0.1:{free_port()}"},
        "channels": [{"id": "works", "card": "none"}],
        "esp32": {
            "enabled": True,
            "bind": "127.0.0.1",
            "tcp_port": port,
            "udp_port": None,
            "announce": False,
            "unknown": "refuse",
            "devices": [
                {"name": f"mic-{number}", "channel": "works", "transmit": "vox" if number == 1 else "never"}
                for number in range(1, DEVICES + 1)
            ],
        },
        "recording": {"enabled": True, "directory": str(folder / "recordings"), "segment_s": 3600},
        "events": {"directory": str(folder / "events")},
    }
    path = folder / "config.json"
    path.write_text(json.dumps(document), "utf-8")
    return path, port


def recordings(folder: Path) -> list[tuple[Recording, Path]]:
    found = []
    for meta in sorted((folder / "recordings").glob("*/.meta/*.json")):
        recording = read_meta(meta)
        audio = [one for one in meta.parents[1].glob(f"{meta.stem}.*") if one.suffix in (".wav", ".flac")]
        assert len(audio) == 1, audio
        found.append((recording, audio[0]))
    return found


def test_what_microphones_sent_is_in_the_files_to_the_sample(tmp_path: Path) -> None:
    config, port = configure(tmp_path)
    with (tmp_path / "log").open("wb") as log:
        gateway = subprocess.Popen(
            [sys.executable, "-m", "echostream", "run", "--config", str(config), "--no-live"],
            env={**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        to = ("--to", f"127.0.0.1:{port}", "--hello", "--name", "mic", "--devices", str(DEVICES))
        habits = ("--chunk", "1111", "--burst", "1", "--reconnect", "3", "--away", "0.3", "--ppm=-300:300")
        checked = ("--check", str(tmp_path / "recordings"))
        played = echostream(
            tmp_path, "esp32", *to, *habits, "--retry", "0.2", "--for", "6", "--json", *checked
        )
        time.sleep(0.5)  # the last of it is filed
    finally:
        gateway.terminate()
        assert gateway.wait(10) == 0, (tmp_path / "log").read_text()
    assert played.returncode == 0, played.stderr
    account = json.loads(played.stdout)
    told: list[dict[str, Any]] = account["devices"]
    assert len(account["recorded"]) == sum(bool(c["samples"]) for d in told for c in d["connections"])
    assert sum(len(device["connections"]) for device in told) > DEVICES

    whole = {}
    for recording, path in recordings(tmp_path):
        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert (rate_hz, len(samples)) == (16_000, recording.samples)
        whole[hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()] = recording
    for device in told:
        for sent in (one for one in device["connections"] if one["samples"]):
            recording = whole[sent["sha256"]]
            assert recording.source == device["name"]
            if sent["samples"] > SETTLED_S * 16_000:
                assert abs(recording.start_us / 1e6 - sent["first_at_s"]) < START_WITHIN_S

    place = ("--directory", str(tmp_path / "recordings"))
    verified = echostream(tmp_path, "recordings", "verify", *place)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    listed = echostream(tmp_path, "recordings", "list", *place)
    assert all(f"mic-{number}" in listed.stdout for number in range(1, DEVICES + 1))
    out = tmp_path / "mic-2.wav"
    exported = echostream(tmp_path, "recordings", "export", "mic-2", *place, "-o", str(out))
    assert exported.returncode == 0, exported.stdout + exported.stderr
    assert soundfile.info(out).duration > 5


def test_a_simulated_run_has_three_microphones_one_of_them_keyed_by_its_voice(tmp_path: Path) -> None:
    config, _ = configure(tmp_path)
    document = json.loads(config.read_text("utf-8"))
    document["channels"] = [{"id": f"c{number}", "card": f"K{number}"} for number in range(1, 5)]
    document["esp32"] = {"devices": [{"name": "gate"}]}
    del document["recording"]
    config.write_text(json.dumps(document), "utf-8")
    summary = tmp_path / "out.json"
    run = echostream(
        tmp_path,
        *("run", "--config", str(config), "--simulate", "all", "--no-live"),
        *("--for", "6", "--summary", str(summary)),
    )
    assert run.returncode == 0, run.stderr
    assert "channel c4: transmitting (device)" in run.stderr
    assert "3 of 3 microphones" in run.stderr
    result = json.loads(summary.read_text("utf-8"))
    assert set(result["devices"]) == {"porch", "yard", "workshop"}
    for device in result["devices"].values():
        assert device["connected"]
        assert device["channel"] == "c4"
        assert device["samples"] > 2 * 16_000
        assert device["missing_s"] == 0
    assert result["relay"]["admitted"] == 3
    (folder,) = tmp_path.glob("recordings-*")
    listed = echostream(tmp_path, "recordings", "list", "--directory", str(folder), "--json")
    assert listed.returncode == 0, listed.stderr
    sources = {json.loads(line)["source"] for line in listed.stdout.splitlines()}
    assert {"porch", "yard", "workshop"} <= sources
