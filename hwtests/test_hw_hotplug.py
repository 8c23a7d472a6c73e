"""Unplug a USB sound card, plug it in again: how soon it is noticed, and whether each port has its own card.

Somebody has to do it: ECHOSTREAM_HOTPLUG=1 make hwtest ARGS="-k hotplug". With two cards plugged in, they are
also plugged in again in the other order.
"""

from __future__ import annotations

import os
import threading
import time

import pytest

from echostream.audio.ports import AudioSource, CardSpec
from echostream.errors import DeviceLost, DeviceMissing, EchoStreamError
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.card_identity import AlsaCard, find_card
from hwtests.hands import Hands
from hwtests.here import open_cards
from hwtests.machine import SLACK, by_port, kernel, usb_cards

NOTICED_S = 1.0 * SLACK
BACK_S = 5.0 * SLACK
MOVING_FRAMES = 25


@pytest.fixture
def hands() -> Hands:
    if os.environ.get("ECHOSTREAM_HOTPLUG") != "1":
        pytest.skip("set ECHOSTREAM_HOTPLUG=1 when you stand at the machine and can unplug a sound card")
    return Hands()


@pytest.fixture
def cards(hands: Hands) -> list[AlsaCard]:
    found = usb_cards()
    if not found:
        pytest.skip("no USB sound card with output and input is plugged in")
    return found


def there(name: str) -> bool:
    return find_card(name, kernel().cards()) is not None


def pull(hands: Hands, name: str) -> float:
    return hands.ask("pull", name, f"Unplug the sound card at {name}.", lambda: not there(name))


def plug(hands: Hands, name: str) -> float:
    return hands.ask("plug", name, f"Plug it in again, at the same port ({name}).", lambda: there(name))


def open_within(hardware: AudioHardware, name: str, limit_s: float) -> AudioSource:
    """As a channel does: try again while the card is not ready."""
    deadline_s = time.monotonic() + limit_s
    while True:
        try:
            return hardware.open_source(CardSpec(name))
        except (DeviceMissing, DeviceLost):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.05)


def read_on(source: AudioSource, frames: int) -> None:
    for _ in range(frames):
        source.read()


class Reader:
    """Reads in a thread of its own until it is told that the card is gone."""

    def __init__(self, source: AudioSource) -> None:
        self.error: EchoStreamError | None = None
        self.ended_s = 0.0
        self._source = source
        self._thread = threading.Thread(target=self._run, name="hwtest-read", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)
        assert self.error is not None, f"still waits for the card after {timeout_s:.0f} s"

    def _run(self) -> None:
        try:
            read_on(self._source, 1 << 30)
        except EchoStreamError as error:
            self.error, self.ended_s = error, time.monotonic()


def test_hotplug_is_noticed_and_the_card_comes_back(hands: Hands, cards: list[AlsaCard]) -> None:
    name = by_port(cards[0])
    hardware = open_cards(name)
    try:
        source = open_within(hardware, name, BACK_S)
        read_on(source, MOVING_FRAMES)
        reader = Reader(source)
        gone_s = pull(hands, name)
        reader.wait(NOTICED_S + 1)
        source.close()
        assert isinstance(reader.error, DeviceLost)
        print(f"{name}: noticed {max(0.0, reader.ended_s - gone_s) * 1000:.0f} ms after the kernel did")
        assert reader.ended_s - gone_s < NOTICED_S
        with pytest.raises(DeviceMissing):
            hardware.open_source(CardSpec(name))
        back_s = plug(hands, name)
        source = open_within(hardware, name, BACK_S)
        read_on(source, MOVING_FRAMES)
        source.close()
        print(f"{name}: heard again {time.monotonic() - back_s:.1f} s after the kernel had it")
    finally:
        hardware.close()


def test_hotplug_in_the_other_order_leaves_each_port_its_card(hands: Hands, cards: list[AlsaCard]) -> None:
    if len(cards) < 2:
        pytest.skip("only one USB sound card is plugged in: two show that their ports tell them apart")
    names = [by_port(card) for card in cards[:2]]
    hardware = open_cards(*names)
    try:
        for name in names:
            pull(hands, name)
        for name in reversed(names):
            plug(hands, name)
        for before, name in zip(cards[:2], names, strict=True):
            source = open_within(hardware, name, BACK_S)
            read_on(source, MOVING_FRAMES)
            source.close()
            now = find_card(name, kernel().cards())
            assert now is not None
            print(f"{name}: was {before.alsa_id} (number {before.index}), is {now.alsa_id} ({now.index})")
            assert now.port == before.port
            assert now.long_name == before.long_name, f"another card sits in {name} now"
    finally:
        hardware.close()
