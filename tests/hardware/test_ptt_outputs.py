"""A sound card's line that changes hands: its last owner's last word comes before the next one's first."""

from __future__ import annotations

import threading
import time

import pytest

from echostream.hardware import ptt_outputs
from echostream.hardware.ptt_held import HeldLines
from echostream.hardware.ptt_list import Place

CARD = Place(True, "Device", 0)


class SlowCard:
    """Cm108Line, on a card that takes its time. `said`: (active_low, active) as the card heard it."""

    said: list[tuple[bool, bool]]
    slow_s = 0.1

    def __init__(self, card: str, *, active_low: bool) -> None:
        self._active_low = active_low
        self.set(False)

    def set(self, active: bool) -> None:
        threading.Event().wait(self.slow_s)
        self.said.append((self._active_low, active))

    def close(self) -> None:
        pass


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bool, bool]]:
    heard: list[tuple[bool, bool]] = []
    monkeypatch.setattr(SlowCard, "said", heard, raising=False)
    monkeypatch.setattr(ptt_outputs, "Cm108Line", SlowCard)
    return heard


def test_card_whose_polarity_is_set_right_is_not_keyed_by_the_old_one(said: list[tuple[bool, bool]]) -> None:
    """Inactive to the old owner is active to the new one."""
    lines = HeldLines(lambda: None)
    first = lines.take("gateway", "gateway", CARD, False, 60.0)
    assert first is not None
    lines.let_go(first)
    second = lines.take("gateway", "gateway", CARD, True, 60.0)
    assert second is not None
    began = time.monotonic()
    while second.output.actual is None and time.monotonic() - began < 3:
        threading.Event().wait(0.01)
    assert second.output.actual is False
    lines.close()
    polarities = [active_low for active_low, _active in said]
    assert polarities == sorted(polarities), "all of the first before all of the second"
    assert False in polarities


def test_letting_a_slow_card_go_holds_nobody_up(said: list[tuple[bool, bool]]) -> None:
    lines = HeldLines(lambda: None)
    line = lines.take("gateway", "gateway", CARD, False, 60.0)
    assert line is not None
    began = time.monotonic()
    lines.let_go(line)
    lines.let_go_unclaimed("gateway")
    assert time.monotonic() - began < SlowCard.slow_s / 2
    line.output.close()
    lines.close()


def test_line_is_given_to_one_only() -> None:
    lines = HeldLines(lambda: None)
    place = Place(False, "/dev/gpiochip99", 17)
    assert lines.take("north", "north", place, False, 60.0) is not None
    assert lines.take("south", "south", place, False, 60.0) is None
    assert lines.take("north", "north", place, False, 60.0) is None
    lines.take_back("north")
    assert lines.take("south", "south", place, False, 60.0) is not None
    assert len(lines) == 1
    lines.close()
