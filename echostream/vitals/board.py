"""The machine: its temperature, its power supply, its load. Read from /sys and /proc, which never wait long.

The firmware of a Raspberry Pi says whether the supply sags (bits as documented at raspberrypi.com, "vcgencmd
get_throttled"), and the hwmon device `rpi_volt` whether it did lately.
"""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.vitals.firmware import MAILBOX, throttled_bits

_UNDER_VOLTAGE: Final = 1 << 0
_SLOWED: Final = (1 << 1) | (1 << 2) | (1 << 3)
"""Frequency capped, throttled, soft temperature limit."""
_WAS_UNDER_VOLTAGE: Final = 1 << 16
_FIRMWARES: Final = (
    "bus/platform/drivers/raspberrypi-firmware/*/get_throttled",
    "devices/platform/soc/*firmware*/get_throttled",
    "devices/platform/*firmware*/get_throttled",
)
_ZONES: Final = ("cpu-thermal", "cpu_thermal", "soc_thermal", "soc-thermal", "x86_pkg_temp", "coretemp")
"""The names under which processors are found; without one of these the hottest zone counts."""
_LIKELY_C: Final = (-40.0, 150.0)


@dataclass(frozen=True, slots=True)
class Supply:
    """As in BoardVitals."""

    under_voltage: bool | None
    was_under_voltage: bool | None
    throttled: bool | None


class Board:
    """One thread at a time. root: of sysfs; mailbox: of a Pi's firmware."""

    def __init__(self, root: Path = Path("/sys"), mailbox: Path = MAILBOX) -> None:
        self._mailbox = mailbox if mailbox.exists() else None
        self._throttled = next((path for form in _FIRMWARES for path in sorted(root.glob(form))), None)
        self._alarm = _alarm_of(root)
        self._zones = _zones_of(root)
        self._sagged = False
        self._cpu: tuple[float, float] | None = None

    def temperature_c(self) -> float | None:
        """Of the processor; None where none is said."""
        found = [value for path in self._zones if (value := _number(path)) is not None]
        degrees = [value / 1000 for value in found if _LIKELY_C[0] < value / 1000 < _LIKELY_C[1]]
        return max(degrees, default=None)

    def supply(self) -> Supply:
        """The power supply now. What the firmware says of the time before may be cleared by other readers, so
        it is remembered here too."""
        bits = None
        if self._throttled is not None:
            bits = _number(self._throttled, base=16)
        elif self._mailbox is not None:
            bits = throttled_bits(self._mailbox)
        alarm = None if self._alarm is None else _number(self._alarm)
        if bits is None and alarm is None:
            return Supply(None, None, None)
        low = bool((bits or 0) & _UNDER_VOLTAGE) or bool(alarm)
        self._sagged |= low or bool((bits or 0) & _WAS_UNDER_VOLTAGE)
        return Supply(low, self._sagged, None if bits is None else bool(bits & _SLOWED))

    def cpu(self, now: float) -> float:
        """Of one core, what this process took since the last call; 0.0 at the first."""
        before, self._cpu = self._cpu, (now, time.process_time())
        if before is None or now <= before[0]:
            return 0.0
        return (self._cpu[1] - before[1]) / (now - before[0])


def load() -> float:
    """Processes that run or want to, the mean of the last minute."""
    return os.getloadavg()[0]


def memory_mb() -> float:
    """What this process holds in memory, in 10^6 bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def uptime_s() -> float:
    """Since the machine started."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _zones_of(root: Path) -> list[Path]:
    zones = {path: _text(path / "type") for path in sorted(root.glob("class/thermal/thermal_zone*"))}
    of_processor = [path for path, kind in zones.items() if kind in _ZONES]
    return [path / "temp" for path in of_processor or zones]


def _alarm_of(root: Path) -> Path | None:
    for path in sorted(root.glob("class/hwmon/hwmon*")):
        if _text(path / "name") == "rpi_volt":
            return path / "in0_lcrit_alarm"
    return None


def _number(path: Path, base: int = 10) -> int | None:
    """None where it cannot be read: a sensor may come and go, or be broken."""
    try:
        return int(_text(path), base)
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", errors="replace").strip()
    except OSError:
        return ""
