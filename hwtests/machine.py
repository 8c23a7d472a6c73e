"""The machine under test: its USB sound cards, and the pins that the jumper connects.

- ECHOSTREAM_KERNEL=PROC:SYS: folders to read instead of /proc/asound and /sys/class/sound
- ECHOSTREAM_SLACK=4: times that are judged may be so much longer, on a machine that plays the board and has
  other things to do
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from echostream.hardware.card_identity import USB_PREFIX, AlsaCard, Kernel

OUT_PIN: Final = 20
IN_PIN: Final = 21
HOW: Final = f"connect BCM {OUT_PIN} (header pin 38) to BCM {IN_PIN} (pin 40) with a jumper"

SLACK: Final = float(os.environ.get("ECHOSTREAM_SLACK", "1"))


def kernel() -> Kernel:
    """Where the kernel shows its cards."""
    proc, _, sysfs = os.environ.get("ECHOSTREAM_KERNEL", "").partition(":")
    return Kernel(Path(proc), Path(sysfs)) if proc else Kernel()


def usb_cards() -> list[AlsaCard]:
    """USB cards that play and capture, by port."""
    cards = [card for card in kernel().cards() if card.port and card.capture and card.playback]
    return sorted(cards, key=lambda card: card.port)


def by_port(card: AlsaCard) -> str:
    """The name by which a configuration should have it."""
    return USB_PREFIX + card.port
