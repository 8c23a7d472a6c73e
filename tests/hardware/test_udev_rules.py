"""The udev rules: who may use which HID device, which card is called what, and whom they leave alone."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from udev_rules import Device, apply_rules, read_rules

from echostream.hardware.cm108_hid import ALL_IN_ONE_CABLE, CMEDIA, SSS

FILE = Path(__file__).parents[2] / "systemd/echostream.udev"
RULES = read_rules(FILE)
STABLE = "/etc/echostream/stable-card-ids"
MAKES = [(CMEDIA, 0x013C), (CMEDIA, 0x0012), (SSS, 0x1605), ALL_IN_ONE_CABLE]
STRANGERS = [(0x046D, 0xC31C), (0x1209, 0x0001), (0x1D6B, 0x0002)]


def usb(make: tuple[int, int], port: str = "1-1.2", interfaces: str = ":010100:010200:030000:") -> Device:
    """The USB device of a card. Interfaces as udev notes them: audio control, audio streaming, HID."""
    return Device(
        port,
        "usb",
        driver="usb",
        attributes={"idVendor": f"{make[0]:04x}", "idProduct": f"{make[1]:04x}"},
        environment={"DEVTYPE": "usb_device", "ID_USB_INTERFACES": interfaces},
        parents=[Device("usb1", "usb", driver="usb", attributes={"idVendor": "1d6b", "idProduct": "0002"})],
        paths={"power/control"},
    )


def below(device: Device, kernel: str, subsystem: str, interface: int, *paths: str) -> Device:
    """What the kernel makes of one of a USB device's interfaces."""
    between = Device(
        f"{device.kernel}:1.{interface}", "usb", driver="usbhid" if interface else "snd-usb-audio"
    )
    return Device(kernel, subsystem, parents=[between, device, *device.parents], paths=set(paths))


@pytest.mark.parametrize("make", MAKES)
@pytest.mark.parametrize("action", ["add", "change"])
def test_lines_of_a_card_are_for_the_group_audio(make: tuple[int, int], action: str) -> None:
    assigned = apply_rules(RULES, action, below(usb(make), "hidraw0", "hidraw", 3))
    assert assigned == {"GROUP": "audio", "MODE": "0660"}


@pytest.mark.parametrize("make", STRANGERS)
@pytest.mark.parametrize("subsystem", ["hidraw", "input"])
def test_other_devices_are_left_alone(make: tuple[int, int], subsystem: str) -> None:
    keyboard = usb(make, interfaces=":030101:")
    assert apply_rules(RULES, "add", below(keyboard, "hidraw0", subsystem, 3)) == {}
    assert apply_rules(RULES, "add", keyboard) == {}


@pytest.mark.parametrize("make", MAKES)
def test_squelch_is_no_volume_key(make: tuple[int, int]) -> None:
    assigned = apply_rules(RULES, "add", below(usb(make), "event3", "input", 3))
    assert assigned == {"ENV{LIBINPUT_IGNORE_DEVICE}": "1"}


@pytest.mark.parametrize("make", [*MAKES, (0x046D, 0x0A44)])
def test_no_sound_card_is_put_to_sleep(make: tuple[int, int]) -> None:
    assert apply_rules(RULES, "add", usb(make)) == {"ATTR{power/control}": "on"}


def test_ids_are_the_kernels_unless_they_are_asked_to_be_stable() -> None:
    assert apply_rules(RULES, "add", below(usb(MAKES[0]), "card1", "sound", 0)) == {}


@pytest.mark.parametrize(
    ("port", "alsa_id"),
    [
        ("1-1.2", "usb1-1_2"),
        ("3-2", "usb3-2"),
        ("1-1.4.3.1", "usb1-1_4_3_1"),
        ("10-1.2.3.4.5", "usb10-1_2_3_4_5"),
    ],
)
def test_stable_id_is_made_of_the_port_and_one_that_the_kernel_takes(port: str, alsa_id: str) -> None:
    card = below(usb(MAKES[0], port), "card1", "sound", 0, STABLE)
    assert apply_rules(RULES, "add", card) == {"ATTR{id}": alsa_id}
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,15}", alsa_id), "sound/core/init.c: id_store"
    assert apply_rules(RULES, "change", card) == {}, "only when it comes: a card in use keeps its name"
    assert apply_rules(RULES, "add", below(usb(MAKES[0]), "pcmC1D0p", "sound", 0, STABLE)) == {}


def test_card_of_the_board_keeps_its_id() -> None:
    headphones = Device(
        "card0", "sound", parents=[Device("soc", "platform", driver="bcm2835_audio")], paths={STABLE}
    )
    assert apply_rules(RULES, "add", headphones) == {}


@pytest.mark.skipif(
    shutil.which("udevadm") is None
    or int(subprocess.run(["udevadm", "--version"], capture_output=True, text=True, check=True).stdout) < 254,
    reason="no udevadm that can verify (systemd 254) on this machine",
)
def test_udev_itself_has_nothing_to_say_against_them(tmp_path: Path) -> None:
    rules = tmp_path / "60-echostream.rules"
    rules.write_bytes(FILE.read_bytes())
    done = subprocess.run(["udevadm", "verify", str(rules)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
