"""Buttons, squelch and keyed lines of a whole gateway, on real lgpio, PTT guard, PortAudio and Opus.

One gateway serves most tests. Its channel `desk` has a button; `radio` has a squelch line that is wired to
its own keyed line, as with a radio whose squelch opens while it transmits.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from echostream.simulator.file_cards import Voice
from tests.gateway.support_site import Site, TimedEar, eventually, largest_step, speech

pytestmark = [pytest.mark.real_audio, pytest.mark.real_gpio]

BUTTON, SQUELCH, KEYED = 20, 21, 17
LEAD_IN_S, HANG_S = 0.4, 0.5
TOT_S = 1.5
REREAD_S = 0.25
PRE_ROLL_S = 0.2
SOON_S = 1.0
DROP_S = 0.25


class Scene(Site):
    """The gateway `station` is online."""

    def __init__(self) -> None:
        super().__init__(["desk", "radio"])
        self.chip.wire(KEYED, SQUELCH)
        cards = self.cards("desk_card", "radio_card")
        self.speaks(cards["desk_card"], speech(10.0))
        self.ear_of_radio: TimedEar = self.ear(cards["radio_card"])
        squelch = {"pin": SQUELCH, "active_low": False, "pull": "down"}
        key = {"pin": KEYED, "lead_in_ms": int(LEAD_IN_S * 1000), "hang_ms": int(HANG_S * 1000)}
        self.station = self.gateway(
            "station",
            {"id": "desk", "card": "desk_card", "tot_s": TOT_S, "ptt": {"pin": BUTTON}},
            {"id": "radio", "card": "radio_card", "cos": squelch, "key": key},
            gpio={"reread_ms": int(REREAD_S * 1000)},
        )
        for channel in ("desk", "radio"):
            self.station.wait_for(f"channel {channel}: capture: card is there")
            self.station.wait_for(f"channel {channel}: playback: card is there")
            self.wait_members(channel, 2)
        time.sleep(PRE_ROLL_S + 0.2)  # the pre-roll is full

    def press(self, level: bool = True, lose_edge: bool = False) -> float:
        """The button, which pulls to ground: the time just before."""
        now = time.monotonic()
        self.chip.drive(BUTTON, 0 if level else 1, lose_edge=lose_edge)
        return now


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with Scene() as scene:
        yield scene


def test_button_opens_the_valve_and_its_release_closes_it(scene: Scene) -> None:
    spy = scene.spy
    pressed_s = scene.press()
    assert eventually(lambda: spy.packets("desk", pressed_s), SOON_S)
    time.sleep(0.6)
    held_s = scene.press(False) - pressed_s
    assert eventually(lambda: spy.ended("desk", pressed_s), SOON_S)
    time.sleep(0.1)
    packets = spy.packets("desk", pressed_s)
    (started,), (ended,) = spy.started("desk", pressed_s), spy.ended("desk", pressed_s)
    assert started.by == "station"
    assert started.at_s < packets[0].at_s + 0.02
    assert ended.at_s > packets[-1].at_s - 0.02
    assert largest_step(packets) == 1
    assert len(packets) * 0.02 == pytest.approx(held_s + PRE_ROLL_S, abs=0.08)


def test_bouncing_contact_is_one_press_and_one_release(scene: Scene) -> None:
    since_s = time.monotonic()
    for level in (True, False, True, False, True):
        scene.press(level)
    assert eventually(lambda: scene.spy.started("desk", since_s), SOON_S)
    time.sleep(0.2)
    for level in (False, True, False, True, False):
        scene.press(level)
    assert eventually(lambda: scene.spy.ended("desk", since_s), SOON_S)
    time.sleep(2 * REREAD_S)
    assert len(scene.spy.started("desk", since_s)) == len(scene.spy.ended("desk", since_s)) == 1


def test_lost_release_edge_is_caught_by_the_reread(scene: Scene) -> None:
    since_s = scene.press()
    assert eventually(lambda: scene.spy.started("desk", since_s), SOON_S)
    time.sleep(0.1)
    released_s = scene.press(False, lose_edge=True)
    assert eventually(lambda: scene.spy.ended("desk", since_s), SOON_S)
    assert scene.spy.ended("desk", since_s)[0].at_s - released_s < REREAD_S + DROP_S


def test_time_out_timer_latches_until_the_release(scene: Scene) -> None:
    spy = scene.spy
    since_s = scene.press()
    assert eventually(lambda: spy.ended("desk", since_s), TOT_S + SOON_S)
    assert spy.ended("desk", since_s)[0].at_s - since_s == pytest.approx(TOT_S, abs=0.3)
    time.sleep(0.1)
    silent_since_s = time.monotonic()
    time.sleep(0.5)
    assert len(spy.started("desk", since_s)) == 1
    assert not spy.packets("desk", silent_since_s)
    scene.press(False)
    time.sleep(0.1)
    again_s = scene.press()
    assert eventually(lambda: spy.packets("desk", again_s), SOON_S)
    scene.press(False)
    assert eventually(lambda: spy.ended("desk", again_s), SOON_S)


def test_squelch_line_opens_the_valve(scene: Scene) -> None:
    since_s = time.monotonic()
    scene.chip.drive(SQUELCH, 1)
    assert eventually(lambda: len(scene.spy.packets("radio", since_s)) > 10, SOON_S)
    scene.chip.drive(SQUELCH, None)
    assert eventually(lambda: scene.spy.ended("radio", since_s), SOON_S)
    assert len(scene.spy.started("radio", since_s)) == 1


def test_radio_is_keyed_before_the_first_word_and_after_the_last(scene: Scene) -> None:
    """And its own squelch line, which follows the keyed line here, never sends anything back."""
    since_s = time.monotonic()
    with scene.talking("talker", {"radio": Voice(speech(5.0), loop=True)}) as member:
        assert scene.chip.wait_level(KEYED, 1, SOON_S) is not None
        assert eventually(scene.ear_of_radio.sounding, LEAD_IN_S + SOON_S)
        time.sleep(0.8)
        member.release("radio")
        assert scene.chip.wait_level(KEYED, 0, HANG_S + LEAD_IN_S + SOON_S) is not None
    time.sleep(0.3)
    changes = [c for c in scene.chip.history if c.pin == KEYED and c.at_s >= since_s]
    # A gateway that gets no processor for 0.2 s loses the line for a moment, and says so.
    lapses = scene.station.log.count(f"keying was not renewed in time, BCM {KEYED}")
    assert [change.level for change in changes] == [1, 0] * (1 + lapses)
    sounding = scene.ear_of_radio.sounding()
    assert sounding[0] - changes[0].at_s >= LEAD_IN_S - 0.02
    assert changes[-1].at_s - sounding[-1] == pytest.approx(HANG_S, abs=0.25)
    assert [said.by for said in scene.spy.started("radio", since_s)] == ["talker"]


def test_button_held_at_start_talks_and_kill_drops_the_keyed_line() -> None:
    with Site(["desk"]) as site:
        card = site.cards("desk_card")["desk_card"]
        site.speaks(card, speech(10.0))
        site.chip.drive(BUTTON, 0)
        document = {"id": "desk", "card": "desk_card", "duplex": "full"}
        station = site.gateway("station", document | {"ptt": {"pin": BUTTON}, "key": {"pin": KEYED}})
        assert eventually(lambda: len(site.spy.packets("desk")) > 10, 15.0), station.log
        assert len(site.spy.started("desk")) == 1
        with site.talking("talker", {"desk": Voice(speech(5.0), loop=True)}):
            assert site.chip.wait_level(KEYED, 1, 2.0) is not None, station.log
            time.sleep(0.5)
            assert site.chip.level(KEYED) == 1
            killed_s = station.signal(signal.SIGKILL)
            assert site.chip.wait_level(KEYED, 0, 2.0) is not None
        assert site.chip.history[-1].at_s - killed_s < DROP_S
        assert site.chip.wait_held(KEYED, False, 2.0)
        assert site.chip.history[-1].level == 0
