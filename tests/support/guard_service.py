"""Stands in for the service manager of echostream-ptt-guard: holds its socket, starts it, and after its end
runs what its unit names as ExecStopPost and starts it again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
MODULE = "echostream.hardware.ptt_guard"
RESTART_S = 0.25
"""RestartSec of the unit."""


class GuardService:
    """A guard that is a service. environment: what the guard runs in, beside our own. user: who may key, with
    its group. quiet: what the guard says is not for the terminal.

    post: whether ExecStopPost is run. post_ms: how long each took.
    """

    def __init__(
        self, directory: Path, environment: dict[str, str], user: str | None = None, quiet: bool = False
    ) -> None:
        self.path = str(directory / "guard.sock")
        self.lines_file = directory / "ptt-lines-of-unit"
        self._journal = subprocess.DEVNULL if quiet else None
        self.restarts = 0
        self.post = True
        self.post_ms: list[float] = []
        self._options = ["--lines-file", str(self.lines_file), *(["--user", user] if user else [])]
        self._environment = os.environ | environment | {"PYTHONPATH": str(REPOSITORY)}
        for name in ("NOTIFY_SOCKET", "ECHOSTREAM_PTT_GUARD"):
            self._environment.pop(name, None)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(self.path)
        self._socket.listen(16)
        self._stop = threading.Event()
        self._process = self._start()
        self._thread = threading.Thread(target=self._watch, name="guard-service")
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def close(self) -> int:
        """As `systemctl stop`. The exit status of the guard."""
        self._stop.set()
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait(5)
        self._thread.join(10)
        self._socket.close()
        return status

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-S", "-m", MODULE, "--listen", *self._options]
        listening = self._socket.fileno()

        def take_socket() -> None:
            """Between fork and exec: LISTEN_PID must be the process's own."""
            os.dup2(listening, 3)
            os.set_inheritable(3, True)
            passed = {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
            os.execve(command[0], command, self._environment | passed)

        return subprocess.Popen(
            command,
            preexec_fn=take_socket,  # noqa: PLW1509 - it only calls the kernel
            stdin=subprocess.DEVNULL,
            stderr=self._journal,
        )

    def _watch(self) -> None:
        while True:
            self._process.wait()
            if self._stop.is_set():
                return
            began = time.monotonic()
            if self.post:
                self._post()
            self.post_ms.append((time.monotonic() - began) * 1000)
            if self._stop.wait(RESTART_S):
                return
            self._process = self._start()
            self.restarts += 1

    def _post(self) -> None:
        command = [sys.executable, "-S", "-m", "echostream.hardware.ptt_drop", str(self.lines_file)]
        subprocess.run(command, env=self._environment, timeout=10, check=False)
