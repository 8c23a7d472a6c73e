"""Cards and real time: how late a wait ended is told, and the thread of a halved card is asked first."""

from __future__ import annotations

import threading

import pytest

from echostream.audio.format import silence
from echostream.audio.ports import CardSpec, TellsLateness
from echostream.hardware.audio_clock import SteppedClock, Waitable
from echostream.hardware.audio_streams import CardSink, CardSource
from echostream.hardware.shared_card import SharedCards

LATE_S = 0.003


class LateClock(SteppedClock):
    """Each wait ends so much later than it was asked for."""

    def wait(self, event: Waitable, duration_s: float) -> None:
        super().wait(event, duration_s + LATE_S)


class Raw:
    """A card that has a frame, or room for one, each time it is looked at for the second time."""

    def __init__(self, channels: int = 1) -> None:
        self.rate_hz, self.channels, self.capacity = 48_000, channels, 5760
        self.looks = 0
        self.closed = threading.Event()

    def available(self) -> int:
        self.looks += 1
        return 4800 if self.looks % 2 == 0 else 0

    def read(self, frames: int) -> bytes:
        return bytes(2 * frames * self.channels)

    def write(self, data: bytes, frames: int) -> None: ...

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("kind", [CardSource, CardSink])
def test_a_wait_that_ends_late_is_told_with_how_late_it_was(kind: type[CardSource] | type[CardSink]) -> None:
    card = kind(Raw(), CardSpec("usb0"), lambda: False, LateClock())
    assert isinstance(card, TellsLateness)
    late: list[float] = []
    card.on_wake = late.append
    for _ in range(5):
        if isinstance(card, CardSource):
            card.read()
        else:
            card.wait_for_room()
            card.write(silence(960))
    assert len(late) >= 5
    assert late == pytest.approx([LATE_S] * len(late))


def test_nobody_listens_and_nothing_is_told() -> None:
    source = CardSource(Raw(), CardSpec("usb0"), lambda: False, LateClock())
    assert source.on_wake is None
    assert source.read().index == 0


def test_the_thread_of_a_card_that_two_channels_share_is_asked_before_it_moves_a_frame() -> None:
    asked: list[tuple[str, str]] = []
    entered = threading.Event()
    raw = Raw(channels=2)

    def on_thread(name: str) -> None:
        asked.append((name, threading.current_thread().name))
        assert raw.looks == 0
        entered.set()

    shared = SharedCards(lambda spec, capture: raw, lambda name: lambda: False, on_thread)
    source = shared.open_source(CardSpec("duo", "left"))
    try:
        assert entered.wait(2.0)
        source.read()
    finally:
        source.close()
        shared.close()
    assert asked == [("shared-capture-duo", "shared-capture-duo")]
