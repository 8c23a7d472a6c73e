"""Numbers of bytes for people: in powers of ten, as disks are sold and configurations say them."""

from __future__ import annotations


def bytes_shown(count: float) -> str:
    """Three digits at most: "812 B", "1.28 MB", "19.2 MB", "207 GB"."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    if unit == "B" or abs(count) >= 99.95:
        return f"{count:.0f} {unit}"
    return f"{count:.1f} {unit}" if abs(count) >= 9.995 else f"{count:.2f} {unit}"
