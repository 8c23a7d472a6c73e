"""Group `gpio`: the header's chip, who holds the configured lines, and what they do while the Pi starts.

At power-on the pins of a Raspberry Pi are inputs with weak resistors: BCM 0 to 8 pulled up, 9 to 27 pulled
down (BCM2835 ARM Peripherals, table 6-31; the RP1 of the Pi 5 keeps that). On the board BCM 2 and 3 have
1.8 kΩ to 3.3 V.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from echostream.config.models import Config
from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.errors import GpioError
from echostream.hardware.gpio_uapi import ChipInfo
from echostream.hardware.ptt_list import read_list

CHIP: Final = Kind("gpio.chip", Level.OK, "{path} ({label}), {lines} lines")
NO_CHIP: Final = Kind(
    "gpio.no_chip",
    Level.FAILURE,
    "the header's chip cannot be used: {why}",
    "`echostream devices` lists the chips; elsewhere leave out the pins, or run with --simulate missing",
)
UNUSED: Final = Kind("gpio.unused", Level.NOTE, "the configuration names no pin")
FREE: Final = Kind("gpio.free", Level.OK, "BCM {pin} is free")
OURS: Final = Kind("gpio.ours", Level.OK, 'BCM {pin} is held by "{holder}"')
TAKEN: Final = Kind(
    "gpio.taken",
    Level.FAILURE,
    "BCM {pin} is held by {holder}",
    "choose another pin, or free this one: {how}",
)
NO_LINE: Final = Kind(
    "gpio.no_line", Level.FAILURE, "{path} has no line {pin}: {why}", "a Pi's header has BCM 0 to 27"
)
KEYED_AT_BOOT: Final = Kind(
    "gpio.keyed_at_boot",
    Level.WARNING,
    "BCM {pin} is {level} from power-on until the guard starts, which keys the radio",
    "choose one of BCM {better} for it, or an interface that keys the other way (docs/hardware.md)",
)
ON_BOARD_PULL: Final = Kind(
    "gpio.board_pull",
    Level.WARNING,
    'BCM {pin} has a fixed resistor of 1.8 kΩ to 3.3 V on the board: pull "{pull}" does not hold against it',
    "choose a pin other than BCM 2 and 3",
)
EEPROM: Final = Kind(
    "gpio.eeprom",
    Level.WARNING,
    "BCM {pin} is driven by the firmware at each start, to ask for the EEPROM of a HAT",
    "choose a pin other than BCM 0 and 1",
)
CONSOLE: Final = Kind(
    "gpio.console",
    Level.WARNING,
    "BCM {pin} is the serial console, which writes on it: {console}",
    "sudo raspi-config, Interface Options, Serial Port: no login shell; or choose another pin",
)
LISTED: Final = Kind(
    "gpio.listed", Level.OK, "the guard holds {count} lines, also while no gateway runs: {pins}"
)
TORN: Final = Kind(
    "gpio.list_torn",
    Level.WARNING,
    "{torn} lines of the guard's list do not read: they are not held before a gateway comes",
    "sudo systemctl restart echostream, which writes it anew",
)
LIST: Final = "/var/lib/echostream-ptt/lines"
"""What the guard keeps of the lines that it holds."""
PULLED_UP: Final = range(9)
PULLED_DOWN: Final = range(9, 28)
_KEEPERS: Final = ("echostream",)
"""How the lines of the gateway and of its guard are labelled."""
_OVERLAYS: Final = (
    ("spi", "dtparam=spi=off in /boot/firmware/config.txt"),
    ("i2c", "dtparam=i2c_arm=off in /boot/firmware/config.txt"),
    ("w1", "take dtoverlay=w1-gpio out of /boot/firmware/config.txt"),
    ("i2s", "dtparam=i2s=off in /boot/firmware/config.txt"),
    ("led", "take the gpio-led overlay out of /boot/firmware/config.txt"),
)


@dataclass(frozen=True, slots=True)
class Use:
    """One configured line. place: whose it is; what: "ptt", "cos" or "key"."""

    place: str
    what: str
    pin: int
    active_low: bool
    pull: str


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("gpio", "lines", _lines), Check("gpio", "boot", _boot), Check("gpio", "guard", _guard)]


def uses(config: Config) -> Iterator[Use]:
    """The lines of the channels that are switched on."""
    for channel in config.channels:
        if not channel.enabled:
            continue
        place = f"channel {channel.id}"
        if channel.ptt is not None:
            yield Use(f"{place}, ptt", "ptt", channel.ptt.pin, channel.ptt.active_low, channel.ptt.pull)
        if channel.cos is not None and channel.cos.pin is not None:
            yield Use(f"{place}, cos", "cos", channel.cos.pin, channel.cos.active_low, channel.cos.pull)
        if channel.key is not None and channel.key.pin is not None:
            yield Use(f"{place}, key", "key", channel.key.pin, channel.key.active_low, "none")


def _lines(world: World) -> list[Finding]:
    if world.config is None:
        return []
    wanted = list(uses(world.config))
    if not wanted:
        return [UNUSED.at()]
    try:
        chip = world.gpio.find(world.config.gpio.chip)
    except GpioError as error:
        return [NO_CHIP.at("gpio.chip", why=error)]
    found = [CHIP.at("gpio.chip", path=chip.path, label=chip.label, lines=chip.lines)]
    return [*found, *(_line(use, chip, world) for use in wanted)]


def _line(use: Use, chip: ChipInfo, world: World) -> Finding:
    try:
        line = world.gpio.line(chip.path, use.pin)
    except OSError as error:
        return NO_LINE.at(use.place, path=chip.path, pin=use.pin, why=error.strerror or error)
    if not line.used:
        return FREE.at(use.place, pin=use.pin)
    if line.consumer.startswith(_KEEPERS):
        return OURS.at(use.place, pin=use.pin, holder=line.consumer)
    how = next((how for sign, how in _OVERLAYS if sign in line.consumer.lower()), "stop what holds it")
    holder = f'"{line.consumer}"' if line.consumer else "the kernel or another program"
    return TAKEN.at(use.place, pin=use.pin, holder=holder, how=how)


def _boot(world: World) -> list[Finding]:
    if world.config is None:
        return []
    return [finding for use in uses(world.config) for finding in _of_pin(use, world)]


def _of_pin(use: Use, world: World) -> Iterator[Finding]:
    high = use.pin in PULLED_UP
    if use.what == "key" and (high or use.pin in PULLED_DOWN) and high != use.active_low:
        better = "4 to 8" if use.active_low else "9 to 27"
        yield KEYED_AT_BOOT.at(use.place, pin=use.pin, level="high" if high else "low", better=better)
    if use.pin in (2, 3) and use.pull == "down":
        yield ON_BOARD_PULL.at(use.place, pin=use.pin, pull=use.pull)
    if use.pin in (0, 1):
        yield EEPROM.at(use.place, pin=use.pin)
    console = next((word for word in world.text("/proc/cmdline").split() if word.startswith(_CONSOLES)), None)
    if use.pin in (14, 15) and console is not None:
        yield CONSOLE.at(use.place, pin=use.pin, console=console)


def _guard(world: World) -> list[Finding]:
    lines, torn = read_list(str(world.path(LIST)))
    findings = []
    if lines:
        pins = ", ".join(
            f"CM108 {line.place.path}" if line.place.cm108 else f"BCM {line.place.pin}" for line in lines
        )
        findings.append(LISTED.at(LIST, count=len(lines), pins=pins))
    return [*findings, TORN.at(LIST, torn=torn)] if torn else findings


_CONSOLES: Final = ("console=serial0", "console=ttyAMA0", "console=ttyS0", "console=ttyAMA10")
