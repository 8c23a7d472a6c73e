"""CPU for each second of a microphone's audio, record-only, beside ffmpeg that does the same.

The same: raw s16le at 16 kHz from TCP connections to FLAC files in segments. ffmpeg takes one connection a
process (`tcp://...?listen`), so there is one for each of a few microphones; it keeps no index, no times and
no gaps. One after the other, in turns; the least of several counts. Start and end are left out of both: CPU
is read while audio flows.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench._processes import cpu_s
from tests.bench._relay_bench import Fleet, free_port, gateway, job
from tests.bench.rows import Row, skipped

DEVICES, PEERS = 100, 10
CHUNK_BYTES = 8192
TURNS = 3
SETTLE_S, COUNT_S, LONG_S = 3.0, 8.0, 60.0
PEERS_SETTLE_S = 6.0
"""Each of them has a simulator of its own, and these start slowly all at once."""
SEGMENT_S = 600
WHAT = "CPU for a second of one microphone, record-only, to FLAC"


def run(long: bool = False) -> list[Row]:
    """Ours at the relay's usual load, with the sinks' own work; then the peer."""
    count_s = LONG_S if long else COUNT_S
    if shutil.which("ffmpeg") is None:
        return [skipped("relay_cpu", f"{WHAT}, beside ffmpeg", "ffmpeg is not installed")]
    ours, theirs, few = [], [], []
    for _ in range(TURNS):
        ours.append(_ours(DEVICES, count_s))
        theirs.append(_theirs(count_s))
        few.append(_ours(PEERS, count_s))
    ratio = min(ours) / min(theirs)
    return [
        Row(
            "relay_cpu",
            f"{WHAT}: EchoStream, {DEVICES} microphones",
            f"{1e3 * min(ours):.2f} ms",
            note=f"least of {TURNS} turns of {count_s:.0f} s; with {PEERS}: {1e3 * min(few):.2f} ms",
        ),
        Row(
            "relay_cpu",
            f"the same: ffmpeg, {PEERS} processes of one each",
            f"{1e3 * min(theirs):.2f} ms",
            note="ffmpeg -f s16le -i tcp://...?listen -f segment -c:a flac",
        ),
        Row("relay_cpu", "EchoStream to ffmpeg", f"{ratio:.2f}"),
    ]


def _ours(devices: int, count_s: float) -> float:
    """CPU seconds a second of a device."""
    with tempfile.TemporaryDirectory(prefix="es-relay-") as directory:
        task = job(Path(directory), form="flac", segment_s=float(SEGMENT_S))
        with gateway(task, Path(directory)) as process:
            options = ["--devices", str(devices), "--chunk", str(CHUNK_BYTES), "--spread", "1"]
            fleet = Fleet(task.port, *options, "--for", str(SETTLE_S + count_s + 1.0))
            time.sleep(SETTLE_S)
            began_s, busy_s = time.monotonic(), process.cpu_s()
            time.sleep(count_s)
            share = (process.cpu_s() - busy_s) / (time.monotonic() - began_s)
            fleet.sent(60.0)
    return share / devices


def _theirs(count_s: float) -> float:
    with tempfile.TemporaryDirectory(prefix="es-relay-") as directory:
        ports = [free_port() for _ in range(PEERS)]
        peers = [_ffmpeg(port, Path(directory), number) for number, port in enumerate(ports)]
        time.sleep(1.0)
        options = ("--chunk", str(CHUNK_BYTES), "--for", str(PEERS_SETTLE_S + count_s + 1.0), "--to")
        command = [sys.executable, "-m", "echostream", "esp32", *options]
        fleets = [
            subprocess.Popen(
                [*command, f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            for port in ports
        ]
        try:
            time.sleep(PEERS_SETTLE_S)
            began_s, busy_s = time.monotonic(), sum(cpu_s(peer.pid) for peer in peers)
            time.sleep(count_s)
            busy_s = sum(cpu_s(peer.pid) for peer in peers) - busy_s
            took_s = time.monotonic() - began_s
            for fleet in fleets:
                fleet.wait(60)
            for peer in peers:
                peer.wait(20)
        finally:
            for process in (*fleets, *peers):
                if process.poll() is None:
                    process.kill()
                    process.wait()
        if len(list(Path(directory).glob("*.flac"))) < PEERS:
            raise RuntimeError("ffmpeg did not record")
    return busy_s / took_s / PEERS


def _ffmpeg(port: int, folder: Path, number: int) -> subprocess.Popen[bytes]:
    arguments = f"-f s16le -ar 16000 -ac 1 -i tcp://127.0.0.1:{port}?listen=1 -c:a flac -f segment"
    return subprocess.Popen(
        [
            *("ffmpeg", "-nostdin", "-loglevel", "error", *arguments.split()),
            *("-segment_time", str(SEGMENT_S), str(folder / f"{number}-%04d.flac")),
        ],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"AV_LOG_FORCE_NOCOLOR": "1"},
    )
