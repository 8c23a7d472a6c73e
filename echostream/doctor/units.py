"""What systemd's unit files on this machine say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from echostream.doctor.account import group_number

UNIT_FOLDERS: Final = ("etc/systemd/system", "usr/lib/systemd/system", "lib/systemd/system")
SERVICE: Final = "echostream.service"


def unit_text(root: Path, unit: str = SERVICE) -> str:
    """The unit file that counts; "" where it is not installed."""
    for folder in UNIT_FOLDERS:
        try:
            return (root / folder / unit).read_text("utf-8", errors="replace")
        except OSError:
            continue
    return ""


def values(text: str, key: str) -> list[str]:
    """What stands behind each KEY= of a unit file."""
    return [line.partition("=")[2].strip() for line in text.splitlines() if line.startswith(f"{key}=")]


def supplementary_groups(root: Path) -> tuple[int, ...]:
    """That the unit gives to its user besides those of /etc/group."""
    names = " ".join(values(unit_text(root), "SupplementaryGroups")).split()
    numbers = (group_number(root, name) for name in names)
    return tuple(number for number in numbers if number is not None)
