"""Disks that are full, worn, read-only, or that forget."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest
from doctor_machine import Machine, document, findings
from hypothesis import given
from hypothesis import strategies as st

from echostream.archive.disk_room import Disk
from echostream.doctor import disk
from echostream.doctor.model import Level
from echostream.doctor.mounts import Mount, mount_of, mounts
from echostream.doctor.world import Ran

look = partial(findings, disk.checks)
SD = "29 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw\n"


def mounted(machine: Machine, *lines: str) -> None:
    machine.write("/proc/self/mountinfo", "".join(lines))


def card(machine: Machine, disk_name: str = "mmcblk0", kind: str = "SD") -> str:
    """The disk of device 179:2, and its folder in sysfs."""
    folder = f"/sys/devices/platform/mmc/{disk_name}"
    machine.write(f"{folder}/{disk_name}p2/partition", "2\n")
    machine.write(f"{folder}/device/type", f"{kind}\n")
    machine.link("/sys/dev/block/179:2", f"{folder}/{disk_name}p2")
    return folder


@pytest.mark.parametrize(
    ("free", "total", "code", "level"),
    [
        (20e9, 32e9, "disk.free", Level.OK),
        (1.5e9, 32e9, "disk.little", Level.WARNING),
        (150e6, 32e9, "disk.full", Level.FAILURE),
        (50e9, 1e12, "disk.free", Level.OK),
    ],
)
def test_space(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, free: float, total: float, code: str, level: Level
) -> None:
    monkeypatch.setattr(disk, "disk_of", lambda folder: Disk(int(free), int(total)))
    assert look(machine.world())[code][0].level is level


def test_a_disk_without_inodes_takes_no_more_files(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(machine.root)
    values = list(real)
    values[5:8] = [1_000_000, 5_000, 5_000]  # f_files, f_ffree, f_favail
    monkeypatch.setattr("echostream.doctor.disk.os.statvfs", lambda path: os.statvfs_result(values))
    monkeypatch.setattr(disk, "disk_of", lambda folder: Disk(10**11, 10**12))
    assert "disk.inodes" in look(machine.world())


def test_a_disk_that_the_kernel_made_read_only(machine: Machine) -> None:
    mounted(
        machine, SD, "40 29 8:1 / /var/lib/echostream ro,relatime - ext4 /dev/sda1 ro,errors=remount-ro\n"
    )
    machine.configure(document())
    [found] = look(machine.world())["disk.read_only"]
    assert (found.level, found.place) == (Level.FAILURE, "events.directory")
    assert "/dev/sda1" in found.found


def test_recordings_in_memory_are_gone_after_a_restart(machine: Machine) -> None:
    mounted(machine, SD, "41 29 0:45 / /var/lib rw - tmpfs tmpfs rw\n")
    machine.configure(document(recording={"enabled": True, "directory": "/var/lib/echostream/recordings"}))
    places = {one.place for one in look(machine.world())["disk.volatile"]}
    assert places == {"recording.directory", "events.directory"}


@pytest.mark.parametrize(
    ("upper", "code"),
    [
        ("upperdir=/media/root-rw/upper", "disk.volatile"),
        ("upperdir=/data/upper", None),
        ("upperdir=/not/seen/any/more", "disk.overlay"),
        ("relatime", "disk.overlay"),
    ],
)
def test_an_overlay_is_as_lasting_as_what_takes_the_changes(
    machine: Machine, upper: str, code: str | None
) -> None:
    mounted(
        machine,
        f"29 1 0:26 / / rw - overlay overlay rw,lowerdir=/lower,{upper}\n",
        "30 29 0:27 / /media/root-rw rw - tmpfs tmpfs rw\n",
        "31 29 179:3 / /data rw - ext4 /dev/mmcblk0p3 rw\n",
    )
    machine.configure(document())
    assert {"disk.volatile", "disk.overlay"} & set(look(machine.world())) == ({code} if code else set())


def test_a_read_only_system_is_fine_where_the_data_is_not(machine: Machine) -> None:
    mounted(
        machine,
        "29 1 0:26 / / ro - overlay overlay ro\n",
        "30 29 179:3 / /var/lib/echostream rw - ext4 /dev/mmcblk0p3 rw\n",
    )
    machine.configure(document())
    found = look(machine.world())
    assert found["disk.root_read_only"][0].level is Level.NOTE
    assert not {"disk.read_only", "disk.volatile"} & set(found)


def test_errors_that_the_file_system_counted(machine: Machine) -> None:
    machine.write("/sys/fs/ext4/mmcblk0p2/errors_count", "3\n")
    machine.write("/sys/fs/ext4/sda1/errors_count", "0\n")
    [found] = look(machine.world())["disk.errors"]
    assert found.place == "/dev/mmcblk0p2"


@pytest.mark.parametrize(
    ("life", "eol", "code"),
    [
        ("0x01 0x02", "0x01", "disk.wear"),
        ("0x03 0x09", "0x01", "disk.worn"),
        ("0x0b 0x01", "0x01", "disk.worn_out"),
        ("0x02 0x02", "0x03", "disk.worn_out"),
    ],
)
def test_wear_of_an_emmc(machine: Machine, life: str, eol: str, code: str) -> None:
    mounted(machine, SD)
    folder = card(machine, kind="MMC")
    machine.write(f"{folder}/device/life_time", f"{life}\n")
    machine.write(f"{folder}/device/pre_eol_info", f"{eol}\n")
    found = look(machine.world())
    assert [one.place for one in found[code]] == ["/dev/mmcblk0"]


@pytest.mark.parametrize(
    ("used", "critical", "code"),
    [(3, 0, "disk.wear"), (85, 0, "disk.worn"), (112, 0, "disk.worn_out"), (3, 4, "disk.worn_out")],
)
def test_wear_of_an_nvme_disk_by_smartctl(machine: Machine, used: int, critical: int, code: str) -> None:
    mounted(machine, SD)
    card(machine, "nvme0n1", kind="")
    told = {"nvme_smart_health_information_log": {"percentage_used": used, "critical_warning": critical}}
    machine.programs["smartctl"] = Ran(0, json.dumps(told))
    assert code in look(machine.world())


@pytest.mark.parametrize("out", ["", "[]", '{"smartctl": {}}', "no json"])
def test_an_nvme_disk_that_nobody_can_ask(machine: Machine, out: str) -> None:
    mounted(machine, SD)
    card(machine, "nvme0n1", kind="")
    assert "smartctl: not found" in look(machine.world())["disk.no_smart"][0].found
    machine.programs["smartctl"] = Ran(2, out)
    assert "smartctl says nothing" in look(machine.world())["disk.no_smart"][0].found


def test_an_sd_card_says_nothing_of_its_wear(machine: Machine) -> None:
    mounted(machine, SD)
    card(machine)
    assert look(machine.world())["disk.no_wear"][0].level is Level.NOTE


def test_a_log_that_fills_the_card(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write("/var/log/journal/abc/system.journal", b"x" * 10_000)
    assert "disk.journal" in look(machine.world())
    monkeypatch.setattr(disk, "JOURNAL_MB", 0.001)
    assert "--vacuum-size" in look(machine.world())["disk.journal_large"][0].remedy


def test_a_log_in_memory_is_mentioned(machine: Machine) -> None:
    machine.write("/run/log/journal/abc/system.journal", b"x")
    assert "disk.journal_volatile" in look(machine.world())


def test_how_long_a_write_takes_leaves_nothing_behind(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.configure(document())
    folder = machine.write("/var/lib/echostream/kept").parent
    assert look(machine.world())["disk.speed"][0].place == "/var/lib/echostream"
    monkeypatch.setattr(disk, "SLOW_MS", -1.0)
    assert "disk.slow" in look(machine.world())
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_mount_point_with_blanks_and_one_that_hides_another(machine: Machine) -> None:
    mounted(
        machine,
        SD,
        "50 29 8:1 / /media/my\\040disk rw - vfat /dev/sda1 rw\n",
        "51 29 8:2 / /data rw - ext4 /dev/sdb1 rw\n",
        "52 29 8:3 / /data ro - ext4 /dev/sdc1 ro\n",
    )
    known = mounts(machine.world())
    assert [one.point for one in known] == [Path("/"), Path("/media/my disk"), Path("/data"), Path("/data")]
    hidden = mount_of(Path("/data/recordings"), known)
    assert hidden == Mount("8:3", Path("/data"), "ext4", "/dev/sdc1", True)
    assert mount_of(Path("/database"), known) == known[0]


@given(text=st.text(max_size=300))
def test_whatever_stands_in_mountinfo_is_no_accident(text: str) -> None:
    class World:
        def text(self, path: str) -> str:
            return text

    assert isinstance(mounts(World()), list)  # type: ignore[arg-type]  # only its text is read
