"""The guard as a service: it holds the lines whoever comes and goes. Real processes, a simulated chip that
keeps released outputs at their last level, as Raspberry Pi kernels do."""

from __future__ import annotations

import errno
import os
import pwd
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gpio_bench import REPOSITORY
from gpio_simulator import GpioSimulator, build_forwarder
from guard_caller import CHIP, PIN, Caller, call
from guard_service import GuardService
from kill_bench import children_of

from echostream.hardware import gpio_uapi as uapi
from echostream.hardware import ptt_protocol as protocol
from echostream.hardware.ptt_list import Listed, Place, read_list, write_list
from echostream.hardware.ptt_protocol import Message

pytestmark = pytest.mark.real_gpio
LOW_PIN = 27
Call = Callable[..., Caller]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_forwarder(tmp_path_factory.mktemp("forward"))


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[GpioSimulator]:
    with GpioSimulator(tmp_path / "chip.sock", persist_outputs=True) as simulator:
        yield simulator


@pytest.fixture
def start(chip: GpioSimulator, library: Path, tmp_path: Path) -> Iterator[Callable[[], GuardService]]:
    started: list[GuardService] = []

    def build() -> GuardService:
        started.append(GuardService(tmp_path, chip.environment(library)))
        return started[-1]

    yield build
    for service in started:
        service.close()


@pytest.fixture
def service(start: Callable[[], GuardService]) -> GuardService:
    return start()


@pytest.fixture
def gateway(service: GuardService) -> Iterator[Call]:
    """Calls the guard by a name; all calls end with the test."""
    callers: list[Caller] = []

    def connected(instance: str = "gateway") -> Caller:
        callers.append(call(service.path, instance))
        return callers[-1]

    yield connected
    for caller in callers:
        caller.close()


def stands_for(service: GuardService, code: str) -> subprocess.Popen[str]:
    """Another process that calls the guard: `call` and `protocol` are there for its code."""
    path = f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / 'tests/support')!r}]\n"
    head = "from guard_caller import *\nimport os, time\n"
    command = [sys.executable, "-c", path + head + f"PATH = {service.path!r}\n" + code]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)


def history_of(chip: GpioSimulator, pin: int) -> list[int]:
    return [change.level for change in chip.history if change.pin == pin]


def listed(pin: int, *, active_low: bool = False, label: str = "pinctrl-bcm2711") -> Listed:
    return Listed("gateway", Place(False, CHIP, pin), active_low, label)


def test_lines_are_claimed_inactive_before_any_gateway_comes(
    chip: GpioSimulator, start: Callable[[], GuardService], tmp_path: Path
) -> None:
    """Boot: one line was left up by whatever was there before."""
    write_list(str(tmp_path / "ptt-lines-of-unit"), [listed(PIN), listed(LOW_PIN, active_low=True)])
    chip.drive(PIN, 1)
    chip.drive(PIN, None)
    start()
    assert chip.wait_held(PIN)
    assert chip.wait_held(LOW_PIN)
    assert (chip.level(PIN), chip.level(LOW_PIN)) == (0, 1)
    assert 0 not in history_of(chip, LOW_PIN)


def test_line_is_held_inactive_until_the_gateway_comes_again(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    first = gateway()
    first.add()
    first.keyed()
    first.close()
    assert chip.wait_level(PIN, 0) is not None
    second = gateway()
    second.add()
    second.hear(protocol.UNKEYED)
    assert chip.consumer(PIN) == "echostream-ptt"
    second.keyed()
    assert history_of(chip, PIN) == [1, 0, 1], "between the two it was never let go"
    assert service.restarts == 0


def test_what_the_gateway_does_not_name_any_more_is_let_go(chip: GpioSimulator, gateway: Call) -> None:
    first = gateway()
    first.add(0)
    first.add(1, pin=LOW_PIN, active_low=True)
    first.hear(line=1)
    first.close()
    second = gateway()
    second.add(0)
    second.send(protocol.COMPLETE)
    assert chip.wait_held(LOW_PIN, False)
    assert chip.level(LOW_PIN) == 1
    assert chip.flags(LOW_PIN) & uapi.FLAG_PULL_UP
    assert chip.consumer(PIN) == "echostream-ptt"


def test_several_gateways_key_lines_of_their_own(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    north = gateway("north")
    north.add(0)
    north.keyed(0)
    code = f"south = call(PATH, 'south'); south.add(0, pin={LOW_PIN}); south.keyed(0)\n"
    code += "print('keyed', flush=True)\nwhile True: south.send(protocol.KEY); time.sleep(0.02)\n"
    south = stands_for(service, code)
    try:
        assert south.stdout is not None
        assert south.stdout.readline() == "keyed\n"
        assert chip.level(LOW_PIN) == 1
        south.kill()
        assert chip.wait_level(LOW_PIN, 0) is not None
        north.send(protocol.KEY)
        north.sync()
        assert chip.level(PIN) == 1
    finally:
        end(south)


def test_second_gateway_of_a_name_is_refused_while_the_first_lives(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    first = gateway()
    first.add()
    first.keyed()
    second = stands_for(service, "print(call(PATH, 'gateway').hear_kind(protocol.REFUSED).value)\n")
    said, _ = second.communicate(timeout=10)
    assert int(said) == os.getpid()
    first.send(protocol.KEY)
    first.sync()
    assert chip.level(PIN) == 1


def test_line_of_another_gateway_is_a_fault_until_that_one_is_gone(
    chip: GpioSimulator, gateway: Call
) -> None:
    north = gateway("north")
    north.add()
    north.keyed()
    south = gateway("south")
    south.add()
    assert south.hear().number == errno.EBUSY
    south.send(protocol.KEY)
    north.close()
    south.hear(protocol.UNKEYED)
    south.keyed()


def test_rubbish_costs_only_its_own_lines(chip: GpioSimulator, service: GuardService, gateway: Call) -> None:
    north, south = gateway("north"), gateway("south")
    north.add()
    south.add(pin=LOW_PIN)
    north.keyed()
    south.keyed()
    south.guard.sock.send(b"rubbish")
    assert south.wait_hung_up()
    assert chip.wait_level(LOW_PIN, 0) is not None
    north.send(protocol.KEY)
    north.sync()
    assert chip.level(PIN) == 1
    assert service.restarts == 0


def test_gateway_of_another_release_gets_a_guard_of_its_own(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    """After an upgrade that left the guard running: it ends, for its successor is of the installed release.
    But not under a gateway that it serves."""
    served = gateway("served")
    served.add()
    served.keyed()
    for ends in (False, True):
        if ends:
            served.close()
        newer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        newer.connect(service.path)
        newer.send(b"EG\xff" + protocol.pack(Message(protocol.ATTACH, text="gateway"))[3:])
        assert wait_until(lambda: service.restarts == 1, 1.5 if ends else 0.6) is ends
        newer.close()
    assert wait_until(lambda: chip.consumer(PIN) == "echostream-ptt")


def test_who_does_not_say_its_name_is_hung_up_on(service: GuardService, gateway: Call) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as silent:
        silent.connect(service.path)
        silent.settimeout(5)
        assert protocol.unpack(silent.recv(500)).kind == protocol.HELLO
        assert silent.recv(500) == b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as hasty:
        hasty.connect(service.path)
        hasty.send(protocol.pack(Message(protocol.ADD, 0, 0, PIN, 1000, CHIP)))
        hasty.settimeout(5)
        hasty.recv(500)
        assert hasty.recv(500) == b""
    gateway().hear_kind(protocol.HELLO)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")
def test_who_is_in_the_group_may_key_and_a_stranger_may_not(chip: GpioSimulator, library: Path) -> None:
    """Even were the socket's mode ever wrong."""
    group = pwd.getpwnam("daemon").pw_gid
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        service = GuardService(Path(directory), chip.environment(library), user="daemon")
        try:
            os.chmod(service.path, 0o777)
            for groups, hears in (([group], protocol.HELLO), ([], None)):
                code = f"os.setgroups({groups})\nos.setgid(65534)\nos.setuid(65534)\nimport socket\n"
                code += "link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\nlink.connect(PATH)\n"
                code += "data = link.recv(500)\nprint(protocol.unpack(data).kind if data else None)\n"
                said, _ = stands_for(service, code).communicate(timeout=10)
                assert said == f"{hears}\n"
            assert call(service.path).close() is None
        finally:
            service.close()


def test_end_leaves_the_lines_parked_and_listed(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    caller = gateway()
    caller.add(0)
    caller.add(1, pin=LOW_PIN, active_low=True)
    caller.keyed(0)
    caller.hear(line=1)
    assert service.close() == 0
    assert caller.wait_hung_up()
    for pin, idle in ((PIN, 0), (LOW_PIN, 1)):
        assert chip.wait_held(pin, False)
        assert chip.level(pin) == idle
    assert chip.flags(PIN) & uapi.FLAG_PULL_DOWN
    held, torn = read_list(str(service.lines_file))
    assert ({one.place.pin for one in held}, torn) == ({PIN, LOW_PIN}, 0)


def test_killed_guard_takes_its_lines_again_by_itself(
    chip: GpioSimulator, service: GuardService, gateway: Call
) -> None:
    """Gateway and guard were killed in the same instant."""
    caller = gateway()
    caller.add()
    caller.keyed()
    os.kill(caller.pid, signal.SIGKILL)
    caller.close()
    assert chip.wait_level(PIN, 0) is not None
    assert wait_until(lambda: service.restarts == 1 and chip.consumer(PIN) == "echostream-ptt")
    assert history_of(chip, PIN) == [1, 0]


def test_heir_drops_what_no_list_names(chip: GpioSimulator, service: GuardService, gateway: Call) -> None:
    """Gateway and guard are killed, and nobody runs ExecStopPost."""
    Path(f"{service.lines_file}.new").mkdir()  # the list cannot be written
    caller = gateway()
    caller.add(0)
    caller.add(1, pin=LOW_PIN, active_low=True)
    caller.keyed(0)
    caller.keyed(1)
    service.post = False
    since = time.monotonic()
    os.kill(caller.pid, signal.SIGKILL)
    caller.close()
    for pin, idle in ((PIN, 0), (LOW_PIN, 1)):
        at = chip.wait_level(pin, idle)
        assert at is not None
        assert at - since < 0.2


def test_guard_goes_on_without_its_heir(chip: GpioSimulator, service: GuardService, gateway: Call) -> None:
    caller = gateway()
    caller.add(0)
    caller.hear(protocol.UNKEYED)
    (heir,) = children_of(caller.pid)
    os.kill(heir, signal.SIGKILL)
    assert wait_until(lambda: not children_of(caller.pid)), "it is reaped"
    caller.add(1, pin=LOW_PIN)
    caller.keyed(0)
    caller.keyed(1)
    os.kill(caller.pid, signal.SIGKILL)
    caller.close()
    assert chip.wait_level(LOW_PIN, 0) is not None
    assert wait_until(lambda: service.restarts == 1)


def test_guard_that_hangs_while_it_keys_is_killed_by_the_kernel(service: GuardService, gateway: Call) -> None:
    caller = gateway()
    caller.add()
    caller.keyed()
    began = time.monotonic()
    os.kill(caller.pid, signal.SIGSTOP)
    assert caller.wait_hung_up(2)
    assert time.monotonic() - began < 0.5


def test_guard_that_hangs_with_nothing_keyed_is_the_watchdogs(service: GuardService, gateway: Call) -> None:
    caller = gateway()
    caller.add()
    caller.keyed()
    caller.send(protocol.UNKEY)
    caller.hear(protocol.UNKEYED)
    os.kill(caller.pid, signal.SIGSTOP)
    assert not caller.wait_hung_up(0.6)
    os.kill(caller.pid, signal.SIGCONT)
    caller.keyed()


def test_gateway_without_a_name_only_borrows(chip: GpioSimulator, gateway: Call) -> None:
    named = gateway()
    named.add()
    named.hear(protocol.UNKEYED)
    named.close()
    by_hand = gateway("")
    by_hand.add(0)
    by_hand.add(1, pin=LOW_PIN)
    by_hand.keyed(0)
    by_hand.hear(line=1)
    by_hand.close()
    assert chip.wait_held(LOW_PIN, False)
    assert chip.wait_level(PIN, 0) is not None
    assert chip.consumer(PIN) == "echostream-ptt"
    again = gateway()
    again.send(protocol.COMPLETE)
    assert chip.wait_held(PIN, False)


def test_line_of_a_chip_that_has_another_number_now_is_not_driven(
    chip: GpioSimulator, start: Callable[[], GuardService], tmp_path: Path
) -> None:
    """The chip at the listed path is not the one that was there."""
    wrong, right = listed(PIN, label="pinctrl-rp1"), listed(LOW_PIN)
    elsewhere = right._replace(place=Place(False, "/dev/gpiochip7", LOW_PIN))
    write_list(str(tmp_path / "ptt-lines-of-unit"), [wrong, elsewhere])
    start()
    assert chip.wait_held(LOW_PIN)
    assert chip.consumer(PIN) == ""


def test_service_manager_is_told(chip: GpioSimulator, library: Path, tmp_path: Path) -> None:
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(5)
    lines_file = tmp_path / "lines"
    write_list(str(lines_file), [listed(PIN)])
    path = str(tmp_path / "own.sock")
    command = [sys.executable, "-S", "-m", "echostream.hardware.ptt_guard", "--listen", path]
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "400000"}
    environment = os.environ | chip.environment(library) | told
    command += ["--lines-file", str(lines_file)]
    guard = subprocess.Popen(command, env=environment, cwd=REPOSITORY)
    try:
        assert notified.recv(500) == b"READY=1\nSTATUS=holds 1 line, serves no gateway now"
        assert chip.consumer(PIN) == "echostream-ptt"
        began = time.monotonic()
        for _ in range(5):
            assert notified.recv(500) == b"WATCHDOG=1"
        assert time.monotonic() - began < 1.0
        caller = call(path, "gateway")
        said = {notified.recv(500) for _ in range(4)}
        assert f"STATUS=holds 1 line, serves process {os.getpid()}".encode() in said
        second = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, check=False)
        assert (second.returncode, b"another guard listens there" in second.stderr) == (2, True)
        caller.close()
    finally:
        guard.terminate()
        assert guard.wait(5) == 0
        notified.close()


def test_call_that_is_wrong_says_how_it_is_right() -> None:
    for arguments in (["--listen", "x", "--listen"], ["--drop"], ["--nonsense"], ["--listen"]):
        command = [sys.executable, "-m", "echostream.hardware.ptt_guard", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=REPOSITORY, timeout=10, check=False
        )
        assert done.returncode == 2
        assert "usage:" in done.stderr or "echostream-ptt-guard.socket" in done.stderr


def wait_until(holds: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.005)
    return False


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
