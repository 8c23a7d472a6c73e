"""Clock, heat, power, processor and memory of machines that are not well."""

from __future__ import annotations

import calendar
from functools import partial

import pytest
from doctor_machine import Machine, findings

from echostream.archive.wall_clock import ClockQuality
from echostream.doctor import board, clock, cpu
from echostream.doctor.model import Level
from echostream.doctor.world import Ran

time_of = partial(findings, clock.checks)
board_of = partial(findings, board.checks)
cpu_of = partial(findings, cpu.checks)
POLICY = "/sys/devices/system/cpu/cpufreq/policy0"


def kernel_says(monkeypatch: pytest.MonkeyPatch, quality: ClockQuality) -> None:
    monkeypatch.setattr(clock, "kernel_clock", lambda: quality)


def test_a_clock_that_follows_a_server_is_fine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel_says(monkeypatch, ClockQuality("synchronised", 12.0))
    assert time_of(machine.world())["clock.synchronised"][0].found.endswith("at most 12 ms")


def test_a_clock_that_nobody_sets_says_whether_a_service_runs(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel_says(monkeypatch, ClockQuality("unsynchronised", 1000.0))
    machine.programs["systemctl is-active systemd-timesyncd"] = Ran(0, "active\n")
    found = time_of(machine.world())["clock.unsynchronised"][0]
    assert "although systemd-timesyncd runs: it reaches no server" in found.found
    machine.programs.clear()
    machine.programs["systemctl is-active"] = Ran(3, "inactive\n")
    found = time_of(machine.world())["clock.unsynchronised"][0]
    assert "no time service runs" in found.found


def test_a_clock_before_the_version_was_made_fails(machine: Machine) -> None:
    then_us = calendar.timegm((2024, 5, 1, 12, 0, 0)) * 1_000_000
    found = time_of(machine.world(now_us=lambda: then_us))["clock.wrong"][0]
    assert found.level is Level.FAILURE
    assert "2024-05-01 12:00 UTC" in found.found


@pytest.mark.parametrize(
    ("since_epoch", "code"), [("1780000000", "clock.rtc"), ("0", "clock.rtc_battery"), (None, "clock.no_rtc")]
)
def test_the_clock_with_a_battery(machine: Machine, since_epoch: str | None, code: str) -> None:
    if since_epoch is not None:
        machine.write("/sys/class/rtc/rtc0/name", "rtc-ds1307 1-0068\n")
        machine.write("/sys/class/rtc/rtc0/since_epoch", since_epoch)
    assert code in time_of(machine.world())


def pi(machine: Machine, model: str = "Raspberry Pi 4 Model B Rev 1.4", celsius: float = 50.0) -> None:
    machine.write("/proc/device-tree/model", model.encode() + b"\0")
    machine.write("/sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
    machine.write("/sys/class/thermal/thermal_zone0/temp", f"{celsius * 1000:.0f}\n")


@pytest.mark.parametrize(
    ("celsius", "code", "level"),
    [
        (50.0, "board.temperature", Level.OK),
        (72.0, "board.warm", Level.WARNING),
        (84.0, "board.hot", Level.FAILURE),
    ],
)
def test_heat(machine: Machine, celsius: float, code: str, level: Level) -> None:
    pi(machine, celsius=celsius)
    assert board_of(machine.world())[code][0].level is level


@pytest.mark.parametrize(
    ("bits", "codes"),
    [
        (0x0, {"board.supply"}),
        (0x50005, {"board.under_voltage", "board.throttled"}),
        (0x50000, {"board.was_under_voltage"}),
        (0x4, {"board.supply", "board.throttled"}),
    ],
)
def test_a_supply_that_sags(machine: Machine, bits: int, codes: set[str]) -> None:
    pi(machine)
    machine.write("/sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits:x}\n")
    found = board_of(machine.world())
    assert set(found) == {"board.model", "board.temperature"} | codes


def test_a_pi_whose_firmware_may_not_be_asked(machine: Machine) -> None:
    pi(machine)
    assert "usermod -aG video echostream" in board_of(machine.world())["board.supply_unknown"][0].remedy


def test_a_weak_supply_of_a_pi_5(machine: Machine) -> None:
    pi(machine, "Raspberry Pi 5 Model B Rev 1.0")
    machine.write("/proc/device-tree/chosen/power/max_current", (3000).to_bytes(4, "big"))
    assert "offers 3000 mA" in board_of(machine.world())["board.weak_supply"][0].found
    machine.write("/proc/device-tree/chosen/power/usb_max_current_enable", (1).to_bytes(4, "big"))
    assert "board.weak_supply" not in board_of(machine.world())


def test_a_fan_that_stands_in_the_heat(machine: Machine) -> None:
    pi(machine, celsius=66.0)
    machine.write("/sys/class/hwmon/hwmon2/fan1_input", "0\n")
    assert "board.fan_stands" in board_of(machine.world())
    machine.write("/sys/class/hwmon/hwmon2/fan1_input", "3100\n")
    assert board_of(machine.world())["board.fan"][0].found == "fan at 3100 rpm"


def test_a_machine_that_says_nothing_is_no_failure(machine: Machine) -> None:
    found = board_of(machine.world())
    assert {one.level for ones in found.values() for one in ones} == {Level.NOTE}


@pytest.mark.parametrize(
    ("governor", "driver", "code"),
    [
        ("schedutil", "cpufreq-dt", "cpu.governor"),
        ("performance", "cpufreq-dt", "cpu.governor"),
        ("ondemand", "cpufreq-dt", "cpu.governor_late"),
        ("powersave", "cpufreq-dt", "cpu.governor_slow"),
        ("powersave", "intel_pstate", "cpu.governor"),
    ],
)
def test_the_processor_clock(machine: Machine, governor: str, driver: str, code: str) -> None:
    machine.write(f"{POLICY}/scaling_governor", f"{governor}\n")
    machine.write(f"{POLICY}/scaling_driver", f"{driver}\n")
    machine.write(f"{POLICY}/scaling_cur_freq", "600000\n")
    machine.write(f"{POLICY}/scaling_max_freq", "1500000\n")
    [found] = cpu_of(machine.world())[code]
    assert governor in found.found
    assert "600 MHz" in found.found or code == "cpu.governor_late"


def test_a_machine_that_is_busy_and_out_of_memory(machine: Machine) -> None:
    machine.write("/proc/loadavg", "250.5 3.0 2.0 5/300 1234\n")
    machine.write("/proc/meminfo", "MemTotal:  512000 kB\nMemFree:  1 kB\nMemAvailable:  64000 kB\n")
    machine.write("/proc/vmstat", "pgfault 1\noom_kill 2\n")
    found = cpu_of(machine.world())
    assert "load 250.50" in found["cpu.busy"][0].found
    assert found["cpu.little_memory"][0].found == "only 64 MB of memory free, of 512"
    assert "ended 2 processes" in found["cpu.out_of_memory"][0].found


def test_a_pi_whose_kernel_keeps_no_account_of_memory(machine: Machine) -> None:
    machine.write("/proc/meminfo", "MemTotal:  4000000 kB\nMemAvailable:  3000000 kB\n")
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    assert cpu_of(machine.world())["cpu.no_memory_limits"][0].level is Level.NOTE
    machine.write("/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    assert "cpu.no_memory_limits" not in cpu_of(machine.world())


def test_a_machine_with_room_is_fine(machine: Machine) -> None:
    machine.write("/proc/loadavg", "0.10 0.1 0.1 1/300 1234\n")
    machine.write("/proc/meminfo", "MemTotal:  4000000 kB\nMemAvailable:  3000000 kB\n")
    assert set(cpu_of(machine.world())) == {"cpu.no_governor", "cpu.load", "cpu.memory"}
