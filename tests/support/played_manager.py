"""A service manager that is played: it starts a process that writes a health file, and starts it again.

It does so when the process ends, or says nothing for WATCHDOG_S. The program `systemctl` in its folder
answers as the real one does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

WATCHDOG_S: Final = 2
_POLL_S: Final = 0.05
_SYSTEMCTL: Final = """#!/bin/sh
case "$1" in
    show) name=${3#--property=}; cat "$(dirname "$0")/$name" ;;
    kill) kill -s "${3#--signal=SIG}" "$(cat "$(dirname "$0")/MainPID")" ;;
    *) echo "Unknown command verb $1." >&2; exit 1 ;;
esac
"""
_GATEWAY: Final = """
import os, sys, threading, time
from pathlib import Path
from echostream.service.health import ChannelHealth, Health, boot_id, health_path, since_boot_s, write_health
folder, pause = Path(sys.argv[1]), threading.Event()
began = time.time_ns() // 1000
while not pause.wait(0.1):
    write_health(health_path(folder, "echostream"), Health(
        "1", os.getpid(), "echostream", boot_id(), began, time.time_ns() // 1000, since_boot_s(), True, True,
        channels={"ops": ChannelHealth(online=True, card=True)}))
"""


class PlayedManager:
    """Owns thread `played-manager` and the process. restarts: False for one that never starts it again."""

    def __init__(self, folder: Path, repository: Path, *, restarts: bool = True) -> None:
        self.folder = folder
        self._environment = os.environ | {"PYTHONPATH": str(repository)}
        self._restarts = restarts
        self._count = 0
        self._stop = threading.Event()
        program = folder / "systemctl"
        program.write_text(_SYSTEMCTL, "utf-8")
        program.chmod(0o755)
        self._tell("ActiveState", "active")
        self._tell("WatchdogUSec", f"{WATCHDOG_S}s")
        self._tell("NRestarts", "0")
        self._process = self._start()
        self._thread = threading.Thread(target=self._run, name="played-manager")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(5)
        self._process.kill()
        self._process.wait()

    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.folder}:{os.environ['PATH']}", "RUNTIME_DIRECTORY": str(self.folder)}

    def _run(self) -> None:
        health = self.folder / "echostream.health.json"
        while not self._stop.wait(_POLL_S):
            if health.exists() and time.time() - health.stat().st_mtime > WATCHDOG_S:
                self._process.kill()
                self._process.wait()
            if self._process.poll() is not None and self._restarts:
                self._count += 1
                self._process = self._start()
                self._tell("NRestarts", str(self._count))

    def _start(self) -> subprocess.Popen[bytes]:
        (self.folder / "echostream.health.json").unlink(missing_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", _GATEWAY, str(self.folder)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
        )
        self._tell("MainPID", str(process.pid))
        return process

    def _tell(self, name: str, value: str) -> None:
        (self.folder / name).write_text(value + "\n", "utf-8")
