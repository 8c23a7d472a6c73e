"""What is mounted where, by /proc/self/mountinfo, and the disk behind it by sysfs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.doctor.world import World

IN_MEMORY: Final = ("tmpfs", "ramfs")
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line. device: "179:2"; source: "/dev/mmcblk0p2". read_only: as mounted, or its disk. upper:
    of an overlay, the folder that takes what is written; it may be one that is not to be seen any more."""

    device: str
    point: Path
    kind: str
    source: str
    read_only: bool
    upper: str = ""


def mounts(world: World) -> list[Mount]:
    """All of them, as proc(5) describes the file: fields, a dash, then what kind it is."""
    found = []
    for line in world.text("/proc/self/mountinfo").splitlines():
        left, dash, right = line.partition(" - ")
        fields, behind = left.split(" "), right.split(" ")
        if not dash or len(fields) < 6 or len(behind) < 3:
            continue
        options = {*fields[5].split(","), *behind[2].split(",")}
        point = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        upper = next((one.partition("=")[2] for one in options if one.startswith("upperdir=")), "")
        found.append(Mount(fields[2], point, behind[0], behind[1], "ro" in options, upper))
    return found


def mount_of(path: Path, known: list[Mount]) -> Mount | None:
    """The one that a path is on: the last of those that are nearest."""
    above = [mount for mount in known if path == mount.point or mount.point in path.parents]
    return max(reversed(above), key=lambda mount: len(mount.point.parts), default=None)


def forgets(mount: Mount, known: list[Mount]) -> bool | None:
    """Whether what is written there is gone after a restart; None: it is not to be seen."""
    if mount.kind != "overlay":
        return mount.kind in IN_MEMORY
    below = mount_of(Path(mount.upper), known) if mount.upper else None
    return None if below is None or below.kind == "overlay" else below.kind in IN_MEMORY


def disk_folder(mount: Mount, world: World) -> str:
    """Of the disk below a partition, in sysfs; "" where there is none (a network, a tmpfs)."""
    link = world.path(f"/sys/dev/block/{mount.device}")
    if not link.exists():
        return ""
    real = link.resolve()
    whole = real.parent if (real / "partition").exists() else real
    root = world.root.resolve()
    return f"/{whole.relative_to(root)}" if whole.is_relative_to(root) else ""
