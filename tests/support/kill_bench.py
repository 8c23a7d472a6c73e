"""Kills a gateway that keys radios, its guard, or both, and measures how long its lines stay up."""

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
from dataclasses import dataclass
from pathlib import Path

from gpio_simulator import GpioSimulator, build_forwarder
from guard_service import GuardService

REPOSITORY = Path(__file__).parents[2]
PIN = 17
LOW_PIN = 27
ARGUMENTS = (str(PIN), f"{LOW_PIN}-")
IDLE = {PIN: 0, LOW_PIN: 1}
WAIT_S = 3.0
"""A line that is still up after this long stays up."""
START_S = 2.0
"""Where nobody is left, a service manager starts a Python program, on a machine that may be busy."""
KINDS = ("child", "unit")


@dataclass(frozen=True, slots=True)
class Blow:
    """What is done to whom. limit_s: how soon every line must be down."""

    number: signal.Signals
    gateway: bool = False
    guard: bool = False
    heir: bool = False
    limit_s: float = 0.5


BLOWS = {
    "kill -9 of the gateway": Blow(signal.SIGKILL, gateway=True),
    "SIGSTOP of the gateway": Blow(signal.SIGSTOP, gateway=True),
    "SIGSEGV of the gateway": Blow(signal.SIGSEGV, gateway=True),
    "kill -9 of the guard": Blow(signal.SIGKILL, guard=True),
    "SIGSTOP of the guard": Blow(signal.SIGSTOP, guard=True),
    "SIGSEGV of the guard": Blow(signal.SIGSEGV, guard=True),
    "kill -9 of both": Blow(signal.SIGKILL, gateway=True, guard=True),
    "kill -9 of all": Blow(signal.SIGKILL, gateway=True, guard=True, heir=True, limit_s=START_S),
}


class Site:
    """A simulated chip, and what a service manager does. kind: the guard is a "child" or a "unit"."""

    def __init__(self, kind: str, simulator: GpioSimulator, library: Path, directory: Path) -> None:
        self.kind = kind
        self.simulator = simulator
        self.environment = simulator.environment(library) | {"PYTHONPATH": str(REPOSITORY)}
        self.service = GuardService(directory, self.environment, quiet=True) if kind == "unit" else None
        self.lines_file = directory / "ptt-lines"
        mine = {"RUNTIME_DIRECTORY": str(directory), "ECHOSTREAM_PTT_GUARD": ""}
        if self.service is not None:
            mine["ECHOSTREAM_PTT_GUARD"] = self.service.path
        self.gateway_environment = os.environ | self.environment | mine

    def gateway_ended(self) -> None:
        """ExecStopPost of echostream.service."""
        command = [sys.executable, "-m", "echostream.hardware.ptt_drop", str(self.lines_file)]
        subprocess.run(command, env=self.gateway_environment, timeout=10, check=False)

    def close(self) -> None:
        if self.service is not None:
            self.service.close()


class Gateway:
    """One run of keyed_gateway.py."""

    def __init__(self, site: Site) -> None:
        self.simulator = site.simulator
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("keyed_gateway.py")), *ARGUMENTS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=site.gateway_environment,
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
        self.process.kill()
        self.process.wait()
        self._drain.join(5)
        for file in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                file.close()


@contextlib.contextmanager
def gateway(site: Site) -> Iterator[Gateway]:
    """A gateway, ended at the end, and its lines idle; free again where the guard was its child."""
    running = Gateway(site)
    try:
        yield running
    finally:
        running.close()
        for pin, idle in IDLE.items():
            assert site.simulator.wait_level(pin, idle) is not None
            assert site.kind == "unit" or site.simulator.wait_held(pin, False)


def strike(site: Site, blow: Blow, chance: random.Random) -> float:
    """One blow at a random moment of an over. Seconds until both lines were down; infinite where one was not,
    or came up again although its gateway was gone. Where only the guard was hit, the gateway keys again."""
    with gateway(site) as running:
        time.sleep(chance.uniform(0, 0.3))
        running.wait_keyed()
        already = len(site.simulator.history)
        up = [pin for pin, idle in IDLE.items() if site.simulator.level(pin) != idle]
        heirs = children_of(running.guard_pid) if blow.heir else []
        since = time.monotonic()
        for heir in heirs:
            os.kill(heir, blow.number)
        if blow.guard:
            os.kill(running.guard_pid, blow.number)
        if blow.gateway:
            running.process.send_signal(blow.number)
            if blow.number != signal.SIGSTOP:
                running.process.wait()
                site.gateway_ended()
        seconds = max((first_idle(site.simulator, pin, already, since) for pin in up), default=0.0)
        if not blow.gateway:
            running.wait_keyed()
            return seconds
        time.sleep(0.05)
        return max(seconds, stayed_idle(site.simulator, already, since))


def children_of(pid: int) -> list[int]:
    """Of a process, by the parent that each says it has."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                found += [int(folder.name)] if int(fields[1]) == pid else []
    return found


def first_idle(simulator: GpioSimulator, pin: int, already: int, since: float) -> float:
    """How long after `since` a pin first went idle; infinite when it did not."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        for change in simulator.history[already:]:
            if (change.pin, change.level) == (pin, IDLE[pin]):
                return max(0.0, change.at_s - since)
        time.sleep(0.002)
    return float("inf")


def stayed_idle(simulator: GpioSimulator, already: int, since: float) -> float:
    """When the last line went idle for good; infinite when one is up now."""
    if any(simulator.level(pin) != idle for pin, idle in IDLE.items()):
        return float("inf")
    last = [change.at_s for change in simulator.history[already:] if change.pin in IDLE]
    return max(0.0, last[-1] - since) if last else 0.0


def run(
    name: str, rounds: int, directory: Path, persist_outputs: bool, seed: int = 1, kind: str = "child"
) -> list[float]:
    """So many rounds of a blow, on a chip that keeps or frees released outputs. Seconds to idle of each."""
    chance = random.Random(seed)
    library = build_forwarder(directory)
    with GpioSimulator(directory / "kill.sock", persist_outputs=persist_outputs) as simulator:
        site = Site(kind, simulator, library, directory)
        try:
            return [strike(site, BLOWS[name], chance) for _ in range(rounds)]
        finally:
            site.close()
