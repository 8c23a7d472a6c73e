"""Group `cpu`: how the processor is clocked, how busy the machine is, and its memory."""

from __future__ import annotations

import os
import re
from typing import Final

from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.realtime.governor import governors

GOVERNOR: Final = Kind("cpu.governor", Level.OK, "clocked by the governor {governor}, {now} of {most}")
GOVERNOR_SLOW: Final = Kind(
    "cpu.governor_slow",
    Level.WARNING,
    "the governor powersave keeps the processor at its lowest clock ({now} of {most})",
    "echo schedutil | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor; for good: "
    "cpufreq.default_governor=schedutil in /boot/firmware/cmdline.txt",
)
GOVERNOR_LATE: Final = Kind(
    "cpu.governor_late",
    Level.NOTE,
    "the governor {governor} clocks up only after some load, which can make the first frames late",
    "where the wake-ups below are late: echo performance | sudo tee "
    "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor (0.3 W to 1 W more)",
)
NO_GOVERNOR: Final = Kind(
    "cpu.no_governor", Level.NOTE, "this machine does not say how its processor is clocked"
)
LOAD: Final = Kind("cpu.load", Level.OK, "load {load:.2f} on {cores} cores")
BUSY: Final = Kind(
    "cpu.busy",
    Level.WARNING,
    "load {load:.2f} on {cores} cores: something else wants the processor too",
    "`top` shows what; a gateway should have its machine for itself",
)
MEMORY: Final = Kind("cpu.memory", Level.OK, "{free_mb} MB of memory free, of {total_mb}")
LITTLE_MEMORY: Final = Kind(
    "cpu.little_memory",
    Level.WARNING,
    "only {free_mb} MB of memory free, of {total_mb}",
    "`ps aux --sort -rss | head` shows what takes it; a desktop is better not installed on a gateway",
)
OUT_OF_MEMORY: Final = Kind(
    "cpu.out_of_memory",
    Level.WARNING,
    "the kernel has ended {count} processes since the start because memory ran out",
    "`journalctl -k -g oom` says which",
)
NO_LIMITS: Final = Kind(
    "cpu.no_memory_limits",
    Level.NOTE,
    "this kernel keeps no account of memory, so a limit of the service (MemoryMax) has no effect",
    "take cgroup_disable=memory out of /boot/firmware/cmdline.txt, or add cgroup_enable=memory; then reboot",
)
LITTLE_MB: Final = 100


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("cpu", "governor", _governor), Check("cpu", "load", _load), Check("cpu", "memory", _memory)]


def _governor(world: World) -> list[Finding]:
    found = governors(world.root)
    if not found:
        return [NO_GOVERNOR.at()]
    findings: dict[str, Finding] = {}
    for one in found:
        driver = world.text(f"/sys/devices/system/cpu/cpufreq/{one.policy}/scaling_driver")
        # Of intel_pstate and amd-pstate "powersave" is the usual, adaptive one.
        if one.name == "powersave" and "pstate" not in driver:
            kind = GOVERNOR_SLOW
        elif one.name in ("ondemand", "conservative"):
            kind = GOVERNOR_LATE
        else:
            kind = GOVERNOR
        now, most = (f"{mhz:.0f} MHz" if mhz else "a clock not told" for mhz in (one.now_mhz, one.most_mhz))
        findings.setdefault(one.name, kind.at(governor=one.name, now=now, most=most))
    return list(findings.values())


def _load(world: World) -> list[Finding]:
    words = world.text("/proc/loadavg").split()
    if not words:
        return []
    load, cores = float(words[0]), os.cpu_count() or 1
    return [(BUSY if load > cores else LOAD).at(load=load, cores=cores)]


def _memory(world: World) -> list[Finding]:
    known = dict(re.findall(r"^(\w+):\s+(\d+) kB", world.text("/proc/meminfo"), re.M))
    if "MemAvailable" not in known:
        return []
    free_mb, total_mb = (int(known[name]) // 1000 for name in ("MemAvailable", "MemTotal"))
    kind = LITTLE_MEMORY if free_mb < LITTLE_MB else MEMORY
    findings = [kind.at(free_mb=free_mb, total_mb=total_mb)]
    killed = re.search(r"^oom_kill (\d+)$", world.text("/proc/vmstat"), re.M)
    if killed and int(killed[1]):
        findings.append(OUT_OF_MEMORY.at(count=int(killed[1])))
    controllers = world.text("/sys/fs/cgroup/cgroup.controllers").split()
    if controllers and "memory" not in controllers:
        findings.append(NO_LIMITS.at())
    return findings
