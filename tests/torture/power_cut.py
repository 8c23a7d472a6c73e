"""Cut the power of the disk under a gateway that records; see what it costs, and that all is whole again.

    python tests/torture/power_cut.py [--rounds 6] [--seed 1] [--form FORM] [--size-mb 400] [--json FILE]

A file system (ext4, with its defaults) in an image of its own is mounted over a loop device, and five
devices and a channel are recorded on it. At a moment of chance the file system is shut down by ext4's own
ioctl, which drops everything that was not synchronised, the journal's last steps as well: what a power cut
leaves. Then the image is mounted again and a gateway started that believes the machine has booted. Of every
connection: all is there that the device had handed over two seconds before, as it was sent; every file
opens; ten seconds after the start all is repaired and indexed, with a gap that says "power cut". At the end
the index is thrown away and made again of the files.

Ends with status 1 if anything of that was not so, and with 77 where it cannot be tried: it needs root and a
loop device.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "support")]

from torn_archive import Form, Lane, finish, in_threads  # noqa: E402 - after the path
from torn_report import say, tell  # noqa: E402

FORMS: tuple[Form, ...] = ("wav", "flac", "opus")
EXT4_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32), fs/ext4/ext4.h."""
NO_LOG_FLUSH = struct.pack("I", 2)
"""EXT4_GOING_FLAGS_NOLOGFLUSH: like the power going, nothing more is written."""
CANNOT = 77
START_S, LONGEST_S = 2.5, 12.0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6, help="power cuts of each form")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--form", choices=FORMS, action="append", help="default: all of them at once")
    parser.add_argument("--size-mb", type=int, default=400)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="leave recordings and logs there")
    options = parser.parse_args()
    why = hindrance()
    if why:
        say(f"power cut: not tried: {why}")
        return CANNOT
    began_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="torture-")))
        stack.enter_context(shared(scratch))
        work = options.keep or scratch
        work.mkdir(parents=True, exist_ok=True)
        disks, lanes = {}, []
        for form in options.form or FORMS:
            disks[form] = stack.enter_context(disk(scratch / form, options.size_mb))
            lanes.append(lane_on(disks[form], form, work, options.seed))
        say(f"{options.rounds} power cuts of {len(lanes)} recording gateways, each on a disk of its own")
        in_threads(lanes, lambda lane: torture(lane, disks[lane.form], options.rounds))
        for lane in lanes if options.keep is not None else ():
            shutil.copytree(lane.archive, work / f"{lane.form}-recordings")
    verdicts = {lane.form: lane.verdict for lane in lanes}
    good = tell("power cut", verdicts, time.monotonic() - began_s)
    if options.json is not None:
        rows = {form: {"lost_s": one.lost_s, "faults": one.faults} for form, one in verdicts.items()}
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0 if good else 1


def hindrance() -> str:
    """Why it cannot be done here; "" when it can."""
    if os.geteuid() != 0:
        return "it needs root, for a disk of its own"
    missing = [name for name in ("mkfs.ext4", "mount", "umount", "unshare") if shutil.which(name) is None]
    if missing:
        return f"{missing[0]} is not installed"
    with tempfile.TemporaryDirectory(prefix="torture-") as scratch:
        try:
            with disk(Path(scratch) / "probe", 16) as probe:
                probe.cut()
        except (OSError, subprocess.CalledProcessError) as error:
            said = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
            return f"no file system that can lose its power can be mounted: {said}"
    return ""


class Disk:
    """An ext4 file system in an image."""

    def __init__(self, image: Path, place: Path) -> None:
        self.image = image
        self.place = place
        self.boot = place.with_name(place.name + "-boot-id")

    def mount(self) -> None:
        """As after a boot: another boot id."""
        self.boot.write_text(f"{uuid.uuid4()}\n")
        _run("mount", "-o", "loop", str(self.image), str(self.place))

    def cut(self) -> float:
        """From now on nothing reaches it; when that was."""
        handle = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            cut_s = time.monotonic()
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(handle)
        return cut_s

    def unmount(self) -> None:
        """Also from below those who still hold it."""
        if subprocess.run(["umount", str(self.place)], capture_output=True, check=False).returncode:
            _run("umount", "--lazy", str(self.place))


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[None]:
    """What is mounted and unmounted below it is so for the gateways too, which see mounts of their own."""
    _run("mount", "--bind", str(folder), str(folder))
    _run("mount", "--make-shared", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


@contextlib.contextmanager
def disk(name: Path, size_mb: int) -> Iterator[Disk]:
    """Mounted, and gone at the end. OSError, CalledProcessError."""
    name.mkdir(parents=True)
    one = Disk(name / "image", name / "disk")
    one.place.mkdir()
    with one.image.open("wb") as file:
        file.truncate(size_mb * 1_000_000)
    _run("mkfs.ext4", "-q", str(one.image))
    one.mount()
    try:
        yield one
    finally:
        one.unmount()


def lane_on(one: Disk, form: Form, work: Path, seed: int) -> Lane:
    """Gateways on that disk, which read the boot id that goes with it."""
    archive = one.place / "recordings"
    archive.mkdir()
    believing = f'mount --bind {one.boot} /proc/sys/kernel/random/boot_id && exec "$@"'
    command = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", believing, "sh"]
    return Lane(form, archive, work, seed, "power cut", command)


def torture(lane: Lane, one: Disk, rounds: int) -> None:
    """One disk's lives."""
    torn: dict[str, str] = {}
    lane.devices.start()
    try:
        for number in range(1, rounds + 1):
            began_s = lane.start().began_s
            if number > 1:
                lane.settle(torn)
            strike_s = began_s + lane.random.uniform(START_S, LONGEST_S)
            time.sleep(max(0.0, strike_s - time.monotonic()))
            cut_s = one.cut()
            lane.kill()
            lane.ended(cut_s)
            one.unmount()
            one.mount()
            torn = lane.look_at_torn()
            say(f"  {lane.form:4} {number:3} of {rounds}, {len(lane.verdict.faults)} faults")
        lane.start()
        lane.settle(torn)
        time.sleep(1.0)
    finally:
        lane.devices.stop()
        finish(lane)


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)


if __name__ == "__main__":
    sys.exit(main())
