"""Two channels that want one thing: the earlier has it, the later is left out and told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from config_documents import (
    Document,
    channels_of,
    small,
)

from echostream.config.load import Severity


def spoil_id(channels: list[Document]) -> str:
    channels[1]["id"] = "a"
    return "channels[1].id"


def spoil_card(channels: list[Document]) -> str:
    channels[1]["card"] = "usb:1-1.1"
    return "channels[1].card"


def spoil_side(channels: list[Document]) -> str:
    channels[0] |= {"card": "Device", "side": "left"}
    channels[1] |= {"card": "alsa:Device", "side": "left"}
    return "channels[1].side"


def spoil_pin(channels: list[Document]) -> str:
    channels[0]["ptt"] = {"pin": 20}
    channels[1]["cos"] = {"pin": 20}
    return "channels[1].cos.pin"


def spoil_pin_within(channels: list[Document]) -> str:
    channels[1] |= {"ptt": {"pin": 20}, "key": {"pin": 20}}
    return "channels[1].key.pin"


def spoil_card_line(channels: list[Document]) -> str:
    channels[0] |= {"card": "Device", "side": "left", "key": {"cm108": True}}
    channels[1] |= {"card": "Device", "side": "right", "key": {"cm108": True}}
    return "channels[1].key.cm108"


def spoil_line_of_no_card(channels: list[Document]) -> str:
    channels[1] |= {"card": "none", "cos": {"cm108": True}}
    return "channels[1].cos.cm108"


def spoil_index(channels: list[Document]) -> str:
    channels[1]["card"] = "hw:1,0"
    return "channels[1].card"


def spoil_two_lines(channels: list[Document]) -> str:
    channels[1]["key"] = {"pin": 12, "cm108": True}
    return "channels[1].key"


def spoil_no_line(channels: list[Document]) -> str:
    channels[1]["cos"] = {}
    return "channels[1].cos"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_id,
        spoil_card,
        spoil_side,
        spoil_pin,
        spoil_pin_within,
        spoil_card_line,
        spoil_line_of_no_card,
        spoil_index,
        spoil_two_lines,
        spoil_no_line,
    ],
)
def test_the_later_of_two_that_clash_is_left_out(spoil: Callable[[list[Document]], str]) -> None:
    document = small()
    path = spoil(document["channels"])
    _, ids, dropped = channels_of(document)
    assert ids == ["a"]
    assert list(dropped) == [path]
    assert dropped[path].severity is Severity.DROPPED


def test_left_and_right_of_one_card_are_two_channels() -> None:
    document = small()
    for channel, side in zip(document["channels"], ("left", "right"), strict=True):
        channel |= {"card": "Device", "side": side}
    assert channels_of(document)[1] == ["a", "b"]


def test_a_channel_that_is_off_takes_no_pin_and_no_card() -> None:
    document = small()
    document["channels"][0] |= {"ptt": {"pin": 20}, "enabled": False}
    document["channels"][1] |= {"ptt": {"pin": 20}, "card": "usb:1-1.1"}
    assert channels_of(document)[1] == ["a", "b"]


def test_a_channel_that_is_left_out_takes_no_pin() -> None:
    document = small()
    document["channels"][0] |= {"ptt": {"pin": 20}, "tot_s": -1}
    document["channels"][1] |= {"ptt": {"pin": 20}}
    assert channels_of(document)[1] == ["b"]


def test_any_number_of_channels_may_have_no_card() -> None:
    document = small()
    for channel in document["channels"]:
        channel["card"] = "none"
    assert channels_of(document)[1] == ["a", "b"]
