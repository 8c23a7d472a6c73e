"""What follows a page, frame by frame: heard on the target, sent to its members, and unmistakably over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from page_house import FRAME, PageHouse, plan

from echostream.channels.channel_state import Phase
from echostream.channels.page_desk import CLOSING_S
from echostream.config.tone_models import TonePlan
from echostream.events import Opener, PassthroughChanged

MIC, TAC = 3000, 700
END_FRAMES = round(CLOSING_S * 50) + 5


@pytest.fixture
def houses() -> Iterator[list[PageHouse]]:
    built: list[PageHouse] = []
    yield built
    for house in built:
        house.close()


def build(houses: list[PageHouse], plans: dict[str, TonePlan], tot_s: float = 60.0) -> PageHouse:
    house = PageHouse(plans, tot_s)
    houses.append(house)
    return house


def loud(samples: np.ndarray, level: int) -> float:
    """The share of samples that are near a card's constant."""
    return float(np.mean(np.abs(samples.astype(float) - level) < 0.05 * level))


def test_the_page_is_heard_on_the_targets_loudspeaker_and_nowhere_else(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    before = house.run(10, dispatch=MIC)
    assert not before["tac"].any()
    house.page("dispatch")
    during = house.run(50, dispatch=MIC)
    assert loud(during["tac"][5 * FRAME :], MIC) > 0.99
    assert not during["ems"].any()
    assert not during["dispatch"].any()


def test_the_targets_members_hear_it_as_a_transmission_of_that_channel(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.run(20, dispatch=MIC, tac=TAC)
    house.page("dispatch", length_s=1.0)
    assert house.signalling.sent == [("transmit_started", "tac")]
    house.run(50 + END_FRAMES, dispatch=MIC, tac=TAC)
    assert house.signalling.sent == [("transmit_started", "tac"), ("transmit_ended", "tac")]
    assert house.channel("tac").state.phase is Phase.IDLE
    assert len(house.sent("tac")) > 80


def test_nothing_of_the_targets_own_microphone_goes_out_with_it(houses: list[PageHouse]) -> None:
    """Not even its pre-roll. The source is silent, so whatever is heard is the target's card."""
    house = build(houses, {"dispatch": plan("tac", passthrough_end_tone=False)})
    rng = np.random.default_rng(1)
    for _ in range(10):
        house.run(1, tac=int(rng.integers(5000, 9000)))
    house.page("dispatch", length_s=1.0)
    for _ in range(50 + END_FRAMES):
        house.run(1, tac=int(rng.integers(5000, 9000)))
    levels = house.sent("tac")
    assert len(levels) > 50
    assert levels.max() < 20


def test_it_ends_on_time_with_two_falling_beeps_on_loudspeaker_and_network(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch", length_s=2.0)
    first = house.run(100)["tac"]
    rest = house.run(END_FRAMES)["tac"].astype(float)
    assert not first.any()
    beeps = np.flatnonzero(np.abs(rest) > 2000)
    assert 0.30 < (beeps[-1] - beeps[0]) / 48_000 < 0.45
    high, low = np.split(rest[beeps[0] : beeps[-1]], [round(0.16 * 48_000)])
    crossings = [np.sum(np.diff(np.signbit(part))) / 2 / (len(part) / 48_000) for part in (high, low)]
    assert crossings == pytest.approx([1000, 700], rel=0.02)
    assert house.sent("tac")[-30:].max() > 2000
    assert not house.run(50, dispatch=MIC)["tac"].any()
    assert house.manager.pages.passages.running == ()


def test_the_page_again_extends_it_and_the_way_stays_open(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch", length_s=1.0)
    house.run(40, dispatch=MIC)
    house.page("dispatch", length_s=1.0)
    played = house.run(45, dispatch=MIC)["tac"]
    assert loud(played, MIC) > 0.99
    assert house.heard("dispatch").pages == 2
    house.run(10 + END_FRAMES, dispatch=MIC)
    assert house.heard("dispatch").passthrough_s == pytest.approx(1.8, abs=0.05)


def test_the_targets_button_comes_first_and_the_passthrough_goes_on_after_it(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(25, dispatch=MIC, tac=TAC)
    house.press("tac")
    house.run(2, dispatch=MIC, tac=TAC)
    spoken = house.run(25, dispatch=MIC, tac=TAC)
    assert not spoken["tac"].any()  # half duplex: who speaks does not hear
    assert house.channel("tac").inserted is None
    house.press("tac", active=False)
    again = house.run(25, dispatch=MIC, tac=TAC)
    assert loud(again["tac"][2 * FRAME :], MIC) > 0.95
    # One transmission all along: the members never lose the channel in between.
    assert house.signalling.sent == [("transmit_started", "tac")]
    assert house.channel("tac").inserted is not None


def test_members_who_talk_are_heard_beside_a_passthrough(houses: list[PageHouse]) -> None:
    """Nobody at the target holds a key, so its loudspeaker is not mute."""
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(10)
    assert house.channel("tac").state.phase is Phase.OPEN
    assert house.channel("tac").stream._muted is False


def test_the_radio_is_keyed_only_where_the_plan_says_so(houses: list[PageHouse]) -> None:
    quiet = build(houses, {"dispatch": plan("tac")})
    quiet.page("dispatch")
    quiet.run(20, dispatch=MIC)
    assert not quiet.hardware.lines["tac"].keyed
    on_air = build(houses, {"dispatch": plan("tac", passthrough_key=True)})
    on_air.page("dispatch", length_s=1.0)
    on_air.run(20, dispatch=MIC)
    assert on_air.hardware.lines["tac"].keyed
    on_air.run(40 + END_FRAMES, dispatch=MIC)
    assert not on_air.hardware.lines["tac"].keyed


def test_a_passthrough_that_may_not_key_is_not_on_the_air_while_a_member_keys(
    houses: list[PageHouse],
) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC)
    stream = house.channel("tac").stream
    stream.keying.step(np.full(FRAME, 100, np.int16), True)  # a member talks: the radio is keyed
    assert stream.keying.keyed
    frame = stream._with(np.full(FRAME, 100, np.int16), np.full(FRAME, MIC, np.int16))
    assert loud(frame, 100) == 1.0


def test_without_the_network_it_is_for_the_loudspeaker_alone(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac", passthrough_network=False)})
    house.page("dispatch", length_s=1.0)
    played = house.run(40, dispatch=MIC)["tac"]
    assert loud(played[5 * FRAME :], MIC) > 0.99
    assert house.signalling.sent == []
    assert house.udp.datagrams == []


def test_what_is_passed_through_opens_no_voice_valve_and_is_never_passed_on(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac"), "tac": plan("ems")})
    house.page("dispatch")
    house.run(20, dispatch=MIC)
    assert house.channel("tac").stream._sounding
    house.page("tac", priority=9)  # tac's ear has heard its own loudspeaker
    played = house.run(30, dispatch=MIC)
    assert not played["ems"].any()
    assert house.heard("tac").pages == 1  # it is told all the same


def test_squelch_of_the_target_still_speaks_to_its_members(houses: list[PageHouse]) -> None:
    """A radio that receives is no echo: the passthrough does not key it."""
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC, tac=TAC)
    house.press("tac", opener=Opener.COS)
    house.run(3, dispatch=MIC, tac=TAC)
    assert house.channel("tac").inserted is None


def test_a_passthrough_longer_than_the_time_out_timer_latches_nothing(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")}, tot_s=1.0)
    house.page("dispatch", length_s=10.0)
    house.run(100, dispatch=MIC, tac=TAC)
    assert house.signalling.sent == [("transmit_started", "tac"), ("transmit_ended", "tac")]
    assert not house.channel("tac").state.latched
    assert loud(house.run(10, dispatch=MIC)["tac"], MIC) > 0.99  # still on the loudspeaker
    house.press("tac")
    assert house.channel("tac").state.phase is Phase.OPEN


def test_a_passthrough_on_the_air_longer_than_the_timer_leaves_the_radio_to_the_members(
    houses: list[PageHouse],
) -> None:
    house = build(houses, {"dispatch": plan("tac", passthrough_key=True)}, tot_s=1.0)
    house.page("dispatch", length_s=10.0)
    house.run(45, dispatch=MIC)
    assert house.hardware.lines["tac"].keyed
    house.run(10, dispatch=MIC)
    assert not house.hardware.lines["tac"].keyed
    assert loud(house.run(30, dispatch=MIC)["tac"], MIC) > 0.99  # still on the loudspeaker
    assert not house.hardware.lines["tac"].keyed
    stream = house.channel("tac").stream
    stream.keying.step(np.full(FRAME, 100, np.int16), True)  # a member answers
    assert stream.keying.keyed
    stream.keying.abort()
    house.page("dispatch", length_s=10.0)
    house.run(10, dispatch=MIC)
    assert house.hardware.lines["tac"].keyed  # a new page is a new reason to key


def test_a_page_after_the_time_out_timer_is_a_new_transmission(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")}, tot_s=1.0)
    house.page("dispatch", length_s=10.0)
    house.run(100, dispatch=MIC)
    house.signalling.sent.clear()
    house.page("dispatch", length_s=10.0)
    assert house.signalling.sent == [("transmit_started", "tac")]


def test_a_higher_priority_takes_over_after_the_end_tone_of_the_first(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac"), "ems": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC, ems=5000)
    house.page("ems", priority=8)
    played = house.run(60, dispatch=MIC, ems=5000)["tac"]
    assert loud(played[: 20 * FRAME], 5000) < 0.1  # beeps first
    assert np.abs(played[: 20 * FRAME].astype(int)).max() > 5500
    assert loud(played[30 * FRAME :], 5000) > 0.99
    assert house.signalling.sent == [("transmit_started", "tac")]


@pytest.mark.parametrize("gone", ["dispatch", "tac"])
def test_a_channel_that_goes_meanwhile_costs_nothing_but_the_passthrough(
    houses: list[PageHouse], gone: str
) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC)
    runtime = house.manager.remove_channel(gone, house.now)
    assert runtime.join(2.0)
    house.run(END_FRAMES, dispatch=MIC)
    assert house.manager.pages.passages.running == ()
    if gone == "dispatch":
        assert house.channel("tac").state.phase is Phase.IDLE
        assert not house.run(5)["tac"].any()


def test_a_target_that_does_not_run_is_said(
    houses: list[PageHouse], caplog: pytest.LogCaptureFixture
) -> None:
    house = build(houses, {"dispatch": plan("asleep")})
    house.page("dispatch")
    assert "channel asleep does not run" in caplog.text


def test_a_changed_plan_ends_what_it_passed_on_and_touches_no_audio(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC)
    runtime = house.channel("dispatch")
    house.manager.pages.set_plans({"dispatch": TonePlan(detect=False)})
    house.manager.pages.attach(runtime, house.now)
    assert house.manager.pages.passages.running == ()
    assert runtime is house.channel("dispatch")
    assert runtime.stream.transmit.taps == ()
    assert house.ears.listeners == {}


def test_a_plan_that_only_hears_more_lets_a_running_passthrough_be(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    house.run(20, dispatch=MIC)
    house.manager.pages.set_plans({"dispatch": plan("tac", dtmf=True)})
    house.manager.pages.attach(house.channel("dispatch"), house.now)
    assert loud(house.run(30, dispatch=MIC)["tac"], MIC) == 1.0


def test_who_watches_is_told_of_each_change(houses: list[PageHouse]) -> None:
    house = build(houses, {"dispatch": plan("tac")})
    told: list[PassthroughChanged] = []
    original = house.manager.handle

    def handle(event: object, now: float) -> None:
        if isinstance(event, PassthroughChanged):
            told.append(event)
        original(event, now)  # type: ignore[arg-type]

    house.manager.handle = handle  # type: ignore[method-assign]
    house.page("dispatch", length_s=1.0)
    house.page("dispatch", length_s=2.0)
    house.run(100 + END_FRAMES)
    assert [round(event.remaining_s) for event in told] == [1, 2, 0]
    assert told[-1].reason == "its time is over"


def test_the_log_says_what_was_heard_for_people(
    houses: list[PageHouse], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    house = build(houses, {"dispatch": plan("tac")})
    house.page("dispatch")
    assert "Page heard on dispatch: Engine 7 (349.2 / 433.7 Hz, 1.0 + 2.0 s, SNR 24 dB)" in caplog.text
    assert "Passed through Engine 7: dispatch to tac, for 10 s" in caplog.text


def test_a_bug_while_it_opens_never_leaves_it_open_for_ever(
    houses: list[PageHouse], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = build(houses, {"dispatch": plan("tac")})

    def fails(passage: object, left_s: float) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as broken:
        broken.setattr(house.manager.pages, "_tell", fails)
        with pytest.raises(RuntimeError):
            house.page("dispatch", length_s=1.0)
    house.run(50 + END_FRAMES, dispatch=MIC)
    assert house.manager.pages.passages.running == ()
    assert house.channel("tac").state.phase is Phase.IDLE
    assert not house.run(5, dispatch=MIC)["tac"].any()
