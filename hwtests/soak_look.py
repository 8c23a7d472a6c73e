"""Looks at a gateway that runs: what it says of itself, what the kernel and the sensors say."""

from __future__ import annotations

import os
import time
from pathlib import Path

from echostream.service.health import Health, HealthError, find_health, read_health
from echostream.vitals.board import Board
from hwtests.soak_report import Look

_TICKS = os.sysconf("SC_CLK_TCK")


class Watcher:
    """Of the gateway of that name; folder: its runtime directory, None for that of the service."""

    def __init__(self, instance: str, folder: Path | None) -> None:
        self._instance = instance
        self._folder = folder
        self._board = Board()
        self._began_s = time.monotonic()
        self._had_card: set[str] = set()

    def health(self) -> Health | None:
        """What it wrote in the last seconds, or None."""
        path = find_health(self._instance, self._folder)
        if path is None:
            return None
        try:
            health = read_health(path)
        except HealthError:
            return None
        return health if health.current else None

    def look(self) -> Look:
        at_s = time.monotonic() - self._began_s
        health = self.health()
        supply, degrees = self._board.supply(), self._board.temperature_c()
        if health is None:
            return Look(
                at_s,
                None,
                temperature_c=degrees,
                under_voltage=supply.under_voltage,
                throttled=supply.throttled,
            )
        channels = health.channels
        self._had_card |= {name for name, one in channels.items() if one.card}
        away = {name for name, one in channels.items() if not one.online}
        away |= {name for name in self._had_card & channels.keys() if not channels[name].card}
        process = Path(f"/proc/{health.pid}")
        return Look(
            at_s=at_s,
            pid=health.pid,
            healthy=health.healthy,
            away=tuple(sorted(away)),
            channels=sum(one.card for one in channels.values()),
            all_channels=len(channels),
            frames=sum(one.capture_frames for one in channels.values()),
            overruns=sum(one.overruns for one in channels.values()),
            underruns=sum(one.underruns for one in channels.values()),
            pss_mb=pss_mb(process),
            cpu_s=cpu_s(process),
            threads=count(process / "task"),
            fds=count(process / "fd"),
            late_p99_us=health.wakeups.p99_us,
            late_max_us=health.wakeups.max_us,
            temperature_c=degrees,
            under_voltage=supply.under_voltage,
            throttled=supply.throttled,
        )


def pss_mb(process: Path) -> float:
    """Proportional share of memory, in 10^6 bytes; resident memory where only root may ask for the share."""
    for name, key in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            text = (process / name).read_text("ascii", errors="replace")
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith(key):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def cpu_s(process: Path) -> float:
    """User and system time of all its threads (proc(5), stat: fields 14 and 15)."""
    try:
        fields = (process / "stat").read_text("ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def count(folder: Path) -> int:
    """Entries of a folder; 0 where it may not be read."""
    try:
        return len(os.listdir(folder))
    except OSError:
        return 0
