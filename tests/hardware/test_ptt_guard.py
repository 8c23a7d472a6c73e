"""The guard process alone, spoken to directly, with the real kernel interface over a simulated chip."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpio_bench import REPOSITORY
from gpio_simulator import GpioSimulator, build_forwarder
from guard_caller import CHIP, PIN, Caller

from echostream.hardware import gpio_uapi as uapi
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_process import GuardProcess

pytestmark = pytest.mark.real_gpio


def started(lines_file: str | None = None) -> Caller:
    """A guard that is our child."""
    return Caller(GuardProcess(lines_file))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_forwarder(tmp_path_factory.mktemp("forward"))


@pytest.fixture(params=[True, False], ids=["persist", "release"])
def chip(
    request: pytest.FixtureRequest, tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GpioSimulator]:
    """A chip that keeps released outputs as they were, and one that makes them inputs."""
    with GpioSimulator(tmp_path / "chip.sock", persist_outputs=request.param) as simulator:
        for name, value in simulator.environment(library).items():
            monkeypatch.setenv(name, value)
        yield simulator


@pytest.fixture
def caller(chip: GpioSimulator) -> Iterator[Caller]:
    caller = started()
    yield caller
    caller.close()


def wait_idle(chip: GpioSimulator, pin: int = PIN, level: int = 0) -> None:
    assert chip.wait_level(pin, level) is not None
    assert chip.wait_held(pin, False)
    assert chip.level(pin) == level


def test_line_comes_up_inactive_and_names_its_holder(chip: GpioSimulator, caller: Caller) -> None:
    chip.drive(PIN, None)
    caller.add(0)
    caller.add(1, pin=27, active_low=True)
    assert caller.hear().flag == protocol.UNKEYED
    assert caller.hear(line=1).flag == protocol.UNKEYED
    assert (chip.level(PIN), chip.level(27)) == (0, 1)
    assert chip.consumer(PIN) == "echostream-ptt"
    assert [change for change in chip.history if (change.pin, change.level) == (27, 0)] == []


def test_line_left_high_by_a_dead_predecessor_is_driven_low(chip: GpioSimulator, caller: Caller) -> None:
    chip.drive(PIN, 1)
    chip.drive(PIN, None)
    caller.add()
    caller.hear(protocol.UNKEYED)
    assert chip.level(PIN) == 0


def test_key_and_unkey(chip: GpioSimulator, caller: Caller) -> None:
    caller.add()
    caller.hear(protocol.UNKEYED)
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)
    assert chip.level(PIN) == 1
    caller.send(protocol.UNKEY)
    caller.hear(protocol.UNKEYED)
    assert chip.level(PIN) == 0


def test_hang_drops_after_the_lease(chip: GpioSimulator, caller: Caller) -> None:
    caller.add()
    caller.hear(protocol.UNKEYED)
    began = time.monotonic()
    caller.send(protocol.KEY)
    caller.hear(protocol.EXPIRED)
    assert 0.15 < time.monotonic() - began < 0.25 + 0.1
    assert chip.level(PIN) == 0


def test_over_without_end_drops_and_latches(chip: GpioSimulator, caller: Caller) -> None:
    caller.add(max_key_ms=300)
    caller.hear(protocol.UNKEYED)
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        caller.send(protocol.KEY)
        time.sleep(0.02)
    caller.hear(protocol.LATCHED)
    assert chip.level(PIN) == 0
    caller.send(protocol.UNKEY)
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)


def test_end_of_the_socket_drops_parks_and_ends(chip: GpioSimulator, caller: Caller) -> None:
    caller.add(0)
    caller.add(1, pin=27, active_low=True)
    caller.send(protocol.KEY, 0)
    caller.send(protocol.KEY, 1)
    caller.hear(protocol.KEYED)
    caller.hear(protocol.KEYED, line=1)
    assert caller.close() == 0
    wait_idle(chip)
    wait_idle(chip, 27, 1)
    assert chip.flags(PIN) & (uapi.FLAG_INPUT | uapi.FLAG_PULL_DOWN) == uapi.FLAG_INPUT | uapi.FLAG_PULL_DOWN
    assert chip.flags(27) & (uapi.FLAG_INPUT | uapi.FLAG_PULL_UP) == uapi.FLAG_INPUT | uapi.FLAG_PULL_UP


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_signal_drops_and_refuses_but_holds(chip: GpioSimulator, caller: Caller, number: int) -> None:
    caller.add()
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)
    os.kill(caller.pid, number)
    caller.hear(protocol.STOPPING)
    assert chip.level(PIN) == 0
    caller.send(protocol.KEY)
    caller.send(protocol.PING)
    time.sleep(0.1)
    assert chip.level(PIN) == 0
    assert chip.consumer(PIN) == "echostream-ptt"
    assert caller.close() == 0


def test_other_signals_do_nothing(chip: GpioSimulator, caller: Caller) -> None:
    caller.add()
    caller.hear(protocol.UNKEYED)
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(caller.pid, number)
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)


@pytest.mark.parametrize("rubbish", [b"x", b"EG\x02" + b"\xff" * 13, b"\x00" * 300])
def test_rubbish_drops_every_line(chip: GpioSimulator, caller: Caller, rubbish: bytes) -> None:
    caller.add()
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)
    caller.guard.sock.send(rubbish)
    wait_idle(chip)
    assert caller.close() == 3


def test_key_for_a_line_that_is_not_there_is_ignored(chip: GpioSimulator, caller: Caller) -> None:
    caller.send(protocol.KEY, 9)
    caller.send(protocol.REMOVE, 9)
    caller.add()
    caller.hear(protocol.UNKEYED)


def test_removed_line_drops_and_is_free(chip: GpioSimulator, caller: Caller) -> None:
    caller.add()
    caller.send(protocol.KEY)
    caller.hear(protocol.KEYED)
    caller.send(protocol.REMOVE)
    wait_idle(chip)


def test_held_line_is_a_fault_until_it_is_free(chip: GpioSimulator, caller: Caller) -> None:
    chip.refuse_claims[PIN] = errno.EBUSY
    caller.add(0)
    caller.add(1, pin=27)
    fault = caller.hear(protocol.FAULT)
    assert fault.number == errno.EBUSY
    caller.hear(protocol.UNKEYED, line=1)
    del chip.refuse_claims[PIN]
    caller.hear(protocol.UNKEYED)


def test_gateway_that_leaked_its_socket_and_died_drops_all(
    chip: GpioSimulator, library: Path, tmp_path: Path
) -> None:
    """A child of the gateway holds the socket open: only the gateway's end tells."""
    code = (
        "import os, sys, time\n"
        "from echostream.hardware.ptt_process import GuardProcess\n"
        "from echostream.hardware.ptt_protocol import Message, ADD, KEY\n"
        "guard = GuardProcess(None)\n"
        f"guard.send(Message(ADD, 0, 0, {PIN}, 60000, {CHIP!r}))\n"
        "if os.fork() == 0:\n"
        "    os.close(1)\n"
        "    while guard.send(Message(KEY)):\n"
        "        time.sleep(0.02)\n"
        "    os._exit(0)\n"
        "sys.stdin.read()\n"
        "os._exit(1)\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}
    )
    assert program.stdin is not None
    try:
        assert chip.wait_level(PIN, 1) is not None
        program.stdin.close()
        program.wait(5)
        wait_idle(chip)
    finally:
        program.kill()
        program.wait()


def test_list_of_lines_drops_them_after_both_were_killed(chip: GpioSimulator, tmp_path: Path) -> None:
    lines_file = tmp_path / "ptt-lines"
    caller = started(str(lines_file))
    caller.add(0)
    caller.add(1, pin=27, active_low=True)
    caller.send(protocol.KEY, 0)
    caller.send(protocol.KEY, 1)
    caller.hear(protocol.KEYED)
    caller.hear(protocol.KEYED, line=1)
    caller.guard.kill()
    caller.close()
    assert chip.wait_held(PIN, False)
    assert chip.wait_held(27, False)
    command = [sys.executable, "-m", "echostream.hardware.ptt_guard", "--drop", str(lines_file)]
    done = subprocess.run(command, cwd=REPOSITORY, timeout=10, check=False)
    assert done.returncode == 0
    wait_idle(chip)
    wait_idle(chip, 27, 1)
    lines_file.unlink()
    assert subprocess.run(command, cwd=REPOSITORY, timeout=10, check=False).returncode == 0


def test_chip_that_vanishes_is_a_fault(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = GpioSimulator(tmp_path / "chip.sock")
    for name, value in simulator.environment(library).items():
        monkeypatch.setenv(name, value)
    caller = started()
    try:
        caller.add()
        caller.hear(protocol.UNKEYED)
        simulator.close()
        caller.send(protocol.KEY)
        assert caller.hear(protocol.FAULT).number in (errno.ENODEV, errno.ENOENT)
    finally:
        caller.close()
        simulator.close()


def test_started_by_hand_says_what_it_is() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "echostream.hardware.ptt_guard"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        timeout=10,
        check=False,
    )
    assert done.returncode == 2
    assert "started by the gateway" in done.stderr


def test_guard_is_small() -> None:
    """What keeps radios safe must fit beside a gateway that is short of memory, and start at once."""
    code = (
        "import echostream.hardware.ptt_guard, sys\n"
        "heavy = {'numpy', 'pydantic', 'logging', 'dataclasses', 'subprocess', 'lgpio'}\n"
        "print(sorted(set(sys.modules) & heavy))\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')][0])\n"
    )
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, timeout=10, check=True)
    modules, resident_kb = done.stdout.splitlines()
    assert modules == "[]"
    assert int(resident_kb) < 16_000
