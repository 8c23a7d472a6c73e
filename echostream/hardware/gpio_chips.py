"""Which GPIO chip is the one on the header, and what to do when a line cannot be had."""

from __future__ import annotations

import errno
import os
from typing import Final

from echostream.errors import GpioError
from echostream.hardware.gpio_uapi import ChipInfo, read_chip, read_line_info

HEADER_LABELS: Final = ("pinctrl-rp1", "pinctrl-bcm2711", "pinctrl-bcm2835")
"""Driver labels of the chip behind the 40-pin header: Pi 5, Pi 4, all older ones. A Pi 5 also has
pinctrl-bcm2712 chips: those are not on the header."""

# Chip numbers are small and dense; asking for each is cheaper than reading a directory of hundreds.
MAX_CHIPS: Final = 32


def list_chips() -> list[ChipInfo]:
    """Every GPIO chip that this user may open, in order of path; one entry a chip, not a symbolic link."""
    return _scan()[0]


def find_chip(chip: str = "auto") -> ChipInfo:
    """`chip`: "auto" (the header's), a driver label, or a /dev path. Raises GpioError with the remedy."""
    if chip.startswith("/"):
        return _chip_at(chip)
    chips, refused = _scan()
    wanted = HEADER_LABELS if chip == "auto" else (chip,)
    for label in wanted:
        for info in chips:
            if info.label == label:
                return info
    if refused is not None:
        raise GpioError(f"{refused}: permission denied: {_remedy_access(refused)}")
    if not chips:
        raise GpioError("no GPIO chip at /dev/gpiochip*: this does not look like a Raspberry Pi")
    there = ", ".join(f"{info.path} ({info.label})" for info in chips)
    wish = "the header's GPIO chip" if chip == "auto" else f'a GPIO chip labelled "{chip}"'
    raise GpioError(f"{wish} is not among {there}: name one of these in gpio.chip")


def explain(error: OSError, chip_path: str, pin: int) -> GpioError:
    """A GpioError that says what went wrong with line `pin` and what to do about it."""
    place = f"BCM {pin} on {chip_path}"
    if error.errno == errno.EBUSY:
        return GpioError(f"{place} is held by {holder(chip_path, pin)}: stop that, or choose another pin")
    if error.errno in (errno.EACCES, errno.EPERM):
        return GpioError(f"{place}: permission denied: {_remedy_access(chip_path)}")
    if error.errno == errno.EINVAL:
        return GpioError(f"{place}: the chip has no such line, or cannot set it as asked")
    return GpioError(f"{place}: {os.strerror(error.errno) if error.errno else error}")


def holder(chip_path: str, pin: int) -> str:
    """Who holds a line, as the kernel tells it."""
    try:
        info = read_line_info(chip_path, pin)
    except OSError:
        return "another program"
    if not info.used:
        return "nobody any more"
    return f'"{info.consumer}"' if info.consumer else "the kernel or another program"


def _scan() -> tuple[list[ChipInfo], str | None]:
    """The chips that open, and the path of one that may not be opened."""
    chips: list[ChipInfo] = []
    refused: str | None = None
    for number in range(MAX_CHIPS):
        path = f"/dev/gpiochip{number}"
        if os.path.islink(path):
            continue
        try:
            chips.append(read_chip(path))
        except PermissionError:
            refused = refused or path
        except OSError:
            continue
    return chips, refused


def _chip_at(path: str) -> ChipInfo:
    real = os.path.realpath(path)
    try:
        return read_chip(real)
    except PermissionError:
        raise GpioError(f"{path}: permission denied: {_remedy_access(path)}") from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise GpioError(f"{path}: {reason}: not a GPIO chip (see `echostream devices`)") from None


def _remedy_access(path: str) -> str:
    return f"add the user to the group that owns {path}, on Raspberry Pi OS: sudo usermod -aG gpio $USER"
