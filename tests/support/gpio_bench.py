"""The bench on which GPIO inputs are tested: one for the mock, one for the real lgpio, the same verbs."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from gpio_simulator import GpioSimulator, build_forwarder

from echostream.errors import EchoStreamError, GpioError
from echostream.hardware.gpio_lines import InputLine, Pull
from echostream.hardware.gpio_mock import MockGpioInputs

REPOSITORY = Path(__file__).parents[2]
Change = tuple[int, bool, float]


class Bench(Protocol):
    """Watches pins, drives them, and gives the changes that were reported."""

    def watch(
        self, pin: int, *, active_low: bool = True, pull: Pull = "up", fail: bool = False
    ) -> dict[str, Any]: ...

    def look(self, pin: int) -> dict[str, Any]: ...

    def unwatch(self, pin: int) -> None: ...

    def drive(self, pin: int, level: bool | None) -> None: ...

    def miss_next_edge(self, pin: int) -> None: ...

    def occupy(self, pin: int, consumer: str) -> None: ...

    def change(self, timeout_s: float = 2.0) -> Change | None: ...

    def close(self) -> None: ...


class MockBench:
    """MockGpioInputs in this process."""

    def __init__(self, **settings: Any) -> None:
        self._inputs = MockGpioInputs(**settings)
        self._inputs.start()
        self._changes: queue.Queue[Change] = queue.Queue()
        self._lines: dict[int, InputLine] = {}

    def watch(
        self, pin: int, *, active_low: bool = True, pull: Pull = "up", fail: bool = False
    ) -> dict[str, Any]:
        def changed(active: bool, at_s: float) -> None:
            self._changes.put((pin, active, at_s))
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
        }

    def unwatch(self, pin: int) -> None:
        self._lines.pop(pin).close()

    def drive(self, pin: int, level: bool | None) -> None:
        self._inputs.drive(pin, level)

    def miss_next_edge(self, pin: int) -> None:
        self._inputs.miss_next_edge(pin)

    def occupy(self, pin: int, consumer: str) -> None:
        self._inputs.occupy(pin, consumer)

    def change(self, timeout_s: float = 2.0) -> Change | None:
        with contextlib.suppress(queue.Empty):
            return self._changes.get(timeout=timeout_s)
        return None

    def close(self) -> None:
        self._inputs.close()


class LgpioBench:
    """GpioInputs in a process of its own, with the real lgpio over a simulated chip."""

    def __init__(self, directory: Path, **settings: Any) -> None:
        library = build_forwarder(directory)
        self.simulator = GpioSimulator(directory / f"gpio-{time.monotonic_ns()}.sock")
        work = directory / "work"
        work.mkdir(exist_ok=True)
        environment = os.environ | self.simulator.environment(library) | {"PYTHONPATH": str(REPOSITORY)}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("gpio_worker.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=work,
            env=environment,
        )
        self._changes: queue.Queue[Change] = queue.Queue()
        self._answers: queue.Queue[dict[str, Any]] = queue.Queue()
        self._missing: set[int] = set()
        self._reader = threading.Thread(target=self._read, name="bench-reader")
        self._reader.start()
        self.directory_kept = self._do("start", **settings)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for text in self._process.stdout:
            message = json.loads(text)
            if "at_s" in message:
                self._changes.put((message["pin"], message["active"], message["at_s"]))
            else:
                self._answers.put(message)

    def _do(self, verb: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": verb} | arguments) + "\n")
        self._process.stdin.flush()
        answer = self._answers.get(timeout=10)
        if "error" in answer:
            raise (GpioError if answer["type"] == "GpioError" else EchoStreamError)(answer["error"])
        return answer["ok"]

    def watch(
        self, pin: int, *, active_low: bool = True, pull: Pull = "up", fail: bool = False
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self._do("watch", pin=pin, active_low=active_low, pull=pull, fail=fail)
        return answer

    def look(self, pin: int) -> dict[str, Any]:
        answer: dict[str, Any] = self._do("look", pin=pin)
        return answer

    def unwatch(self, pin: int) -> None:
        self._do("unwatch", pin=pin)

    def drive(self, pin: int, level: bool | None) -> None:
        lost = pin in self._missing
        self._missing.discard(pin)
        self.simulator.drive(pin, None if level is None else int(level), lose_edge=lost)

    def miss_next_edge(self, pin: int) -> None:
        self._missing.add(pin)

    def occupy(self, pin: int, consumer: str) -> None:
        self.simulator.occupy(pin, consumer)

    def change(self, timeout_s: float = 2.0) -> Change | None:
        with contextlib.suppress(queue.Empty):
            return self._changes.get(timeout=timeout_s)
        return None

    def threads_after_close(self) -> list[str]:
        threads: list[str] = self._do("close")
        return threads

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(5)
        self._reader.join(5)
        self._process.stdout.close()
        self.simulator.close()


@contextlib.contextmanager
def bench(kind: str, directory: Path, **settings: Any) -> Iterator[Bench]:
    """A bench of a kind, "mock" or "lgpio"."""
    made: Bench = MockBench(**settings) if kind == "mock" else LgpioBench(directory, **settings)
    try:
        yield made
    finally:
        made.close()
