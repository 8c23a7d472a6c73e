"""A program that watches GPIO inputs through the real lgpio, for a test in another process.

JSON lines: {"do": "watch", "pin", "active_low", "pull", "fail"?}, {"do": "unwatch", "pin"},
{"do": "look", "pin"}, {"do": "close"} come in; {"ok": ...} or {"error": ...} answer, and
{"pin", "active", "at_s"} are changes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any

from echostream.errors import EchoStreamError
from echostream.hardware.gpio import GpioInputs, InputLine

_writing = threading.Lock()


def say(message: dict[str, Any]) -> None:
    with _writing:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


class Worker:
    """Does what the test asks."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._inputs = GpioInputs(**settings)
        self._inputs.start()
        self._lines: dict[int, InputLine] = {}
        self._directory = os.getcwd()

    def watch(self, pin: int, active_low: bool, pull: Any, fail: bool = False) -> Any:
        def changed(active: bool, at_s: float) -> None:
            say({"pin": pin, "active": active, "at_s": at_s})
            if fail:
                raise RuntimeError("a subscriber's bug")

        self._lines[pin] = self._inputs.watch(pin, active_low=active_low, pull=pull, on_change=changed)
        return self.look(pin)

    def look(self, pin: int) -> dict[str, Any]:
        line = self._lines[pin]
        return {
            "active": line.active,
            "missed_edges": line.missed_edges,
            "callback_errors": line.callback_errors,
            "threads": sorted(thread.name for thread in threading.enumerate()),
            "directory_kept": os.getcwd() == self._directory,
            "files": os.listdir(),
        }

    def unwatch(self, pin: int) -> None:
        self._lines.pop(pin).close()

    def close(self) -> list[str]:
        self._inputs.close()
        self._inputs.close()
        return sorted(thread.name for thread in threading.enumerate())


def main() -> None:
    directory = os.getcwd()
    worker: Worker | None = None
    for text in sys.stdin:
        command = json.loads(text)
        verb = command.pop("do")
        try:
            if verb == "start":
                worker = Worker(command)
                say({"ok": os.getcwd() == directory})
            else:
                say({"ok": getattr(worker, verb)(**command)})
        except EchoStreamError as error:
            say({"error": str(error), "type": type(error).__name__})
    if worker is not None:
        worker.close()


if __name__ == "__main__":
    main()
