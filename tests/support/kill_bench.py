"""Kills a gateway that keys radios, and measures how long its lines stay up."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from gpio_simulator import GpioSimulator, build_forwarder

REPOSITORY = Path(__file__).parents[2]
PIN = 17
LOW_PIN = 27
ARGUMENTS = (str(PIN), f"{LOW_PIN}-")
IDLE = {PIN: 0, LOW_PIN: 1}


class Gateway:
    """One run of keyed_gateway.py over a simulated chip."""

    def __init__(self, simulator: GpioSimulator, library: Path) -> None:
        environment = os.environ | simulator.environment(library) | {"PYTHONPATH": str(REPOSITORY)}
        self.simulator = simulator
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("keyed_gateway.py")), *ARGUMENTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        word, pid = self.process.stdout.readline().split()
        assert word == "guard"
        self.guard_pid = int(pid)
        # Nobody looks at what it says afterwards, but it must not block on saying it.
        self._drain = threading.Thread(target=self._read, name="gateway-output")
        self._drain.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for _ in self.process.stdout:
            pass

    def wait_keyed(self) -> None:
        """Both lines are up at this moment."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            assert self.simulator.wait_level(PIN, 1 - IDLE[PIN]) is not None
            if self.simulator.level(LOW_PIN) != IDLE[LOW_PIN]:
                return
            time.sleep(0.005)
        raise TimeoutError("both lines never were keyed together")

    def close(self) -> None:
        """End it, whatever state it is in."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.kill()
        self.process.wait()
        self._drain.join(5)
        for file in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def gateway(simulator: GpioSimulator, library: Path) -> Iterator[Gateway]:
    """A gateway, ended at the end, and its lines free again."""
    running = Gateway(simulator, library)
    try:
        yield running
    finally:
        running.close()
        assert simulator.wait_held(PIN, False)
        assert simulator.wait_held(LOW_PIN, False)


def time_to_idle(simulator: GpioSimulator, since: float, timeout_s: float = 2.0) -> float:
    """Seconds from `since` until both lines were idle; infinite when they were not within the time."""
    for pin, level in IDLE.items():
        if simulator.wait_level(pin, level, timeout_s) is None:
            return float("inf")
    last = [change.at_s for change in simulator.history if change.pin in IDLE][-1]
    return max(0.0, last - since)


def kill_gateway(simulator: GpioSimulator, library: Path, chance: random.Random) -> float:
    """kill -9 at a random moment of an over. Returns the seconds until both lines were down, and stayed."""
    with gateway(simulator, library) as running:
        time.sleep(chance.uniform(0, 0.3))
        running.wait_keyed()
        since = time.monotonic()
        running.process.send_signal(signal.SIGKILL)
        seconds = time_to_idle(simulator, since)
    return max(seconds, stayed_idle(simulator, since))


def hang_gateway(simulator: GpioSimulator, library: Path, chance: random.Random) -> float:
    """SIGSTOP. As above."""
    with gateway(simulator, library) as running:
        time.sleep(chance.uniform(0, 0.3))
        running.wait_keyed()
        since = time.monotonic()
        running.process.send_signal(signal.SIGSTOP)
        seconds = time_to_idle(simulator, since)
        time.sleep(0.05)
        return max(seconds, stayed_idle(simulator, since))


def kill_guard(simulator: GpioSimulator, library: Path, chance: random.Random) -> float:
    """kill -9 of the guard: its lines must drop, and the gateway keys through a new one."""
    with gateway(simulator, library) as running:
        time.sleep(chance.uniform(0, 0.3))
        running.wait_keyed()
        since = time.monotonic()
        os.kill(running.guard_pid, signal.SIGKILL)
        worst = 0.0
        for pin, idle in IDLE.items():
            seen = first_change(simulator, pin, idle, since)
            worst = max(worst, seen - since)
        running.wait_keyed()
    return worst


def first_change(simulator: GpioSimulator, pin: int, level: int, since: float) -> float:
    """When a pin first took a level after `since`; infinite when it did not within 2 s."""
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        for change in list(simulator.history):
            if change.at_s >= since and (change.pin, change.level) == (pin, level):
                return change.at_s
        time.sleep(0.002)
    return float("inf")


def stayed_idle(simulator: GpioSimulator, since: float) -> float:
    """0 when both lines are idle now and neither was keyed later than 250 ms after `since`, else infinite."""
    for pin, idle in IDLE.items():
        late = [
            change
            for change in simulator.history
            if change.pin == pin and change.level != idle and change.at_s > since + 0.25
        ]
        if late or simulator.level(pin) != idle:
            return float("inf")
    return 0.0


TRIALS = {
    "kill -9 of the gateway": kill_gateway,
    "SIGSTOP of the gateway": hang_gateway,
    "kill -9 of the guard": kill_guard,
}


def run(name: str, rounds: int, directory: Path, persist_outputs: bool, seed: int = 1) -> list[float]:
    """So many rounds of a trial, on a chip that keeps or frees released outputs. Seconds to idle of each."""
    chance = random.Random(seed)
    library = build_forwarder(directory)
    with GpioSimulator(directory / "kill.sock", persist_outputs=persist_outputs) as simulator:
        return [TRIALS[name](simulator, library, chance) for _ in range(rounds)]
