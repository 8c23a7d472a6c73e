"""The HID side of CM108-type sound cards: which hidraw belongs to a card, and the bytes that key a radio.

Few imports: the PTT guard uses this. Sources: C-Media CM108/CM119 datasheets, HID report tables.
"""

from __future__ import annotations

import errno
import os
from typing import Final

SYSFS: Final = "/sys"

# Vendor ids of chips that take these reports. Other HID devices (a keyboard) must never be written to.
CMEDIA: Final = 0x0D8C
SSS: Final = 0x0C76
ALL_IN_ONE_CABLE: Final = (0x1209, 0x7388)

PTT_BIT: Final = 1 << 2
"""GPIO3, which every interface of this kind keys the radio with."""
COS_BIT: Final = 1 << 1
"""The volume-down key: bit 1 of the first byte of an input report; set while the pin is pulled low."""
INPUT_REPORT_BYTES: Final = 4


def output_report(high: bool) -> bytes:
    """Report that drives GPIO3: report id 0, HID_OR0 = 0 (GPIO mode), data, direction (1: output), 0."""
    return bytes((0, 0, PTT_BIT if high else 0, PTT_BIT, 0))


def find_card(card: str, sysfs: str = SYSFS) -> str | None:
    """Directory of a card's USB device in sysfs, or None when no such USB card is there.

    card: ALSA id ("Device", "alsa:Device"), USB port ("usb:1-1.2", "usb:0000:01:00.0-1.2") or a PCM name with
    CARD=Device in it.
    """
    wanted = card.partition("CARD=")[2].partition(",")[0] or card.removeprefix("alsa:")
    sound = os.path.join(sysfs, "class", "sound")
    try:
        names = sorted(os.listdir(sound))
    except OSError:
        return None
    for name in names:
        if not name.startswith("card"):
            continue
        device = _usb_device(os.path.realpath(os.path.join(sound, name, "device")))
        if device is None:
            continue
        if wanted in (
            "usb:" + os.path.basename(device),
            _place(device),
            _text(os.path.join(sound, name, "id")),
        ):
            return device
    return None


def find_hidraw(card: str, sysfs: str = SYSFS) -> str:
    """Path of the hidraw device of a sound card, or `card` itself where that is a /dev path.

    Raises OSError: ENODEV (no such card is plugged in), ENXIO (the card has no HID lines), EPERM (a HID
    device of a make that does not speak CM108).
    """
    if card.startswith("/dev/"):
        return card
    device = find_card(card, sysfs)
    if device is None:
        raise OSError(errno.ENODEV, f'no USB sound card "{card}" is plugged in')
    vendor, product = (_hex(os.path.join(device, name)) for name in ("idVendor", "idProduct"))
    found = sorted(
        entry
        for folder, directories, _files in os.walk(device)
        if os.path.basename(folder) == "hidraw"
        for entry in directories
    )
    if not found:
        raise OSError(errno.ENXIO, f'sound card "{card}" has no HID lines')
    if vendor not in (CMEDIA, SSS) and (vendor, product) != ALL_IN_ONE_CABLE:
        make = f"{vendor:04x}:{product:04x}"
        raise OSError(errno.EPERM, f'sound card "{card}" ({make}) is not of the CM108 kind')
    return "/dev/" + found[0]


def open_hidraw(card: str, flags: int, sysfs: str = SYSFS) -> int:
    """A descriptor of a card's hidraw device. OSError as find_hidraw.

    Looked at again once it is open: where devices came and went meanwhile, the number can be a keyboard's.
    """
    path = find_hidraw(card, sysfs)
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if find_hidraw(card, sysfs) != path:
            raise OSError(errno.ENODEV, f'sound card "{card}" was pulled while it was opened')
    except OSError:
        os.close(fd)
        raise
    return fd


class Cm108Line:
    """GPIO3 of one card, low or inactive from the moment it is opened. Errors: the kernel's OSError.

    The chip keeps its level when its program dies: whoever opened it must drive it inactive in time.
    """

    def __init__(self, card: str, *, active_low: bool, sysfs: str = SYSFS) -> None:
        self._active_low = active_low
        self._fd = open_hidraw(card, os.O_WRONLY, sysfs)
        try:
            self.set(False)
        except OSError:
            self.close()
            raise

    def set(self, active: bool) -> None:
        """Drive the line. Can take as long as a USB control transfer: up to 5 s on a card that hangs."""
        report = output_report(active != self._active_low)
        if os.write(self._fd, report) != len(report):
            raise OSError(errno.EIO, "short write of a HID report")

    def close(self) -> None:
        """Close the device, leaving the line as it is. Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _usb_device(path: str) -> str | None:
    """The USB device (the directory with idVendor) at or above `path`."""
    while path not in ("", "/"):
        if os.path.exists(os.path.join(path, "idVendor")):
            return path
        path = os.path.dirname(path)
    return None


def _place(device: str) -> str:
    """A USB device by its controller ("usb:0000:01:00.0-1.2"), as in card_identity."""
    bus, _, ports = os.path.basename(device).partition("-")
    folder = os.path.dirname(device)
    while folder not in ("", "/"):
        if os.path.basename(folder) == f"usb{bus}":
            controller = os.path.dirname(folder)
            if os.path.basename(controller).startswith("xhci-hcd."):
                controller = os.path.dirname(controller)
            return f"usb:{os.path.basename(controller)}-{ports}"
        folder = os.path.dirname(folder)
    return ""


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _hex(path: str) -> int:
    try:
        return int(_text(path), 16)
    except ValueError:
        return 0
