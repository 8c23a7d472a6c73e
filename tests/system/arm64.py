"""A Raspberry Pi's processor, emulated: everything installs, the pure parts pass their tests, a gateway runs.

    make test-arm64                    Debian 12 for arm64 on QEMU; one to two hours
    make test-arm64 ARGS="--quick"     without the tests of the pure parts: ten minutes

Needs root, mmdebstrap and qemu-user-static. The emulated processor has about a tenth of this one's speed, so
nothing is timed: the gateway must capture, transmit, record and end in order.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.system import debian_root  # noqa: E402
from tests.system.debian_root import CannotRun, inside  # noqa: E402

BINFMT: Final = Path("/proc/sys/fs/binfmt_misc")
RULE: Final = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
PACKAGES: Final = (
    *("ca-certificates", "python3", "python3-venv", "python3-dev", "gcc", "libc6-dev", "make"),
    *("portaudio19-dev", "libportaudio2", "libopus0", "mosquitto"),
)
PURE: Final = ("tests/wire", "tests/audio", "tests/tones", "tests/config")
TOO_SLOW: Final = "two_thousand_inputs"
"""Gives its child a minute, which an emulated processor does not keep."""
HOME: Final = "/srv/echostream"
RUN_S: Final = 25


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", nargs="?", default="bookworm", choices=("bookworm", "trixie"))
    parser.add_argument("--quick", action="store_true", help="leave the tests of the pure parts out")
    args = parser.parse_args()
    try:
        debian_root.need_root()
        _emulate()
        base = debian_root.debian(args.suite, "arm64", PACKAGES)
    except CannotRun as error:
        sys.stderr.write(f"{error}\n")
        return 3
    with debian_root.layer(base) as root, debian_root.entered(root):
        _copy_repository(root)
        faults = [_step("install", root, "scripts/setup.sh run")]
        faults.append(_step("devices", root, ".venv/bin/python -m echostream devices"))
        faults.append(_run_gateway(root))
        if not args.quick:
            tests = f".venv/bin/python -m pytest -n 2 --timeout 3600 -k 'not {TOO_SLOW}' {' '.join(PURE)}"
            faults.append(
                _step("test tools", root, ".venv/bin/python -m pip install -q -r requirements-dev.txt")
            )
            faults.append(_step("tests of the pure parts", root, tests))
    failed = sum(faults)
    sys.stdout.write(f"arm64, {args.suite}: {len(faults)} steps, {failed} failed\n")
    return 1 if failed else 0


def _step(name: str, root: Path, command: str) -> bool:
    """Run it, show how it ended. True: it failed."""
    sys.stdout.write(f"  {name}: {command}\n")
    sys.stdout.flush()
    began_s = time.monotonic()
    done = inside(root, "sh", "-c", f"cd {HOME} && {command}", check=False)
    lines = done.stdout.splitlines()
    for line in lines[-30:] if done.returncode else lines[-4:]:
        sys.stdout.write(f"      {line}\n")
    verdict = f"FAILED ({done.returncode})" if done.returncode else "ok"
    sys.stdout.write(f"    {verdict} ({time.monotonic() - began_s:.0f} s)\n")
    sys.stdout.flush()
    return done.returncode != 0


def _run_gateway(root: Path) -> bool:
    command = (
        f".venv/bin/python -m echostream run --simulate all --for {RUN_S} --log lines --summary run.json"
    )
    if _step("a gateway", root, command):
        return True
    summary = json.loads((root / HOME.lstrip("/") / "run.json").read_text())
    channels = summary["channels"]
    for name, channel in channels.items():
        words = ("frames_captured", "key_ups", "packets_sent")
        sys.stdout.write(f"      {name}: {', '.join(f'{word} {channel[word]}' for word in words)}\n")
    moved = all(channel["frames_captured"] > 0 for channel in channels.values())
    return not (moved and any(channel["packets_sent"] for channel in channels.values()))


def _copy_repository(root: Path) -> None:
    """What is committed, as a clone of its own."""
    target = root / HOME.lstrip("/")
    subprocess.run(["git", "clone", "-q", str(REPOSITORY), str(target)], check=True)


def _emulate() -> None:
    """Let the kernel start arm64 programs through QEMU, unless it does, or is one."""
    if (
        subprocess.run(["uname", "-m"], check=True, capture_output=True, text=True).stdout.strip()
        == "aarch64"
    ):
        return
    if not RULE.exists():
        raise CannotRun("arm64 programs cannot be emulated here: apt install qemu-user-static binfmt-support")
    if not (BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)], check=True)
    if not (BINFMT / "qemu-aarch64").exists():
        (BINFMT / "register").write_text(RULE.read_text())


if __name__ == "__main__":
    sys.exit(main())
