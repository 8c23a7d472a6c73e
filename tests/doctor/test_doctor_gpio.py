"""Pins that are taken, not there, or active before anybody holds them."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from doctor_machine import Machine, channel, document, findings
from doctor_machine import gpio as header

from echostream.doctor import gpio
from echostream.doctor.model import Level
from echostream.hardware.gpio_uapi import FLAG_USED, LineInfo
from echostream.hardware.ptt_list import Listed, Place, format_list

look = partial(findings, gpio.checks)


def configure(machine: Machine, **lines: Any) -> None:
    machine.configure(document(channels=[channel(**lines)]))


def held(consumer: str) -> LineInfo:
    return LineInfo(True, consumer, FLAG_USED)


def test_free_lines_and_the_gateways_own_are_fine(machine: Machine) -> None:
    configure(machine, ptt={"pin": 20}, key={"pin": 12})
    found = look(machine.world(gpio=header({12: held("echostream-ptt")})))
    assert {code: [one.place for one in ones] for code, ones in found.items()} == {
        "gpio.chip": ["gpio.chip"],
        "gpio.free": ["channel fire, ptt"],
        "gpio.ours": ["channel fire, key"],
    }


@pytest.mark.parametrize(
    ("consumer", "helps"),
    [("spi0 CS0", "dtparam=spi=off"), ("onewire@4", "stop what holds it"), ("w1_gpio", "w1-gpio")],
)
def test_a_line_that_somebody_holds_says_who_and_how_to_free_it(
    machine: Machine, consumer: str, helps: str
) -> None:
    configure(machine, ptt={"pin": 8})
    [taken] = look(machine.world(gpio=header({8: held(consumer)})))["gpio.taken"]
    assert taken.level is Level.FAILURE
    assert f'"{consumer}"' in taken.found
    assert helps in taken.remedy


def test_a_machine_without_a_header_fails_only_where_pins_are_wanted(machine: Machine) -> None:
    configure(machine, ptt={"pin": 20})
    assert "gpio.no_chip" in look(machine.world(gpio=header(label="")))
    machine.configure(document())
    assert set(look(machine.world(gpio=header(label="")))) == {"gpio.unused"}


def test_a_line_that_the_chip_does_not_have(machine: Machine) -> None:
    configure(machine, ptt={"pin": 45})
    [missing] = look(machine.world())["gpio.no_line"]
    assert "no line 45: Invalid argument" in missing.found


@pytest.mark.parametrize(
    ("pin", "active_low", "keyed"),
    [
        (5, False, True),
        (5, True, False),
        (12, False, False),
        (12, True, True),
        (27, True, True),
        (30, True, False),
    ],
)
def test_a_key_line_that_the_pull_at_power_on_makes_active(
    machine: Machine, pin: int, active_low: bool, keyed: bool
) -> None:
    configure(machine, key={"pin": pin, "active_low": active_low})
    found = look(machine.world())
    assert ("gpio.keyed_at_boot" in found) is keyed
    if keyed:
        better = "9 to 27" if not active_low else "4 to 8"
        assert f"BCM {better}" in found["gpio.keyed_at_boot"][0].remedy


def test_a_button_is_no_key_line(machine: Machine) -> None:
    configure(machine, ptt={"pin": 5})
    assert "gpio.keyed_at_boot" not in look(machine.world())


def test_pins_with_another_life(machine: Machine) -> None:
    machine.write("/proc/cmdline", "console=serial0,115200 console=tty1 root=/dev/mmcblk0p2")
    configure(machine, ptt={"pin": 3, "pull": "down"}, cos={"pin": 14}, key={"pin": 0, "active_low": True})
    found = look(machine.world())
    assert found["gpio.board_pull"][0].place == "channel fire, ptt"
    assert found["gpio.console"][0].place == "channel fire, cos"
    assert found["gpio.eeprom"][0].place == "channel fire, key"


def test_a_channel_that_is_switched_off_wants_no_pin(machine: Machine) -> None:
    other = channel(id="other")
    machine.configure(document(channels=[channel(ptt={"pin": 8}, enabled=False), other]))
    assert set(look(machine.world(gpio=header({8: held("spi0 CS0")})))) == {"gpio.unused"}


def test_the_guards_list_and_what_does_not_read_of_it(machine: Machine) -> None:
    place = Place(False, "/dev/gpiochip0", 12)
    text = format_list([Listed("echostream", place, False, "pinctrl-bcm2711")]) + "rubbish\n"
    machine.write(gpio.LIST, text)
    found = look(machine.world())
    assert found["gpio.listed"][0].found.endswith("1 lines, also while no gateway runs: BCM 12")
    assert found["gpio.list_torn"][0].level is Level.WARNING
