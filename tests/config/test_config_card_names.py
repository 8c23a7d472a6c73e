"""Which names of cards a configuration may have."""

from __future__ import annotations

import pytest

from echostream.config.load import InvalidConfig, parse_config


def with_card(card: str) -> dict[str, object]:
    return {
        "gateway": {"id": "g", "affiliation_id": "g"},
        "control_server": {"url": "ws://127.0.0.1:8765"},
        "channels": [{"id": "a", "card": card}],
    }


@pytest.mark.parametrize(
    "card",
    [
        *(
            "usb:1-1.2",
            "usb:10-1.2.3.4",
            "usb:3-2",
            "Device",
            "alsa:Device",
            "plughw:CARD=Device,DEV=0",
            "studio",
        ),
        *("usb:0000:01:00.0-1.2", "usb:1f00200000.usb-1", "usb:ci_hdrc.0-1.4.1"),
    ],
)
def test_name_that_stays_the_same_is_taken(card: str) -> None:
    assert parse_config(with_card(card), "test").config.channels[0].card == card


@pytest.mark.parametrize(
    ("card", "says"),
    [
        *((card, "an index changes at every boot") for card in ("0", "hw:1", "plughw:2,0")),
        *(
            (card, "is written like")
            for card in ("usb:", "usb:1", "usb:1.2", "usb:1-1:1.0", "usb:1-1-2", "usb:x-")
        ),
    ],
)
def test_name_that_means_no_card_is_refused_with_a_remedy(card: str, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        parse_config(with_card(card), "test")
