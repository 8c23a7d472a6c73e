"""The machine that scenes play on: the package file, a container, and simulated pins outside of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gpio_simulator import GpioSimulator, build_forwarder

from tests.system.container import Container, Failed

SERVICE: Final = "echostream.service"
GUARD: Final = "echostream-ptt-guard.service"
BUTTON, KEYED = 20, 12
"""Pins of the first channel of the configuration that the scenes write."""
PINS: Final = "/srv/pins"
HELD_S: Final = 1.5

CONFIG: Final[dict[str, Any]] = {
    "gateway": {"id": "station-7", "affiliation_id": "station-7"},
    "control_server": {"url": "ws://127.0.0.1:8765"},
    "channels": [
        {"id": "fire", "card": "usb:1-1.1", "ptt": {"pin": BUTTON}, "key": {"pin": KEYED}},
        {"id": "ems", "card": "usb:1-1.2", "ptt": {"pin": 21}, "key": {"pin": 13}},
    ],
}


@dataclass
class Site:
    """What a scene works with. folder: shared with the container as /srv/pins."""

    container: Container
    pins: GpioSimulator
    package: Path
    folder: Path

    def run(self, *command: str, timeout_s: float = 300.0) -> str:
        """In the container; Failed where it fails."""
        return self.container.run(*command, timeout_s=timeout_s)

    def say(self, *command: str) -> str:
        """In the container, whatever its exit status."""
        return self.container.say(*command)

    def put(self, path: str, text: str) -> None:
        """Write a file in the container. Links are followed there, not here."""
        scratch = self.folder / "put"
        scratch.write_text(text)
        self.run("mkdir", "-p", str(Path(path).parent))
        self.run("cp", "--no-preserve=mode,ownership", f"{PINS}/put", path)

    def main_pid(self, unit: str = SERVICE) -> int:
        """Of a unit, as seen in the container; 0: none."""
        return int(self.container.property(unit, "MainPID") or 0)

    def kill(self, name: str, *pids: int) -> None:
        """Send a signal; a minimal Debian has no program for it."""
        self.run("sh", "-c", f"kill -{name} {' '.join(map(str, pids))}")

    def status(self) -> str:
        """The status line of the gateway."""
        return self.container.property(SERVICE, "StatusText")

    def until_active(self, timeout_s: float = 40.0, unit: str = SERVICE) -> float:
        """Seconds until systemd calls it active: it said READY."""
        return self.container.until(lambda: self.say("systemctl", "is-active", unit) == "active", timeout_s)

    def press(self) -> None:
        """The button of the first channel goes down and stays down."""
        self.pins.drive(BUTTON, 0)

    def release(self) -> None:
        """And up."""
        self.pins.drive(BUTTON, 1)

    def key_up(self, timeout_s: float = 30.0) -> None:
        """Bring the keyed line of the first channel up: who talks is answered, as often as it takes."""
        deadline_s = time.monotonic() + timeout_s
        while time.monotonic() < deadline_s:
            self.press()
            time.sleep(HELD_S)
            self.release()
            if self.pins.wait_level(KEYED, 1, 4.0) is not None:
                return
        raise Failed(f"BCM {KEYED} was not keyed; {self.status()}")

    def dropped_s(self, since_s: float, timeout_s: float = 3.0) -> float:
        """Seconds from that moment until the keyed line was down."""
        if self.pins.wait_level(KEYED, 0, timeout_s) is None:
            raise Failed(f"BCM {KEYED} is still keyed {timeout_s} s later")
        downs = [one.at_s for one in self.pins.history if one.pin == KEYED and one.level == 0]
        return max(0.0, downs[-1] - since_s)

    def reaches_pins(self, simulate: str = "missing") -> None:
        """Let gateway and guard see the simulated chip, and simulate cards and server: drop-ins."""
        library = f"{PINS}/gpio_forward.so"
        seen = f"[Service]\nEnvironment=LD_PRELOAD={library} GPIO_SIMULATOR={PINS}/socket\n"
        unit = self.run("systemctl", "cat", SERVICE)
        started = [line for line in unit.splitlines() if line.startswith("ExecStart=")][-1]
        self.put(f"/etc/systemd/system/{GUARD}.d/pins.conf", seen)
        self.put(
            f"/etc/systemd/system/{SERVICE}.d/pins.conf",
            f"{seen}ExecStart=\n{started} --simulate {simulate}\n",
        )
        self.put("/etc/echostream/config.json", json.dumps(CONFIG, indent=2))
        self.run("chown", "root:echostream", "/etc/echostream/config.json")
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", GUARD, SERVICE)


@contextmanager
def pins(folder: Path) -> Iterator[GpioSimulator]:
    """A chip of which a released output keeps its level, as on a Raspberry Pi."""
    build_forwarder(folder)
    with GpioSimulator(folder / "socket", persist_outputs=True) as simulator:
        (folder / "socket").chmod(0o777)
        simulator.drive(BUTTON, 1)
        yield simulator


def repack(package: Path, folder: Path, suffix: str, broken: bool = False) -> Path:
    """The same package as a later version; `broken`: its gateway ends as soon as it is ready to begin."""
    unpacked = folder / f"unpacked{suffix}"
    subprocess.run(["dpkg-deb", "-R", str(package), str(unpacked)], check=True)
    versions = unpacked / "opt/echostream/versions"
    (tree,) = versions.iterdir()
    old, new = tree.name, f"{tree.name}{suffix}"
    tree.rename(versions / new)
    texts = [unpacked / "DEBIAN" / name for name in ("preinst", "postinst", "prerm", "postrm")]
    texts += [versions / new / "release.json", versions / new / "pyvenv.cfg"]
    texts += [path for path in (versions / new / "bin").iterdir() if path.is_file() and not path.is_symlink()]
    for path in texts:
        if path.exists() and b"\0" not in (data := path.read_bytes()):
            path.write_bytes(re.sub(rf"{re.escape(old)}(?!\+)".encode(), new.encode(), data))
    control = unpacked / "DEBIAN/control"
    control.write_text(re.sub(r"^(Version: .*)$", rf"\1{suffix}", control.read_text(), flags=re.M))
    if broken:
        (module,) = versions.glob(f"{new}/lib/python3*/site-packages/echostream/board.py")
        module.write_text(module.read_text() + "\nraise SystemExit('this version does not run')\n")
        for compiled in module.parent.glob("__pycache__/board.*.pyc"):  # is taken as it is, else
            compiled.unlink()
    (unpacked / "DEBIAN/md5sums").unlink(missing_ok=True)
    later = folder / f"{package.stem}{suffix}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(unpacked), str(later)], check=True)
    subprocess.run(["rm", "-rf", str(unpacked)], check=True)
    return later


def note(text: str) -> None:
    """What was found, below the name of the scene."""
    for line in text.splitlines():
        sys.stdout.write(f"      {line}\n")
    sys.stdout.flush()
