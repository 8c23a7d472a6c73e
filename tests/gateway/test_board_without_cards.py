"""A gateway of which no channel has a card: PortAudio is left alone until somebody asks for a card."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from echostream import board
from echostream.audio.ports import CardSpec
from echostream.config.models import NO_CARD, Channel, Config, ControlServer
from echostream.config.models import Gateway as Identity
from echostream.errors import DeviceMissing, SourceClosed


class Library:
    """Counts how often PortAudio was begun and ended."""

    begun: list[Library] = []  # noqa: RUF012 - reset by each test

    def __init__(
        self, names: tuple[str, ...] = (), *, on_thread: Callable[[str], None] = lambda name: None
    ) -> None:
        self.closed = False
        self.begun.append(self)

    def open_source(self, spec: CardSpec) -> None:
        raise DeviceMissing(f"card {spec.name} is not plugged in")

    def close(self) -> None:
        self.closed = True


def test_portaudio_is_begun_when_a_card_is_asked_for_and_ended_with_the_board(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Library.begun.clear()
    monkeypatch.setattr(board, "AudioHardware", Library)
    config = Config(
        gateway=Identity(id="g", affiliation_id="g"),
        control_server=ControlServer(url="ws://127.0.0.1:1"),
        channels=(Channel(id="a", card=NO_CARD), Channel(id="b", card=NO_CARD)),
    )
    built = board.Board(config, None)
    assert Library.begun == []
    for _ in range(2):  # as after a reload that names a card
        with pytest.raises(DeviceMissing):
            built.hardware.cards.open_source(CardSpec("usb:1-1.2"))
    built.close()
    assert [library.closed for library in Library.begun] == [True]
    with pytest.raises(SourceClosed):
        built.hardware.cards.open_sink(CardSpec("usb:1-1.2"))
