"""A whole gateway as a service manager has it: started, reloaded, hung, stopped, and what is said of that."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from echostream.service.health import find_health, read_health

REPOSITORY = Path(__file__).parents[2]
WITHIN_S = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Manager:
    """Starts it as a unit does, and listens. `said`: every line, with the process that said it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.said: list[tuple[int, str]] = []
        self.runtime = directory / "run"
        self.runtime.mkdir()
        self.config = directory / "config.json"
        text = (REPOSITORY / "config.json").read_text()
        self.config.write_text(text.replace("127.0.0.1:8765", f"127.0.0.1:{free_port()}"))
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._listening.bind(str(directory / "notify"))
        self._thread = threading.Thread(target=self._listen, name="manager")
        self._thread.start()
        with (directory / "log").open("w") as log:
            self.process = self._start(log)

    def _start(self, log: TextIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "echostream", "run", "--config", str(self.config), "--simulate", "all"],
            cwd=REPOSITORY,
            env=os.environ
            | {
                "NOTIFY_SOCKET": str(self.directory / "notify"),
                "WATCHDOG_USEC": "10000000",
                "RUNTIME_DIRECTORY": str(self.runtime),
            },
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _listen(self) -> None:
        while True:
            data, ancillary, _, _ = self._listening.recvmsg(4096, 64)
            if data == b"end":
                return
            pid = int.from_bytes(ancillary[0][2][:4], sys.byteorder)
            self.said += [(pid, line) for line in data.decode().split("\n")]

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self.said]

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()

    def wait_for(self, pattern: str, after: int = 0) -> int:
        """Place of the first such line from `after` on."""
        until_s = time.monotonic() + WITHIN_S
        while time.monotonic() < until_s:
            for at, line in enumerate(self.lines[after:], after):
                if re.fullmatch(pattern, line):
                    return at
            time.sleep(0.05)
        raise AssertionError(f"{pattern}: not said; {self.lines[-5:]}; {self.log[-2000:]}")

    def close(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", str(self.directory / "notify"))
        self._thread.join(5)
        self._listening.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(tmp_path)
    yield one
    one.close()


def test_from_start_to_stop(manager: Manager) -> None:
    ready = manager.wait_for("READY=1")
    manager.wait_for("STATUS=4 of 4 channels on the air.*")
    manager.wait_for("WATCHDOG=1", ready)
    path = find_health("echostream", manager.runtime, manager.runtime)
    assert path is not None
    health = read_health(path)
    assert (health.current, health.ready, health.pid) == (True, True, manager.process.pid)

    before = len(manager.lines)
    document = json.loads(manager.config.read_text())
    document["channels"][0]["output_gain_db"] = 3
    manager.config.write_text(json.dumps(document))
    manager.process.send_signal(signal.SIGHUP)
    begun = manager.wait_for("RELOADING=1", before)
    assert manager.lines[begun + 1].startswith("MONOTONIC_USEC=")
    manager.wait_for("READY=1", begun)

    manager.config.write_text("{")
    before = len(manager.lines)
    manager.process.send_signal(signal.SIGHUP)
    manager.wait_for("READY=1", manager.wait_for("RELOADING=1", before))
    assert "the old configuration stays" in manager.log

    manager.process.terminate()
    manager.wait_for("STOPPING=1")
    assert manager.process.wait(WITHIN_S) == 0
    assert not path.exists()
    assert {pid for pid, _ in manager.said} == {manager.process.pid}, "no child speaks in its name"


def test_one_that_stands_still_is_not_fed_and_says_where_it_stood(manager: Manager) -> None:
    manager.wait_for("READY=1")
    manager.wait_for("WATCHDOG=1")
    manager.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    fed = manager.lines.count("WATCHDOG=1")
    time.sleep(2.0)
    assert manager.lines.count("WATCHDOG=1") == fed
    manager.process.send_signal(signal.SIGABRT)
    manager.process.send_signal(signal.SIGCONT)
    assert manager.process.wait(WITHIN_S) == -signal.SIGABRT
    assert "Fatal Python error: Aborted" in manager.log
    assert "in _attend" in manager.log
