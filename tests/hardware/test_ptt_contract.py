"""What keyed lines promise, kept by the mock and by the guard over a simulated chip alike, be it a child of
the gateway or a service."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gpio_simulator import GpioSimulator, build_forwarder
from guard_service import GuardService

from echostream.errors import GpioError, StateError
from echostream.hardware.ptt_client import MockPttLines, PttLines, PttLineSpec

BENCHES = ["mock", *(pytest.param(kind, marks=pytest.mark.real_gpio) for kind in ("child", "unit"))]
NORTH = PttLineSpec("north", pin=17)
SOUTH = PttLineSpec("south", pin=27, active_low=True, max_key_s=0.4)
Make = Callable[..., PttLines | MockPttLines]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_forwarder(tmp_path_factory.mktemp("forward"))


@pytest.fixture
def chip(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GpioSimulator]:
    """The guard sees it; this process, which has no preloaded library, does not."""
    with GpioSimulator(tmp_path / "chip.sock", persist_outputs=True) as simulator:
        for name, value in simulator.environment(library).items():
            monkeypatch.setenv(name, value)
        yield simulator


@pytest.fixture
def service(chip: GpioSimulator, tmp_path: Path) -> Iterator[GuardService]:
    service = GuardService(tmp_path, {})
    yield service
    service.close()


@pytest.fixture(params=BENCHES)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    made: list[PttLines | MockPttLines] = []
    guard = None
    if request.param == "child":
        request.getfixturevalue("chip")
    elif request.param == "unit":
        guard = request.getfixturevalue("service").path

    def build(*specs: PttLineSpec) -> PttLines | MockPttLines:
        lines: PttLines | MockPttLines
        lines = MockPttLines(specs)
        if request.param != "mock":
            lines = PttLines(specs, chip="/dev/gpiochip0", guard=guard)
        made.append(lines)
        lines.start()
        return lines

    yield build
    for lines in made:
        lines.close()


def eventually(holds: Callable[[], bool], timeout_s: float = 3.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.005)
    return False


def test_lines_come_up_unkeyed_and_well(make: Make) -> None:
    lines = make(NORTH, SOUTH)
    for channel in ("north", "south"):
        output = lines.output(channel)
        assert (output.keyed, output.fault, output.state) == (False, None, "unkeyed")


def test_key_renew_unkey(make: Make) -> None:
    output = make(NORTH).output("north")
    for _ in range(20):
        output.key()
        time.sleep(0.02)
    assert output.keyed
    output.unkey()
    assert eventually(lambda: output.state == "unkeyed")
    assert output.expiries == 0


def test_output_that_is_not_renewed_drops(make: Make) -> None:
    output = make(NORTH).output("north")
    output.key()
    assert eventually(lambda: output.keyed)
    assert eventually(lambda: output.state == "expired", 0.5)
    assert output.expiries == 1
    output.key()
    assert eventually(lambda: output.keyed)


def test_over_without_end_latches_until_unkeyed(make: Make) -> None:
    output = make(SOUTH).output("south")
    began = time.monotonic()
    while time.monotonic() - began < 0.6:
        output.key()
        time.sleep(0.02)
    assert output.state == "latched"
    assert output.time_outs == 1
    assert "keyed for longer than" in str(output.fault)
    output.unkey()
    assert eventually(lambda: output.fault is None)
    output.key()
    assert eventually(lambda: output.keyed)


def test_reload_touches_only_what_changed(make: Make) -> None:
    lines = make(NORTH, SOUTH)
    north = lines.output("north")
    north.key()
    assert eventually(lambda: north.keyed)
    moved = PttLineSpec("south", pin=22)
    lines.reconfigure([NORTH, moved])
    assert lines.output("north") is north
    assert north.keyed
    assert lines.output("south").spec == moved
    assert lines.output("south").fault is None
    lines.reconfigure([moved])
    assert not north.keyed
    north.key()
    assert not eventually(lambda: north.keyed, 0.1)
    with pytest.raises(KeyError):
        lines.output("north")


def test_two_lines_of_one_channel_are_refused(make: Make) -> None:
    lines = make(NORTH)
    with pytest.raises(ValueError, match="two PTT lines"):
        lines.reconfigure([NORTH, PttLineSpec("north", pin=5)])
    assert lines.output("north").fault is None


def test_close_is_idempotent_and_unkeys(make: Make) -> None:
    lines = make(NORTH)
    output = lines.output("north")
    output.key()
    assert eventually(lambda: output.keyed)
    lines.close()
    lines.close()
    assert not output.keyed
    output.key()
    output.unkey()
    assert not output.keyed


def test_many_threads_key_at_once(make: Make) -> None:
    """The playback thread keys while another ends the over: the line never hangs."""
    output = make(NORTH).output("north")
    stop = threading.Event()

    def hammer(act: Callable[[], None]) -> None:
        while not stop.is_set():
            act()
            stop.wait(0.001)

    threads = [threading.Thread(target=hammer, args=(act,)) for act in (output.key, output.unkey, output.key)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join(5)
    output.unkey()
    assert eventually(lambda: not output.keyed, 0.5)


def test_mock_logs_what_was_keyed() -> None:
    lines = MockPttLines([NORTH])
    lines.start()
    output = lines.output("north")
    output.key()
    output.unkey()
    output.key()
    assert eventually(lambda: len(lines.log) == 4)
    lines.close()
    assert [(channel, keyed) for _, channel, keyed in lines.log] == [("north", True), ("north", False)] * 2
    assert 0.19 < lines.log[3][0] - lines.log[2][0] < 0.3


def test_mock_line_that_is_broken_says_so() -> None:
    lines = MockPttLines([NORTH])
    lines.start()
    lines.break_line("north", "BCM 17 is held by fan-control")
    output = lines.output("north")
    output.key()
    assert not output.keyed
    assert output.fault == "BCM 17 is held by fan-control"
    lines.break_line("north", None)
    assert eventually(lambda: output.fault is None)
    lines.close()


def test_specification_needs_a_pin_or_a_card() -> None:
    with pytest.raises(ValueError, match="a pin or a card"):
        PttLineSpec("north")
    with pytest.raises(ValueError, match="a pin or a card"):
        PttLineSpec("north", pin=1, cm108="Device")
    with pytest.raises(ValueError, match="max_key_s 0"):
        PttLineSpec("north", pin=1, max_key_s=0)


@pytest.mark.real_gpio
def test_guard_that_dies_is_replaced_and_keys_again(chip: GpioSimulator) -> None:
    lines = PttLines([NORTH], chip="/dev/gpiochip0")
    lines.start()
    output = lines.output("north")
    try:
        output.key()
        assert eventually(lambda: output.keyed)
        first = lines.guard_pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        assert eventually(lambda: lines.restarts == 1 and output.state == "unkeyed")
        assert not output.keyed
        assert chip.level(17) == 0
        output.key()
        assert eventually(lambda: output.keyed)
        assert lines.guard_pid != first
    finally:
        lines.close()


@pytest.mark.real_gpio
def test_guard_that_hangs_is_killed_and_replaced(chip: GpioSimulator) -> None:
    lines = PttLines([NORTH], chip="/dev/gpiochip0")
    lines.start()
    try:
        lines.output("north").key()
        assert chip.wait_level(17, 1) is not None
        assert lines.guard_pid is not None
        os.kill(lines.guard_pid, signal.SIGSTOP)
        assert chip.wait_level(17, 0, 3.0) is not None
        assert eventually(lambda: lines.restarts == 1 and lines.output("north").fault is None)
    finally:
        lines.close()


@pytest.mark.real_gpio
def test_busy_line_names_the_fault_and_the_other_line_works(chip: GpioSimulator) -> None:
    chip.occupy(17, "fan-control")
    lines = PttLines([NORTH, PttLineSpec("south", pin=27)], chip="/dev/gpiochip0")
    lines.start()
    try:
        assert "BCM 17 on /dev/gpiochip0 is held by" in str(lines.output("north").fault)
        south = lines.output("south")
        south.key()
        assert eventually(lambda: south.keyed)
    finally:
        lines.close()


@pytest.mark.real_gpio
def test_guard_outlives_no_close_and_leaves_no_child(chip: GpioSimulator) -> None:
    lines = PttLines([NORTH], chip="/dev/gpiochip0")
    lines.start()
    pid = lines.guard_pid
    assert pid is not None
    began = time.monotonic()
    lines.close()
    assert time.monotonic() - began < 1.0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert "ptt-guard" not in {thread.name for thread in threading.enumerate()}
    with pytest.raises(StateError):
        lines.start()


def test_no_chip_is_said_before_anything_is_started() -> None:
    lines = PttLines([NORTH])
    with pytest.raises(GpioError, match="no GPIO chip"):
        lines.start()
    assert lines.guard_pid is None
    lines.close()


def test_card_that_is_not_there_is_a_fault_only_of_its_line() -> None:
    lines = PttLines([PttLineSpec("card", cm108="alsa:NoSuchCard")])
    lines.start()
    try:
        assert "the card is not plugged in" in str(lines.output("card").fault)
    finally:
        lines.close()


@pytest.mark.real_gpio
def test_service_that_restarts_is_called_again(
    chip: GpioSimulator, service: GuardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/echostream")
    lines = PttLines([NORTH], chip="/dev/gpiochip0", guard=service.path)
    lines.start()
    output = lines.output("north")
    try:
        output.key()
        assert eventually(lambda: output.keyed)
        assert (lines.guard_pid, lines.guard_kind) == (service.pid, "unit")
        os.kill(service.pid, signal.SIGTERM)
        assert eventually(lambda: lines.restarts >= 1 and output.state == "unkeyed")
        assert chip.level(17) == 0
        assert eventually(lambda: lines.guard_pid == service.pid)
        output.key()
        assert eventually(lambda: output.keyed)
    finally:
        lines.close()
    assert chip.wait_level(17, 0) is not None
    assert chip.consumer(17) == "echostream-ptt"


@pytest.mark.real_gpio
def test_service_that_is_not_there_is_a_fault_until_it_comes(
    chip: GpioSimulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = str(tmp_path / "guard.sock")
    lines = PttLines([NORTH], chip="/dev/gpiochip0", guard=path)
    lines.start()
    try:
        fault = str(lines.output("north").fault)
        assert f"the PTT guard at {path} cannot be reached: No such file" in fault
        assert (lines.guard_pid, lines.guard_kind) == (None, None)
        assert not eventually(lambda: False, 0.5)
        service = GuardService(tmp_path, {})
        try:
            assert eventually(lambda: lines.output("north").fault is None, 6)
        finally:
            lines.close()
            service.close()
        assert caplog.text.count("cannot be reached") == 1, "said once, not with every try"
    finally:
        lines.close()


@pytest.mark.real_gpio
def test_second_gateway_says_which_process_keys(
    chip: GpioSimulator, service: GuardService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/run/echostream")
    code = (
        "import sys\n"
        "from echostream.hardware.ptt_client import PttLines, PttLineSpec\n"
        f"lines = PttLines([PttLineSpec('north', pin=17)], chip='/dev/gpiochip0', guard={service.path!r})\n"
        "lines.start()\n"
        "print('up', flush=True)\n"
        "sys.stdin.read()\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert first.stdin is not None
    assert first.stdout is not None
    assert first.stdout.readline() == b"up\n"
    lines = PttLines([NORTH], chip="/dev/gpiochip0", guard=service.path)
    lines.start()
    try:
        output = lines.output("north")
        assert eventually(lambda: f"process {first.pid} is a gateway of this name" in str(output.fault))
        first.stdin.close()
        first.wait(10)
        assert eventually(lambda: output.fault is None, 8)
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
        lines.close()


@pytest.mark.real_gpio
def test_line_that_a_reload_brings_is_the_first(chip: GpioSimulator) -> None:
    """Without lines no guard is started; with the first one it is."""
    lines = PttLines([], chip="/dev/gpiochip0")
    lines.start()
    try:
        assert lines.guard_kind is None
        lines.reconfigure([NORTH])
        output = lines.output("north")
        assert output.fault is None
        assert lines.guard_pid is not None
        output.key()
        assert eventually(lambda: output.keyed)
    finally:
        lines.close()
