"""The power goes between an alert and its delivery: whoever was to be told is told after the start."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from alert_receivers import Receiver, dead_port, http_receiver

PROGRAM = Path(__file__).parents[1] / "support" / "alerting.py"


def begun(folder: Path, port: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), f"json://127.0.0.1:{port}/"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )


def page(process: subprocess.Popen[str], names: list[str]) -> None:
    """Until everybody else has heard of each of them."""
    assert process.stdin is not None
    assert process.stdout is not None
    for name in names:
        process.stdin.write(name + "\n")
    for name in names:
        assert process.stdout.readline().endswith(f"<{name}>\n")


def killed(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def missing(receiver: Receiver, names: list[str]) -> list[str]:
    got = "".join(mail["message"] for mail in receiver.got)
    return [name for name in names if f"<{name}>" not in got]


def test_kill_9_between_an_alert_and_its_delivery_loses_none(tmp_path: Path) -> None:
    """First while nobody answers, then while messages are on their way."""
    names = [f"dead-{number}" for number in range(5)]
    process = begun(tmp_path, dead_port())
    page(process, names)
    killed(process)
    with http_receiver() as http:
        http.slow_s = 0.2
        for round_ in range(2):
            fresh = [f"busy-{round_}-{number}" for number in range(5)]
            process = begun(tmp_path, http.port)
            page(process, fresh)
            http.wait_for(len(http.got) + 1, 0.6)
            killed(process)
            names += fresh
        process = begun(tmp_path, http.port)
        until_s = time.monotonic() + 20
        while missing(http, names) and time.monotonic() < until_s:
            http.stopping.wait(0.1)
        killed(process)
        assert not missing(http, names)
