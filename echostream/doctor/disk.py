"""Group `disk`: space, wear, and whether what is written stays."""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from echostream.archive.disk_room import disk_of, kept_free
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.mounts import disk_folder, forgets, mount_of, mounts
from echostream.doctor.world import World

FREE: Final = Kind("disk.free", Level.OK, "{free_gb:.1f} GB free of {total_gb:.1f} ({percent:.0f} %)")
LITTLE: Final = Kind(
    "disk.little",
    Level.WARNING,
    "only {free_gb:.1f} GB free of {total_gb:.1f} ({percent:.0f} %)",
    "`sudo du -xh -d1 / | sort -h` shows what takes it; recordings go by recording.keep_days and "
    "min_free_percent",
)
FULL: Final = Kind(
    "disk.full",
    Level.FAILURE,
    "full: {free_mb:.0f} MB left of {total_gb:.1f} GB; nothing is recorded until there is room",
    "delete what is not needed (`sudo journalctl --vacuum-size=200M`, `sudo apt clean`), or use a larger one",
)
INODES: Final = Kind(
    "disk.inodes",
    Level.FAILURE,
    "no more files can be made: {percent:.0f} % of its inodes are left",
    "`sudo du --inodes -xd2 / | sort -n` shows where the many small files are",
)
READ_ONLY: Final = Kind(
    "disk.read_only",
    Level.FAILURE,
    "{path} is on {source}, which is mounted read-only: the kernel does that when a disk has errors",
    "look at `dmesg | grep -i -E 'ext4|mmc|I/O error'`; a worn card is to be replaced, else: reboot and fsck",
)
VOLATILE_DATA: Final = Kind(
    "disk.volatile",
    Level.WARNING,
    "{path} is in memory ({kind}): what is written there is gone after a restart",
    "mount a disk there, or name another folder ({setting}); docs/raspberry-pi.md, read-only root",
)
OVERLAY: Final = Kind(
    "disk.overlay",
    Level.WARNING,
    "{path} is on an overlay, which may be in memory: then what is written there is gone after a restart",
    "mount a disk there, or name another folder ({setting}); docs/raspberry-pi.md, read-only root",
)
ROOT_READ_ONLY: Final = Kind("disk.root_read_only", Level.NOTE, "the system itself is mounted read-only")
ERRORS: Final = Kind(
    "disk.errors",
    Level.FAILURE,
    "the file system on {device} has counted {count} errors",
    "back up (`sudo echostream backup FILE`), then fsck from another system; a worn card is to be replaced",
)
WEAR: Final = Kind("disk.wear", Level.OK, "{disk}: at most {percent} % of its life is used")
WORN: Final = Kind(
    "disk.worn",
    Level.WARNING,
    "{disk}: {percent} % of its life is used",
    "replace it while it still works; `sudo echostream backup FILE` takes the gateway along",
)
WORN_OUT: Final = Kind(
    "disk.worn_out",
    Level.FAILURE,
    "{disk} has reached the end of its life",
    "replace it now; `sudo echostream backup FILE` takes the gateway along",
)
NO_WEAR: Final = Kind(
    "disk.no_wear",
    Level.NOTE,
    "{disk}: an SD card does not say how worn it is",
    "use one made for continuous writing (high endurance), and keep a backup: `sudo echostream backup FILE`",
)
NO_SMART: Final = Kind(
    "disk.no_smart",
    Level.NOTE,
    "{disk} was not asked how worn it is: {why}",
    "sudo apt install smartmontools, then: sudo echostream doctor --only disk",
)
SLOW: Final = Kind(
    "disk.slow",
    Level.WARNING,
    "the slowest of {count} small writes took {slowest_ms:.0f} ms until it was on the disk",
    "SD cards get slow when they are worn or full: try another one; recordings then wait in memory",
)
SPEED: Final = Kind(
    "disk.speed", Level.OK, "{count} small writes took at most {slowest_ms:.0f} ms to be on the disk"
)
JOURNAL: Final = Kind("disk.journal", Level.OK, "the system's log takes {mb:.0f} MB")
JOURNAL_LARGE: Final = Kind(
    "disk.journal_large",
    Level.WARNING,
    "the system's log takes {mb:.0f} MB",
    "sudo journalctl --vacuum-size=200M; for good: SystemMaxUse=200M in /etc/systemd/journald.conf",
)
JOURNAL_VOLATILE: Final = Kind(
    "disk.journal_volatile",
    Level.NOTE,
    "the system's log is in memory: after a restart it cannot be asked what happened before",
    "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald",
)

LITTLE_PERCENT: Final = 10.0
LITTLE_BYTES: Final = 2e9
INODES_PERCENT: Final = 2.0
JOURNAL_MB: Final = 1000.0
SLOW_MS: Final = 500.0
WRITES: Final = 8
WORN_PERCENT: Final = 80
_END_OF_LIFE: Final = 0x0B
"""JEDEC eMMC 5.0, EXT_CSD 268 and 269: 1 to 10 are tenths of the life that are used, 11 is beyond it."""


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [
        Check("disk", "space", _space),
        Check("disk", "mounts", _mounts),
        Check("disk", "errors", _errors),
        Check("disk", "wear", _wear),
        Check("disk", "journal", _journal, within_s=20.0),
        Check("disk", "writes", _writes, within_s=30.0, slow=True),
    ]


def places(world: World) -> dict[Path, str]:
    """Folders that the gateway writes to, and the setting that names each."""
    config = world.config
    found: dict[Path, str] = {}
    if config is not None and config.recording.enabled:
        found[Path(config.recording.directory)] = "recording.directory"
    if config is not None:
        found.setdefault(Path(config.events.directory), "events.directory")
    return found


def _space(world: World) -> list[Finding]:
    findings = []
    seen: set[int] = set()
    for path in (Path("/"), *places(world)):
        there = world.path(path)
        while not there.exists() and there != there.parent:
            there = there.parent
        device = there.stat().st_dev
        if device not in seen:
            seen.add(device)
            findings += _space_of(there, str(path))
    return findings


def _space_of(folder: Path, place: str) -> list[Finding]:
    room, disk = os.statvfs(folder), disk_of(folder)
    if not disk.total:
        return []
    percent = 100 * disk.free / disk.total
    fields: dict[str, Any] = {"free_gb": disk.free / 1e9, "total_gb": disk.total / 1e9, "percent": percent}
    if disk.free <= kept_free(disk):
        findings = [FULL.at(place, free_mb=disk.free / 1e6, total_gb=disk.total / 1e9)]
    elif percent < LITTLE_PERCENT and disk.free < LITTLE_BYTES:
        findings = [LITTLE.at(place, **fields)]
    else:
        findings = [FREE.at(place, **fields)]
    if room.f_files and 100 * room.f_favail / room.f_files < INODES_PERCENT:
        findings.append(INODES.at(place, percent=100 * room.f_favail / room.f_files))
    return findings


def _mounts(world: World) -> list[Finding]:
    known = mounts(world)
    findings = []
    for path, setting in places(world).items():
        mount = mount_of(path, known)
        if mount is None:
            continue
        if mount.read_only:
            findings.append(READ_ONLY.at(setting, path=path, source=mount.source))
        elif forgets(mount, known):
            findings.append(VOLATILE_DATA.at(setting, path=path, kind=mount.kind, setting=setting))
        elif forgets(mount, known) is None:
            findings.append(OVERLAY.at(setting, path=path, setting=setting))
    root = mount_of(Path("/"), known)
    if root is not None and (root.read_only or root.kind == "overlay"):
        findings.append(ROOT_READ_ONLY.at("/"))
    return findings


def _errors(world: World) -> list[Finding]:
    findings = []
    for path in world.glob("/sys/fs/ext4/*/errors_count"):
        count = world.number(f"/sys/fs/ext4/{path.parent.name}/errors_count")
        if count:
            findings.append(ERRORS.at(f"/dev/{path.parent.name}", device=path.parent.name, count=count))
    return findings


def _wear(world: World) -> list[Finding]:
    """Of the disks below the system and what the gateway writes."""
    known = mounts(world)
    disks: dict[str, None] = {}
    for path in (Path("/"), *places(world)):
        mount = mount_of(path, known)
        folder = disk_folder(mount, world) if mount is not None else ""
        if folder:
            disks[folder] = None
    findings = []
    for folder in disks:
        findings += _wear_of(folder, world)
    return findings


def _wear_of(folder: str, world: World) -> list[Finding]:
    disk = folder.rpartition("/")[2]
    place = f"/dev/{disk}"
    told = world.text(f"{folder}/device/life_time").split()
    if told:
        tenths = max(int(word, 16) for word in told)
        if tenths >= _END_OF_LIFE or world.text(f"{folder}/device/pre_eol_info") in ("0x03", "03"):
            return [WORN_OUT.at(place, disk=disk)]
        percent = tenths * 10
        return (
            [(WORN if percent >= WORN_PERCENT else WEAR).at(place, disk=disk, percent=percent)]
            if tenths
            else []
        )
    if world.text(f"{folder}/device/type") == "SD":
        return [NO_WEAR.at(place, disk=disk)]
    return _nvme(disk, world) if disk.startswith("nvme") else []


def _nvme(disk: str, world: World) -> list[Finding]:
    """By smartctl. NVM Express base specification, SMART / Health Information: Percentage Used is beyond 100
    where it has outlived what its maker promised."""
    place = f"/dev/{disk}"
    ran = world.run("smartctl", "--json", "--health", "--attributes", place)
    try:
        document = json.loads(ran.out)
        told = document["nvme_smart_health_information_log"]
        percent, critical = int(told["percentage_used"]), int(told["critical_warning"])
    except (ValueError, KeyError, TypeError):
        return [
            NO_SMART.at(place, disk=disk, why="smartctl says nothing" if ran.code is not None else ran.err)
        ]
    if critical or percent >= 100:
        return [WORN_OUT.at(place, disk=disk)]
    return [(WORN if percent >= WORN_PERCENT else WEAR).at(place, disk=disk, percent=percent)]


def _journal(world: World) -> list[Finding]:
    kept, volatile = world.path("/var/log/journal"), world.path("/run/log/journal")
    if not kept.exists():
        return [JOURNAL_VOLATILE.at("/run/log/journal")] if volatile.exists() else []
    mb = sum(_size(path) for path in kept.rglob("*.journal*")) / 1e6
    return [(JOURNAL_LARGE if mb > JOURNAL_MB else JOURNAL).at(str(kept), mb=mb)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0


def _writes(world: World) -> list[Finding]:
    """As the gateway's own files are written; a folder that may not be written is told by `permissions`."""
    findings = []
    for path in places(world):
        folder = world.path(path)
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            continue
        slowest_s = 0.0
        with tempfile.TemporaryFile(dir=folder, prefix=".doctor-") as file:
            for _ in range(WRITES):
                began_s = time.monotonic()
                file.write(b"\0" * 4096)
                file.flush()
                os.fsync(file.fileno())
                slowest_s = max(slowest_s, time.monotonic() - began_s)
        kind = SLOW if slowest_s * 1000 > SLOW_MS else SPEED
        findings.append(kind.at(str(path), count=WRITES, slowest_ms=slowest_s * 1000))
    return findings
