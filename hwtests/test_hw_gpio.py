"""Pins 20 and 21, connected: latency of an edge, debounce, bias, and no way to stay keyed."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echostream.hardware.gpio import ChipInfo, GpioInputs
from echostream.hardware.gpio_uapi import OutputRequest
from hwtests.jumper import Wire, make_wire
from hwtests.machine import IN_PIN, OUT_PIN, SLACK

REPOSITORY = Path(__file__).parents[1]
GATEWAY = REPOSITORY / "tests/support/keyed_gateway.py"
EDGES = 200
GUARD_SOCKET = Path("/run/echostream-ptt/guard")
CHILD_DROPS_S, SERVICE_DROPS_S = 0.25 * SLACK, 0.5 * SLACK
ROUNDS = int(os.environ.get("ECHOSTREAM_HWTEST_ROUNDS", "20"))


def test_edge_reaches_the_subscriber_soon(wire: Wire) -> None:
    """Of the key-up budget of 25 ms the edge may take 5."""
    stamped, delivered = [], []
    for index in range(EDGES):
        level = index % 2 == 0
        driven = wire.drive(level)
        change = wire.change()
        arrived = time.monotonic()
        assert change is not None, f"edge {index} was lost"
        assert change[0] is level
        stamped.append((change[1] - driven) * 1000)
        delivered.append((arrived - driven) * 1000)
        time.sleep(0.002)
    p99 = statistics.quantiles(delivered, n=100)[98]
    print(f"edge to subscriber: median {statistics.median(delivered):.2f} ms, p99 {p99:.2f} ms")
    assert p99 < 5 * SLACK
    assert -1 < statistics.median(stamped) < SLACK


def test_bounce_is_one_press(debounced: Wire) -> None:
    for level in (True, False, True, False, True):
        debounced.drive(level)
        time.sleep(0.002)
    change = debounced.change()
    assert change is not None
    assert change[0] is True
    assert debounced.change(0.1) is None
    assert debounced.line.active


def test_release_inside_the_lock_out_is_not_lost(debounced: Wire) -> None:
    debounced.drive(True)
    debounced.drive(False)
    first, second = debounced.change(), debounced.change()
    assert first is not None
    assert second is not None
    assert (first[0], second[0]) == (True, False)
    assert 0.015 < second[1] - first[1] < 0.05 * SLACK


@pytest.mark.parametrize(("pull", "active"), [("up", True), ("down", False)])
def test_resistor_decides_an_open_line(chip: ChipInfo, jumper: None, pull: str, active: bool) -> None:
    """The other end is parked as an input with the same bias, so that the jumper does not decide."""
    other = OutputRequest(chip.path, OUT_PIN, active_low=pull == "up", consumer="echostream-hwtest")
    other.park()
    other.close()
    with GpioInputs(chip.path) as inputs:
        line = inputs.watch(
            IN_PIN, active_low=False, pull="up" if pull == "up" else "down", on_change=lambda *_: None
        )
        assert line.active is active


def guard_at(kind: str, folder: Path) -> dict[str, str]:
    """Environment of a gateway whose lines are held by a child of its own, or by the service."""
    if kind == "child":
        return {"ECHOSTREAM_PTT_GUARD": ""}
    if not GUARD_SOCKET.exists():
        pytest.skip(f"{GUARD_SOCKET} is not there: no echostream-ptt-guard.service runs (sudo make install)")
    if os.geteuid() != 0:
        pytest.skip("run as root: the guard serves the gateway's user and root")
    return {"ECHOSTREAM_PTT_GUARD": str(GUARD_SOCKET), "RUNTIME_DIRECTORY": str(folder)}


@pytest.mark.parametrize(
    ("kind", "blow"),
    [
        *(("child", blow) for blow in ("kill the gateway", "stop the gateway", "kill the guard")),
        *(
            ("service", blow)
            for blow in ("kill the gateway", "stop the gateway", "kill the guard", "kill both")
        ),
    ],
)
def test_nothing_leaves_the_line_keyed(
    chip: ChipInfo, jumper: None, kind: str, blow: str, tmp_path: Path
) -> None:
    environment = guard_at(kind, tmp_path)
    seconds = [one_blow(chip, blow, environment) for _ in range(ROUNDS)]
    print(f"{blow} ({kind}): line down after median {statistics.median(seconds) * 1000:.1f} ms, ", end="")
    print(f"max {max(seconds) * 1000:.1f} ms of {ROUNDS}")
    assert max(seconds) <= (CHILD_DROPS_S if kind == "child" else SERVICE_DROPS_S)


def one_blow(chip: ChipInfo, blow: str, environment: dict[str, str]) -> float:
    """Key the line from a gateway process, strike, and read the wire. Seconds until it was down for good."""
    changes: list[tuple[bool, float]] = []
    with GpioInputs(chip.path, debounce_ms=0, reread_ms=50) as inputs:
        inputs.watch(
            IN_PIN,
            active_low=False,
            pull="down",
            on_change=lambda active, at_s: changes.append((active, at_s)),
        )
        gateway = subprocess.Popen(
            [sys.executable, str(GATEWAY), str(OUT_PIN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment | {"PYTHONPATH": str(REPOSITORY)},
        )
        assert gateway.stdout is not None
        try:
            guard = int(gateway.stdout.readline().split()[1])
            assert gateway.stdout.readline().startswith("keyed")
            time.sleep(0.1)
            struck = time.monotonic()
            strike(blow, gateway, guard)
            time.sleep(SERVICE_DROPS_S + 0.1 if environment["ECHOSTREAM_PTT_GUARD"] else CHILD_DROPS_S + 0.1)
            downs = [at_s for active, at_s in changes if not active and at_s >= struck - 0.001]
            return max(0.0, downs[0] - struck) if downs else float("inf")
        finally:
            gateway.kill()
            gateway.communicate()


def strike(blow: str, gateway: subprocess.Popen[str], guard: int) -> None:
    if blow == "stop the gateway":
        gateway.send_signal(signal.SIGSTOP)
    if blow in ("kill the gateway", "kill both"):
        gateway.send_signal(signal.SIGKILL)
    if blow in ("kill the guard", "kill both"):
        os.kill(guard, signal.SIGKILL)


def test_line_is_free_after_the_gateway(chip: ChipInfo, jumper: None) -> None:
    """What one_blow left behind can be claimed at once."""
    wire = make_wire(chip, 0)
    try:
        assert wire.follows()
    finally:
        wire.close()
