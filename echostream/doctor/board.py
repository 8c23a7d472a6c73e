"""Group `board`: heat, cooling and power of the machine."""

from __future__ import annotations

from typing import Final

from echostream.doctor.model import Check, Finding, Kind, Level
from echostream.doctor.world import World
from echostream.vitals.board import Board
from echostream.vitals.firmware import MAILBOX

WARM_C: Final = 70.0
HOT_C: Final = 80.0
"""At 80 °C the firmware of a Pi begins to slow the processor down (raspberrypi.com, Frequency management)."""

MODEL: Final = Kind("board.model", Level.OK, "{model}")
NO_PI: Final = Kind(
    "board.no_pi", Level.NOTE, "not a Raspberry Pi: heat and power are known only as far as this machine says"
)
COOL: Final = Kind("board.temperature", Level.OK, "processor at {celsius:.0f} °C")
WARM: Final = Kind(
    "board.warm",
    Level.WARNING,
    "processor at {celsius:.0f} °C; from 80 °C on it is slowed down",
    "a heat sink or fan, holes in the case, a place out of the sun",
)
HOT: Final = Kind(
    "board.hot",
    Level.FAILURE,
    "processor at {celsius:.0f} °C: it is slowed down, and audio may break up",
    "a heat sink or fan, holes in the case, a place out of the sun",
)
NO_SENSOR: Final = Kind("board.no_sensor", Level.NOTE, "no temperature sensor is readable")
SUPPLY: Final = Kind("board.supply", Level.OK, "the power supply holds its voltage")
LOW: Final = Kind(
    "board.under_voltage",
    Level.FAILURE,
    "the supply is below 4.63 V now: USB cards drop out, files break",
    "the official supply of this model, a short thick cable; a powered hub for the sound cards",
)
WAS_LOW: Final = Kind(
    "board.was_under_voltage",
    Level.WARNING,
    "the supply was below 4.63 V since the start, as when a radio or a disk draws current",
    "the official supply of this model, a short thick cable; a powered hub for the sound cards",
)
SLOWED: Final = Kind(
    "board.throttled",
    Level.WARNING,
    "the firmware slows the processor down now",
    "look at temperature and power above: one of the two is why",
)
SUPPLY_UNKNOWN: Final = Kind(
    "board.supply_unknown",
    Level.NOTE,
    "the firmware does not answer about the power supply",
    "the user must be in the group video, which owns /dev/vcio: sudo usermod -aG video {user}",
)
WEAK_SUPPLY: Final = Kind(
    "board.weak_supply",
    Level.WARNING,
    "the supply offers {ma} mA, so all USB ports together get 600 mA",
    "a 5 V 5 A supply for a Pi 5; where it has no USB-PD: usb_max_current_enable=1 in "
    "/boot/firmware/config.txt",
)
FAN: Final = Kind("board.fan", Level.OK, "fan at {rpm} rpm")
FAN_STANDS: Final = Kind(
    "board.fan_stands",
    Level.WARNING,
    "the fan stands although the processor is at {celsius:.0f} °C",
    "look whether it is blocked or its plug is loose",
)
FAN_FROM_C: Final = 60.0
LEAST_MA: Final = 5000


def checks(world: World) -> list[Check]:
    """Of this group."""
    return [Check("board", "model", _model), Check("board", "heat", _heat), Check("board", "supply", _supply)]


def model_of(world: World) -> str:
    """ "Raspberry Pi 4 Model B Rev 1.4"; "" where the device tree says nothing."""
    return world.text("/proc/device-tree/model")


def is_pi(world: World) -> bool:
    """Whether this is a Raspberry Pi."""
    return "Raspberry Pi" in model_of(world)


def _model(world: World) -> list[Finding]:
    model = model_of(world)
    findings = [MODEL.at(model=model)] if model else []
    return findings if is_pi(world) else [*findings, NO_PI.at()]


def _board(world: World) -> Board:
    return Board(world.path("/sys"), world.path(MAILBOX))


def _heat(world: World) -> list[Finding]:
    celsius = _board(world).temperature_c()
    if celsius is None:
        return [NO_SENSOR.at()]
    kind = HOT if celsius >= HOT_C else WARM if celsius >= WARM_C else COOL
    findings = [kind.at(celsius=celsius)]
    for path in world.glob("/sys/class/hwmon/hwmon*/fan1_input"):
        rpm = world.number(f"/sys/class/hwmon/{path.parent.name}/fan1_input")
        if rpm:
            findings.append(FAN.at(rpm=rpm))
        elif rpm == 0 and celsius >= FAN_FROM_C:
            findings.append(FAN_STANDS.at(celsius=celsius))
    return findings


def _supply(world: World) -> list[Finding]:
    supply = _board(world).supply()
    findings = []
    if supply.under_voltage:
        findings.append(LOW.at())
    elif supply.was_under_voltage:
        findings.append(WAS_LOW.at())
    elif supply.under_voltage is not None:
        findings.append(SUPPLY.at())
    elif is_pi(world):
        findings.append(SUPPLY_UNKNOWN.at(user=world.account.name))
    if supply.throttled:
        findings.append(SLOWED.at())
    if "Raspberry Pi 5" in model_of(world):
        ma = int.from_bytes(_cells(world, "max_current"), "big")
        if 0 < ma < LEAST_MA and not any(_cells(world, "usb_max_current_enable")):
            findings.append(WEAK_SUPPLY.at(ma=ma))
    return findings


def _cells(world: World, name: str) -> bytes:
    """What the boot loader wrote of the supply into the device tree: 32 bits, big-endian; b"" without."""
    try:
        return world.path(f"/proc/device-tree/chosen/power/{name}").read_bytes()[:4]
    except OSError:
        return b""
