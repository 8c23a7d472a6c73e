"""Which card is meant: real layouts of a Raspberry Pi, twins, shuffled order, rubbish."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.errors import ConfigError
from echostream.hardware.card_identity import (
    AlsaCard,
    Half,
    Kernel,
    card_behind,
    find_card,
    may_be_pcm,
    parse_cards,
    parse_stream,
)
from echostream.hardware.card_listing import list_cards

CM108 = """C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-1.2, full spe : USB Audio

Playback:
  Status: Stop
  Interface 1
    Altset 1
    Format: S16_LE
    Channels: 2
    Endpoint: 0x01 (1 OUT) (ADAPTIVE)
    Rates: 48000, 44100
    Bits: 16
    Channel map: FL FR

Capture:
  Status: Stop
  Interface 2
    Altset 1
    Format: S16_LE
    Channels: 1
    Endpoint: 0x82 (2 IN) (ASYNC)
    Rates: 48000, 44100
    Bits: 16
    Channel map: MONO
"""
BUILT_IN = [
    ("Headphones", "bcm2835_headpho - bcm2835 Headphones", "bcm2835 Headphones", "", ["pcm0p"], ""),
    ("vc4hdmi0", "vc4-hdmi - vc4-hdmi-0", "vc4-hdmi-0", "", ["pcm0p"], ""),
]


def usb(alsa_id: str, port: str) -> tuple[str, str, str, str, list[str], str]:
    long_name = f"C-Media Electronics Inc. USB PnP Sound Device at usb-0000:01:00.0-{port[2:]}, full speed"
    return alsa_id, "USB-Audio - USB PnP Sound Device", long_name, port, ["pcm0p", "pcm0c"], CM108


def pi(root: Path, cards: list[tuple[str, str, str, str, list[str], str]]) -> Kernel:
    """The trees that the kernel shows for these cards, in this order."""
    kernel = Kernel(root / "proc", root / "sys/class/sound")
    kernel.proc.mkdir(parents=True)
    kernel.sys.mkdir(parents=True)
    lines = []
    for index, (alsa_id, driver, long_name, port, pcms, stream) in enumerate(cards):
        lines.append(f"{index:2d} [{alsa_id:15s}]: {driver}\n                      {long_name}\n")
        folder = kernel.proc / f"card{index}"
        folder.mkdir()
        for pcm in pcms:
            (folder / pcm).mkdir()
        if stream:
            (folder / "stream0").write_text(stream)
        device = root / (
            f"sys/devices/platform/scb/usb1/1-1/{port}/{port}:1.0" if port else f"sys/devices/p/{alsa_id}"
        )
        (device / f"sound/card{index}").mkdir(parents=True)
        (device / f"sound/card{index}/device").symlink_to(device)
        (kernel.sys / f"card{index}").symlink_to(device / f"sound/card{index}")
    (kernel.proc / "cards").write_text("".join(lines) or "--- no soundcards ---\n")
    return kernel


def test_pi_with_one_usb_card(tmp_path: Path) -> None:
    kernel = pi(tmp_path, [*BUILT_IN, usb("Device", "1-1.2")])
    card = find_card("usb:1-1.2", kernel.cards())
    assert card is not None
    assert (card.index, card.alsa_id, card.port) == (2, "Device", "1-1.2")
    assert card.capture == Half(0, (44100, 48000), (1,))
    assert card.playback == Half(0, (44100, 48000), (2,))
    assert card.pcm(capture=True) == "hw:CARD=Device,DEV=0"
    assert find_card("Device", kernel.cards()) == find_card("alsa:Device", kernel.cards()) == card
    assert find_card("Headphones", kernel.cards()).pcm(capture=True) is None  # type: ignore[union-attr]


@pytest.mark.parametrize("shuffled", [False, True])
def test_twins_are_told_apart_by_port_in_any_order(tmp_path: Path, shuffled: bool) -> None:
    ports = ["1-1.2", "1-1.3"]
    if shuffled:
        ports.reverse()
    twins = [usb("Device", ports[0]), usb("Device_1", ports[1])]
    order = [*twins, *BUILT_IN] if shuffled else [*BUILT_IN, *twins]
    cards = pi(tmp_path, order).cards()
    left = find_card("usb:1-1.2", cards)
    right = find_card("usb:1-1.3", cards)
    assert left is not None
    assert right is not None
    assert (left.alsa_id, right.alsa_id) == (("Device_1", "Device") if shuffled else ("Device", "Device_1"))
    assert left.pcm(capture=False) == f"hw:CARD={left.alsa_id},DEV=0"


def two_controllers(root: Path, order: tuple[str, str]) -> Kernel:
    """A machine that found its two controllers in this order: a card at port 2 of each, of one make."""
    kernel = Kernel(root / "proc", root / "sys/class/sound")
    for folder in (kernel.proc, kernel.sys, root / "sys/bus/usb/devices"):
        folder.mkdir(parents=True)
    lines = []
    for index, controller in enumerate(order):
        bus = root / f"sys/devices/{controller}/usb{index + 1}"
        interface = bus / f"{index + 1}-2/{index + 1}-2:1.0"
        (interface / f"sound/card{index}").mkdir(parents=True)
        (interface / f"sound/card{index}/device").symlink_to(interface)
        (kernel.sys / f"card{index}").symlink_to(interface / f"sound/card{index}")
        (root / f"sys/bus/usb/devices/usb{index + 1}").symlink_to(bus)
        alsa_id = "Device" if index == 0 else f"Device_{index}"
        lines.append(
            f" {index} [{alsa_id:15s}]: USB-Audio - USB PnP\n                      at {controller}\n"
        )
    (kernel.proc / "cards").write_text("".join(lines))
    return kernel


@pytest.mark.parametrize(
    ("one", "other", "name"),
    [
        ("pci0000:00/0000:00:14.0", "pci0000:00/0000:03:00.0", "usb:0000:00:14.0-2"),
        ("platform/1f00200000.usb/xhci-hcd.0", "platform/1f00300000.usb/xhci-hcd.1", "usb:1f00200000.usb-2"),
    ],
)
def test_controller_that_is_found_later_keeps_its_ports(
    tmp_path: Path, one: str, other: str, name: str
) -> None:
    """Its bus and its cards have other numbers and ids; the controller's address is the same."""
    before = two_controllers(tmp_path / "1", (one, other))
    renumbered = one.replace("xhci-hcd.0", "xhci-hcd.1"), other.replace("xhci-hcd.1", "xhci-hcd.0")
    after = two_controllers(tmp_path / "2", (renumbered[1], renumbered[0]))
    first, second = find_card(name, before.cards()), find_card(name, after.cards())
    assert first is not None
    assert second is not None
    assert (first.port, first.alsa_id, second.port, second.alsa_id) == ("1-2", "Device", "2-2", "Device_1")
    assert first.long_name == f"at {one}"
    assert second.long_name == f"at {renumbered[0]}"


def test_ports_are_offered_by_controller_where_buses_may_change(tmp_path: Path) -> None:
    pci = two_controllers(tmp_path / "pci", ("pci0000:00/0000:00:14.0", "pci0000:00/0000:03:00.0"))
    tree = two_controllers(tmp_path / "tree", ("platform/1f00200000.usb/xhci-hcd.0", "platform/fe980000.usb"))
    assert (pci.buses_may_change(), tree.buses_may_change()) == (True, False)
    offered = [info.name for info in list_cards(pci.cards(), (), (), by_place=True)]
    assert offered == ["usb:0000:00:14.0-2", "usb:0000:03:00.0-2"]
    assert not Kernel(tmp_path / "no/proc", tmp_path / "no/class/sound").buses_may_change()


def test_empty_port_is_nobodys(tmp_path: Path) -> None:
    assert find_card("usb:", pi(tmp_path, BUILT_IN).cards()) is None


@pytest.mark.parametrize(
    "name", ["hw:CARD=Device,DEV=0", "plughw:Device,0", "sysdefault:CARD=Device", "Device"]
)
def test_card_behind_a_pcm_name_is_watched(tmp_path: Path, name: str) -> None:
    cards = pi(tmp_path, [*BUILT_IN, usb("Device", "1-1.2")]).cards()
    assert card_behind(name, cards) == cards[2]
    assert card_behind("usb0", cards) is None


def test_absent_card_and_absent_kernel(tmp_path: Path) -> None:
    assert find_card("usb:1-1.2", pi(tmp_path, BUILT_IN).cards()) is None
    assert Kernel(tmp_path / "nothing", tmp_path / "nothing").cards() == ()
    assert Kernel(tmp_path / "nothing", tmp_path / "nothing").born(0) == 0


def test_card_that_came_back_is_another_life(tmp_path: Path) -> None:
    kernel = pi(tmp_path, [usb("Device", "1-1.2")])
    before = kernel.cards()[0].born
    assert kernel.born(0) == before != 0
    folder = (kernel.sys / "card0").resolve()
    folder.rename(folder.with_name("old"))
    assert kernel.born(0) == 0
    folder.mkdir()
    assert kernel.born(0) not in (0, before)


@pytest.mark.parametrize("name", ["0", "3", "hw:1", "hw:1,0", "plughw:2,0", "alsa:1"])
def test_index_is_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match="echostream devices"):
        find_card(name, ())


def test_names_that_only_the_kernel_can_know() -> None:
    assert may_be_pcm("usb0")
    assert may_be_pcm("hw:CARD=Device,DEV=0")
    assert not may_be_pcm("usb:1-1.2")
    assert not may_be_pcm("alsa:Device")


def test_continuous_rates_and_several_altsettings() -> None:
    text = "Capture:\n  Rates: 8000 - 48000 (continuous)\n  Channels: 1\n  Rates: 96000\n  Channels: 2\n"
    assert parse_stream(text) == {
        "Capture": ((8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000), (1, 2))
    }


def test_listing_names_ports_rates_and_directions(tmp_path: Path) -> None:
    class Listed:
        def __init__(self, name: str, inputs: int, outputs: int) -> None:
            self.name, self.max_inputs, self.max_outputs, self.default_hz = name, inputs, outputs, 44100

    cards = pi(tmp_path, [*BUILT_IN, usb("Device", "1-1.2"), usb("Device_1", "1-1.3")]).cards()
    listed = [
        Listed("bcm2835 Headphones: - (hw:0,0)", 0, 8),
        Listed("USB PnP Sound Device: Audio (hw:2,0)", 1, 2),
        Listed("sysdefault", 128, 128),
        Listed("samplerate_best", 128, 128),
        Listed("studio", 2, 2),
    ]
    infos = list_cards(cards, cards[:3], listed)
    assert [info.name for info in infos] == ["Headphones", "vc4hdmi0", "usb:1-1.2", "usb:1-1.3", "studio"]
    assert [info.alsa_id for info in infos] == ["Headphones", "vc4hdmi0", "Device", "Device_1", ""]
    assert [(info.max_inputs, info.max_outputs) for info in infos] == [(0, 8), (0, 2), (1, 2), (1, 2), (2, 2)]
    assert [info.portaudio_name for info in infos][2:] == [
        "USB PnP Sound Device: Audio (hw:2,0)",
        "",
        "studio",
    ]
    assert infos[3].port == "1-1.3"
    assert infos[2].rates_hz == (44100, 48000)
    assert not infos[0].captures
    assert infos[0].plays


@given(st.text(alphabet="0123456789 []:-\nabcUSB", max_size=400) | st.text(max_size=200))
def test_any_text_parses_to_cards_or_nothing(text: str) -> None:
    for index, alsa_id, long_name in parse_cards(text):
        assert index >= 0
        assert alsa_id == alsa_id.strip()
        assert "\n" not in long_name
    for rates, channels in parse_stream(text).values():
        assert list(rates) == sorted(set(rates))
        assert list(channels) == sorted(set(channels))


def test_card_without_a_half_has_no_pcm() -> None:
    card = AlsaCard(0, "Mic", "Mic", "", Half(1), None)
    assert card.pcm(capture=True) == "hw:CARD=Mic,DEV=1"
    assert card.pcm(capture=False) is None
