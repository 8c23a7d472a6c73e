"""For a real Raspberry Pi: finds out what is wired, and skips with the reason what is not.

Wiring: BCM 20 (header pin 38) to BCM 21 (pin 40) with a jumper; a USB sound card with its output cabled to
its input; a CM108-type card. `make hwtest`, or `pytest hwtests`. Stop the gateway first: it holds the pins.
docs/hardware.md lists every test with what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from echostream.errors import GpioError
from echostream.hardware.gpio import ChipInfo, find_chip
from hwtests.jumper import Wire, make_wire
from hwtests.machine import HOW, IN_PIN, OUT_PIN, by_port, usb_cards


@pytest.fixture(scope="session")
def chip() -> ChipInfo:
    """The header's chip."""
    try:
        return find_chip()
    except GpioError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def jumper(chip: ChipInfo) -> None:
    """Skips where the two pins are not connected."""
    wire = make_wire(chip, 0)
    try:
        if not wire.follows():
            pytest.skip(f"BCM {IN_PIN} does not follow BCM {OUT_PIN}: {HOW}")
    finally:
        wire.close()


@pytest.fixture
def wire(chip: ChipInfo, jumper: None) -> Iterator[Wire]:
    """The jumper without debounce."""
    wire = make_wire(chip, 0)
    yield wire
    wire.close()


@pytest.fixture
def debounced(chip: ChipInfo, jumper: None) -> Iterator[Wire]:
    """The jumper with 20 ms of debounce."""
    wire = make_wire(chip, 20)
    yield wire
    wire.close()


@pytest.fixture(scope="session")
def sound_card() -> str:
    """Name of the card under test: $ECHOSTREAM_CARD, else the first USB card that plays and captures."""
    named = os.environ.get("ECHOSTREAM_CARD")
    if named:
        return named
    cards = usb_cards()
    if not cards:
        pytest.skip("no USB sound card with output and input is plugged in (ECHOSTREAM_CARD names another)")
    return by_port(cards[0])
