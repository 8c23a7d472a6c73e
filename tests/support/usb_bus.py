"""A bus into which sound cards are plugged, under real ALSA and PortAudio.

The kernel's half is made up: trees of files like /proc/asound and /sys/class/sound, with the numbers and ids
that the kernel gives (the lowest number that is free; the first card of a make has its name for an id, its
twins that with _1, _2 and so on: sound/core/init.c). The sound is real: each card is a PulseAudio daemon, and
ALSA's `hw:CARD=ID` is, by a definition of our own, the daemon of the card that has that id at the moment.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from echostream.hardware.card_identity import Kernel
from echostream.simulator.virtual_cards import HEARS, PLAYS, STOCK_CONFIG, VirtualCard, VirtualCards

HW = """pcm.!hw {{
  @args [ CARD DEV SUBDEV ]
  @args.CARD {{ type string default "none" }}
  @args.DEV {{ type integer default 0 }}
  @args.SUBDEV {{ type integer default -1 }}
  type asym
  capture.pcm {{ type pulse
    server {{ @func concat strings [ "unix:{ids}/" $CARD "/socket" ] }} device "{heard}.monitor" }}
  playback.pcm {{ type pulse
    server {{ @func concat strings [ "unix:{ids}/" $CARD "/socket" ] }} device "out" }}
}}
"""
STREAM = """Playback:
  Interface 1
    Channels: {channels}
    Rates: 48000

Capture:
  Interface 2
    Channels: {channels}
    Rates: 48000
"""


@dataclass(frozen=True, slots=True)
class Plugged:
    """A card in its port."""

    index: int
    alsa_id: str
    port: str


class UsbBus:
    """All cards are of one make ("Device") and unplugged. `names`: what they are called here."""

    def __init__(self, names: Sequence[str], *, cabled: bool = False, channels: int = 1) -> None:
        """`cabled`: each card's output is wired to its own input, and it hears nothing else.
        `channels`: 2 for stereo cards."""
        self.folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))  # a socket's path is short
        self.kernel = Kernel(self.folder / "proc", self.folder / "sys/class/sound")
        self.plugged: dict[str, Plugged] = {}
        self._ids = self.folder / "id"
        self._lives = 0
        self._stream = STREAM.format(channels=channels)
        for folder in (self.kernel.proc, self.kernel.sys, self._ids):
            folder.mkdir(parents=True)
        self._numbers = {name: number for number, name in enumerate(names)}
        try:
            self._cards = VirtualCards(names, self.folder, channels=channels)
            for name in names:
                self._cards.pull(name)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        (self.folder / "hw.conf").write_text(
            HW.format(ids=self._ids, heard=PLAYS if cabled else HEARS), "utf-8"
        )
        self._list()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._cards.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def environment(self) -> dict[str, str]:
        """Under which ALSA opens these cards."""
        return self._cards.environment() | {"ALSA_CONFIG_PATH": f"{STOCK_CONFIG}:{self.folder}/hw.conf"}

    def card(self, name: str) -> VirtualCard:
        """The daemon, to speak into and to listen at."""
        return self._cards[name]

    def plug(self, name: str, port: str) -> Plugged:
        """Into a port that is free."""
        assert name not in self.plugged
        assert port not in {other.port for other in self.plugged.values()}
        self._cards.plug(name)
        taken = {other.index for other in self.plugged.values()}
        ids = {other.alsa_id for other in self.plugged.values()}
        index = min(set(range(32)) - taken)
        alsa_id = next(one for one in ("Device", *(f"Device_{at}" for at in range(1, 32))) if one not in ids)
        self._enter(index, port)
        (self._ids / alsa_id).symlink_to(self.folder / f"card{self._numbers[name]}")
        self.plugged[name] = Plugged(index, alsa_id, port)
        self._list()
        return self.plugged[name]

    def pull(self, name: str) -> None:
        """The kernel forgets the card at once, and its sound ends."""
        gone = self.plugged.pop(name)
        (self._ids / gone.alsa_id).unlink()
        self._list()
        (self.kernel.sys / f"card{gone.index}").unlink()
        shutil.rmtree(self.kernel.proc / f"card{gone.index}")
        self._cards.pull(name)

    def pull_all(self) -> None:
        for name in list(self.plugged):
            self.pull(name)

    def _enter(self, index: int, port: str) -> None:
        self._lives += 1  # folders of former lives stay, so no inode comes twice
        interface = self.folder / f"sys/devices/{self._lives}/usb1/1-1/{port}/{port}:1.0"
        sound = interface / f"sound/card{index}"
        sound.mkdir(parents=True)
        (sound / "device").symlink_to(interface)
        (self.kernel.sys / f"card{index}").symlink_to(sound)
        card = self.kernel.proc / f"card{index}"
        card.mkdir()
        (card / "stream0").write_text(self._stream, "utf-8")
        for pcm in ("pcm0c", "pcm0p"):
            (card / pcm).mkdir()

    def _list(self) -> None:
        lines = [
            f"{one.index:2d} [{one.alsa_id:15s}]: USB-Audio - USB PnP Sound Device\n"
            f"                      C-Media USB PnP Sound Device at usb-0000:01:00.0-{one.port[2:]}, full\n"
            for one in sorted(self.plugged.values(), key=lambda one: one.index)
        ]
        fresh = self.kernel.proc / "cards.new"
        fresh.write_text("".join(lines) or "--- no soundcards ---\n", "utf-8")
        os.replace(fresh, self.kernel.proc / "cards")
