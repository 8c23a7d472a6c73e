"""The real processes, started as a person starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]


class Process:
    """`echostream ...` with everything it says in `log`; ended when the block is left."""

    def __init__(self, folder: Path, *arguments: str, name: str = "process") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log_path = folder / f"{name}.log"
        environment = {**os.environ, "RUNTIME_DIRECTORY": str(folder), "PYTHONPATH": str(ROOT)}
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "echostream", *arguments],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def log(self) -> str:
        return self.log_path.read_text("utf-8")

    def wait_for(self, text: str, timeout_s: float = 30.0) -> None:
        """Until it said this; AssertionError when it does not."""
        until = time.monotonic() + timeout_s
        while text not in self.log:
            assert time.monotonic() < until, f"{text!r} was not said:\n{self.log}"
            assert self.process.poll() is None or text in self.log, self.log
            time.sleep(0.02)

    def end(self, timeout_s: float = 10.0) -> int:
        """SIGTERM; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


class GatewayProcess(Process):
    """`echostream run --simulate all` with a configuration of its own; `summary` after its end."""

    def __init__(
        self,
        folder: Path,
        url: str,
        channels: list[dict[str, Any]],
        *arguments: str,
        server: dict[str, Any] | None = None,
        audio: dict[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.config_path = folder / "config.json"
        self.summary_path = folder / "summary.json"
        self.document: dict[str, Any] = {
            "gateway": {
                "id": "interop",
                "affiliation_id": "interop-1",
                "user_name": "Interop",
                "agency_name": "Field",
            },
            "control_server": {"url": url, **(server or {})},
            "channels": channels,
            "audio": audio or {},
        }
        self.config_path.write_text(json.dumps(self.document), "utf-8")
        super().__init__(
            folder, "run", "--config", str(self.config_path), "--simulate", "all",
            "--summary", str(self.summary_path), *arguments, name="run",
        )  # fmt: skip

    def reload(self) -> None:
        """`echostream reload` in the same place."""
        with Process(self.folder, "reload", name="reload") as command:
            assert command.process.wait(10) == 0, command.log

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.summary_path.read_text("utf-8"))
        return found


def voice_keyed(channel: str, **more: Any) -> dict[str, Any]:
    """A channel that always transmits: its voice-operated valve opens on the first frame and stays open."""
    vox = {"enabled": True, "threshold_dbfs": -90, "attack_ms": 0, "hang_ms": 10_000}
    return {"id": channel, "card": f"card-{channel}", "vox": vox, **more}


def button_keyed(channel: str, pin: int = 20, **more: Any) -> dict[str, Any]:
    """A channel whose simulated button is pressed 1 s after the start, for 4 s, every 18 s."""
    return {"id": channel, "card": f"card-{channel}", "ptt": {"pin": pin}, **more}
