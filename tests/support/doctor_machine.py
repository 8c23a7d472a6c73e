"""A machine made of files, for the doctor to look at: /proc, /sys, /dev and /etc below a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from echostream.config.load import InvalidConfig, load_config
from echostream.doctor.account import Account
from echostream.doctor.model import Check, Finding
from echostream.doctor.running import run_checks
from echostream.doctor.world import GpioView, Ran, World
from echostream.errors import GpioError
from echostream.hardware.gpio_uapi import ChipInfo, LineInfo

CHANNEL = {"id": "fire", "card": "none"}
SERVICE = Account("echostream", 990, {990: "echostream", 29: "audio"})


def document(**sections: Any) -> dict[str, Any]:
    """A configuration that holds: one channel without a card, but for what is given."""
    return {
        "gateway": {"id": "station-7", "affiliation_id": "station-7"},
        "control_server": {"url": "ws://127.0.0.1:9"},
        "channels": [CHANNEL],
        **sections,
    }


def channel(**fields: Any) -> dict[str, Any]:
    return {**CHANNEL, **fields}


class Machine:
    """Below `root`. Programs answer as `programs` says by their first words; others are not installed."""

    def __init__(self, root: Path) -> None:
        self.root = root / "machine"
        self.root.mkdir()
        self.programs: dict[str, Ran] = {}
        self._config: Path | None = None

    def write(self, path: str, text: str | bytes = "") -> Path:
        """A file."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode() if isinstance(text, str) else text)
        return place

    def link(self, path: str, target: str) -> None:
        """A symbolic link, both below the root."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(self.root / target.lstrip("/"))

    def configure(self, content: Mapping[str, Any] | str) -> Path:
        """Its configuration, as the service has it."""
        text = content if isinstance(content, str) else json.dumps(content)
        self._config = self.write("/etc/echostream/config.json", text)
        return self._config

    def card(self, index: int, alsa_id: str, name: str = "USB PnP Sound Device", port: str = "") -> str:
        """A sound card with both directions at 48 kHz; its folder in /proc."""
        known = self.root / "proc/asound/cards"
        before = known.read_text() if known.exists() else ""
        where = f" at usb-0000:01:00.0-{port.partition('-')[2]}, full speed" if port else ""
        listed = f"{index:2} [{alsa_id:15}]: USB-Audio - {name}\n                      {name}{where}\n"
        self.write("/proc/asound/cards", before + listed)
        folder = f"/proc/asound/card{index}"
        self.write(f"{folder}/pcm0p/sub0/status", "closed\n")
        self.write(f"{folder}/pcm0c/sub0/status", "closed\n")
        rates = "Rates: 44100, 48000\n"
        both = "".join(
            f"{way}:\n  Interface 1\n    Channels: 1\n    {rates}" for way in ("Playback", "Capture")
        )
        self.write(f"{folder}/stream0", both)
        if port:
            self.write(f"/sys/devices/usb/{port}/{port}:1.0/x", "")
            self.link(f"/sys/class/sound/card{index}/device", f"/sys/devices/usb/{port}/{port}:1.0")
        return folder

    def world(self, **changes: Any) -> World:
        """As the doctor sees it."""
        loaded, refused = None, None
        if self._config is not None:
            try:
                loaded = load_config(self._config)
            except InvalidConfig as error:
                refused = error
        world = World(
            root=self.root,
            config_path=self._config,
            loaded=loaded,
            refused=refused,
            account=SERVICE,
            run=self._run,
            gpio=gpio(),
        )
        return replace(world, **changes)

    def _run(self, *command: str, within_s: float = 1.0) -> Ran:
        line = " ".join(command)
        for words, ran in self.programs.items():
            if line.startswith(words):
                return ran
        return Ran(None, "", f"{command[0]}: not found")


def gpio(lines: Mapping[int, LineInfo] | None = None, label: str = "pinctrl-bcm2711") -> GpioView:
    """A header of 28 lines, free but for those given; label "": there is none."""
    chip = ChipInfo("/dev/gpiochip0", label, 28)

    def find(name: str) -> ChipInfo:
        if not label:
            raise GpioError("no GPIO chip at /dev/gpiochip*")
        return chip

    def line(path: str, pin: int) -> LineInfo:
        if pin >= chip.lines:
            raise OSError(22, "Invalid argument")
        return (lines or {}).get(pin, LineInfo(False, "", 0))

    return GpioView(chips=lambda: [chip], find=find, line=line)


def findings(checks: Callable[[World], list[Check]], world: World) -> dict[str, list[Finding]]:
    """Of a group, by code."""
    found: dict[str, list[Finding]] = {}
    for result in run_checks(checks(world), world):
        for finding in result.findings:
            found.setdefault(finding.code, []).append(finding)
    return found
