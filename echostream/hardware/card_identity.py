"""Which sound card is meant: reads what the kernel says of its cards, under any root.

A card's index changes with every boot and re-plug. What stays is its ALSA id (while no twin is plugged in)
and the USB port it sits in; two identical cards can only be told apart by their port.

A port is named as the kernel does, "1-1.2": bus, hub's port, port. Buses are numbered as their controllers
are found; on a machine with several that may change, and "0000:01:00.0-1.2" names the controller instead.

Formats: /proc/asound/cards and /proc/asound/cardN/streamM as written by the Linux kernel's sound/core/init.c
and sound/usb/proc.c; /sys/class/sound/cardN/device is a link to the USB interface, e.g. .../1-1.2/1-1.2:1.0.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from echostream.errors import ConfigError

ALSA_PREFIX: Final = "alsa:"
USB_PREFIX: Final = "usb:"

_CARD = re.compile(r"^\s*(\d+)\s+\[([^\]]*)\]:\s*(.*)$")
_INTERFACE = re.compile(r"^(\d+-\d+(?:\.\d+)*):\d+\.\d+$")
_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$")
_RATES = re.compile(r"^\s*Rates:\s*(.*)$")
_CHANNELS = re.compile(r"^\s*Channels:\s*(\d+)\s*$")
_COMMON_RATES_HZ: Final = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)
_MOST_CARDS: Final = 32
"""The kernel's own limit (SNDRV_CARDS)."""


@dataclass(frozen=True, slots=True)
class Half:
    """One direction. `pcm`: number of its first PCM device; rates and channels are empty when untold."""

    pcm: int
    rates_hz: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class AlsaCard:
    """One card as the kernel lists it now.

    port: "" for what is no USB card; place: the same with the controller in the bus number's place.
    born: differs between two lives of a card that was pulled and came back under the same index.
    """

    index: int
    alsa_id: str
    long_name: str
    port: str
    capture: Half | None
    playback: Half | None
    born: int = 0
    place: str = ""

    def same_life(self, other: AlsaCard | None) -> bool:
        """Whether both are one card that was not pulled in between. Its ALSA id may have been changed."""
        if other is None:
            return False
        return (self.index, self.port, self.born) == (other.index, other.port, other.born)

    def pcm(self, *, capture: bool) -> str | None:
        """ALSA's name of the card's first PCM of that direction, or None when it has none."""
        half = self.capture if capture else self.playback
        return None if half is None else f"hw:CARD={self.alsa_id},DEV={half.pcm}"


@dataclass(frozen=True, slots=True)
class CardInfo:
    """One line of `echostream devices`.

    name: what to write into the configuration. port, place: "" for what is no USB card. portaudio_name: ""
    when it came after PortAudio was started. rates_hz: empty when the driver does not tell.
    """

    name: str
    alsa_id: str
    long_name: str
    port: str
    portaudio_name: str
    rates_hz: tuple[int, ...]
    max_inputs: int
    max_outputs: int
    place: str = ""

    @property
    def captures(self) -> bool:
        return self.max_inputs > 0

    @property
    def plays(self) -> bool:
        return self.max_outputs > 0


@dataclass(frozen=True, slots=True)
class Kernel:
    """Where the kernel shows its cards."""

    proc: Path = Path("/proc/asound")
    sys: Path = Path("/sys/class/sound")

    def cards(self) -> tuple[AlsaCard, ...]:
        """The cards of this moment, by index; empty where there is no sound at all."""
        try:
            text = (self.proc / "cards").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ()
        return tuple(self._card(*entry) for entry in parse_cards(text))

    def buses_may_change(self) -> bool:
        """Whether USB buses may be numbered otherwise at the next boot: there are several controllers, and
        those of PCI are started side by side."""
        buses = self.sys / "../../bus/usb/devices"
        controllers = {_controller(bus.resolve()) for bus in buses.glob("usb*")}
        return len(controllers) > 1 and any(_PCI.match(name) for name in controllers)

    def born(self, index: int) -> int:
        """Number of the card's present life, 0 when it is not there: the inode of its sysfs folder."""
        try:
            return (self.sys / f"card{index}").stat().st_ino
        except OSError:
            return 0

    def _card(self, index: int, alsa_id: str, long_name: str) -> AlsaCard:
        folder = self.proc / f"card{index}"
        try:
            pcms = [name for name in os.listdir(folder) if name.startswith("pcm")]
        except OSError:  # it left while it was looked at
            pcms = []
        port, place = usb_names((self.sys / f"card{index}" / "device").resolve())
        return AlsaCard(
            index=index,
            alsa_id=alsa_id,
            long_name=long_name,
            port=port,
            capture=_half(folder, pcms, "c"),
            playback=_half(folder, pcms, "p"),
            born=self.born(index),
            place=place,
        )


def usb_names(interface: Path) -> tuple[str, str]:
    """Port and place of a USB interface's folder in sysfs (.../0000:01:00.0/usb1/1-1/1-1.2/1-1.2:1.0):
    "1-1.2" and "0000:01:00.0-1.2". Two empty texts for what is no such folder."""
    match = _INTERFACE.match(interface.name)
    if match is None:
        return "", ""
    bus, _, ports = match[1].partition("-")
    root = next((folder for folder in interface.parents if folder.name == f"usb{bus}"), None)
    return match[1], f"{_controller(root)}-{ports}" if root else ""


def parse_cards(text: str) -> list[tuple[int, str, str]]:
    """(index, id, long name) for each card of /proc/asound/cards. Lines that are no card are passed over."""
    found: list[tuple[int, str, str]] = []
    lines = text.splitlines()
    for at, line in enumerate(lines):
        match = _CARD.match(line)
        if match and len(found) < _MOST_CARDS:
            after = lines[at + 1].strip() if at + 1 < len(lines) and not _CARD.match(lines[at + 1]) else ""
            found.append((int(match[1]), match[2].strip(), after or match[3].strip()))
    return found


def parse_stream(text: str) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    """Of /proc/asound/cardN/stream0: "Playback" and "Capture" -> (rates in Hz, channel counts), ascending."""
    rates: dict[str, set[int]] = {}
    channels: dict[str, set[int]] = {}
    section = ""
    for line in text.splitlines():
        if line in ("Playback:", "Capture:"):
            section = line[:-1]
        elif section and (match := _RATES.match(line)):
            rates.setdefault(section, set()).update(_rates(match[1]))
        elif section and (match := _CHANNELS.match(line)):
            channels.setdefault(section, set()).add(int(match[1]))
    return {
        name: (tuple(sorted(rates.get(name, ()))), tuple(sorted(channels.get(name, ()))))
        for name in rates.keys() | channels.keys()
    }


def find_card(name: str, cards: tuple[AlsaCard, ...]) -> AlsaCard | None:
    """The card that a configured name means, None when it is not plugged in. ConfigError for an index."""
    refuse_index(name)
    if name.startswith(USB_PREFIX):
        port = name.removeprefix(USB_PREFIX)
        return next((card for card in cards if port and port in (card.port, card.place)), None)
    alsa_id = name.removeprefix(ALSA_PREFIX)
    return next((card for card in cards if card.alsa_id == alsa_id), None)


def card_behind(name: str, cards: tuple[AlsaCard, ...]) -> AlsaCard | None:
    """As find_card, also for a PCM whose name says its card ("plughw:CARD=Device", "hw:Device,0")."""
    match = re.search(r"\bCARD=([^,]+)", name) or re.match(r"(?:plug)?hw:([^,]+)", name)
    return find_card(match[1] if match else name, cards)


def refuse_index(name: str) -> None:
    """ConfigError where a card is named by its number, which another card will have after the next boot."""
    if re.fullmatch(r"\d+|(plug)?hw:\d+(,\d+)*|alsa:\d+", name):
        raise ConfigError(
            f"card {name!r}: an index changes at every boot; name the card by its ALSA id or its USB port "
            "(`echostream devices` lists both)"
        )


def may_be_pcm(name: str) -> bool:
    """Whether a name that is no card's can still be an ALSA PCM of a configuration file."""
    return not name.startswith((ALSA_PREFIX, USB_PREFIX))


def _controller(bus: Path) -> str:
    """Name of the controller of a bus (.../usb1) that it has at each boot: its address. Children that are
    called xhci-hcd.0 are counted as they are found, so the folder above them is taken."""
    named = bus.parent
    return named.parent.name if named.name.startswith("xhci-hcd.") else named.name


def _rates(text: str) -> tuple[int, ...]:
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    if "continuous" in text and len(numbers) >= 2:
        return tuple(rate for rate in _COMMON_RATES_HZ if numbers[0] <= rate <= numbers[1])
    return tuple(numbers)


def _half(folder: Path, pcms: list[str], letter: str) -> Half | None:
    """The first PCM of a direction, with what the USB driver says of its rates and channels."""
    numbers = sorted(int(name[3:-1]) for name in pcms if name.endswith(letter) and name[3:-1].isdigit())
    if not numbers:
        return None
    try:
        text = (folder / f"stream{numbers[0]}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return Half(numbers[0])
    rates, channels = parse_stream(text).get("Capture" if letter == "c" else "Playback", ((), ()))
    return Half(numbers[0], rates, channels)
