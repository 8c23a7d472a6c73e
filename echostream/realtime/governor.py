"""How the kernel chooses the cores' clock, and what to do where that makes audio late.

A governor that saves power (`powersave`, and to a degree `ondemand`) lets a core that sleeps between frames
sleep deeper and wake up slower; kernel.org, admin-guide/pm/cpufreq.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FINE: Final = ("performance", "schedutil", "conservative", "ondemand")
"""`conservative` and `ondemand` step up within some frames under load; only a latency goal needs more."""


@dataclass(frozen=True, slots=True)
class Governor:
    """Of one policy of the kernel, which may hold several cores. Frequencies in MHz, None where not told."""

    policy: str
    cores: str
    name: str
    available: tuple[str, ...]
    now_mhz: float | None
    least_mhz: float | None
    most_mhz: float | None


def governors(root: Path = Path("/")) -> tuple[Governor, ...]:
    """Of all cores; none on a machine whose clock is fixed, or a virtual one."""
    found = []
    for place in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy[0-9]*")):
        name = _text(place / "scaling_governor")
        if not name:
            continue
        found.append(
            Governor(
                place.name,
                _text(place / "related_cpus"),
                name,
                tuple(_text(place / "scaling_available_governors").split()),
                _mhz(place / "scaling_cur_freq"),
                _mhz(place / "scaling_min_freq"),
                _mhz(place / "scaling_max_freq"),
            )
        )
    return tuple(found)


def advice(governor: Governor, late_p99_us: float | None = None) -> str:
    """What to do, or "" where it is well. late_p99_us: how late wake-ups are now, if that is known."""
    late = late_p99_us is not None and late_p99_us > 2000
    if governor.name == "performance" or (governor.name in FINE and not late):
        return ""
    wanted = "performance" if "performance" in governor.available or not governor.available else "schedutil"
    return (
        f"cores {governor.cores or governor.policy} run with the governor {governor.name}: "
        f"echo {wanted} | sudo tee /sys/devices/system/cpu/cpufreq/{governor.policy}/scaling_governor "
        f"(for good: cpufreq.default_governor={wanted} in /boot/firmware/cmdline.txt)"
    )


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text("ascii", errors="replace").strip()
    return ""


def _mhz(path: Path) -> float | None:
    text = _text(path)
    return int(text) / 1000 if text.isdigit() else None
