"""The machine under test: its sound cards, and what of it the environment puts another in the place of.

ECHOSTREAM_CARD=usb:1-1.2     the sound card (default: the first USB card that plays and captures)
ECHOSTREAM_CM108=/dev/hidraw0 the HID device with the key line (default: that of the sound card)
ECHOSTREAM_KERNEL=PROC:SYS    folders to read instead of /proc/asound and /sys/class/sound
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from echostream.errors import EchoStreamError
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.card_identity import USB_PREFIX, AlsaCard, Kernel


def kernel() -> Kernel:
    """Where the kernel shows its cards."""
    proc, _, sysfs = os.environ.get("ECHOSTREAM_KERNEL", "").partition(":")
    return Kernel(Path(proc), Path(sysfs)) if proc else Kernel()


def open_cards(*names: str) -> AudioHardware:
    """The sound cards, or a skip that says what is missing."""
    try:
        return AudioHardware(names, kernel())
    except EchoStreamError as error:
        pytest.skip(str(error))


def usb_cards() -> list[AlsaCard]:
    """USB cards that play and capture, by port."""
    cards = [card for card in kernel().cards() if card.port and card.capture and card.playback]
    return sorted(cards, key=lambda card: card.port)


def by_port(card: AlsaCard) -> str:
    """The name by which a configuration should have it."""
    return USB_PREFIX + card.port
