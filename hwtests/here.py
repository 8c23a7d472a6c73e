"""The sound cards of the machine under test, or a skip.

ECHOSTREAM_CARD=usb:1-1.2     the sound card (default: the first USB card that plays and captures)
ECHOSTREAM_CM108=/dev/hidraw0 the HID device with the key line (default: that of the sound card)
"""

from __future__ import annotations

import pytest

from echostream.errors import EchoStreamError
from echostream.hardware.audio_hardware import AudioHardware
from hwtests.machine import kernel


def open_cards(*names: str) -> AudioHardware:
    """The sound cards, or a skip that says what is missing."""
    try:
        return AudioHardware(names, kernel())
    except EchoStreamError as error:
        pytest.skip(str(error))
