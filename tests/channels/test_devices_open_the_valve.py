"""Network microphones among a channel's other openers: the time-out timer, the latch, a card that is away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.channels.channel_state import (
    AbortValve,
    Announce,
    Announced,
    AnnounceEnd,
    Arm,
    ChannelState,
    CloseValve,
    Command,
    Drained,
    Input,
    OnlineChanged,
    OpenerChanged,
    Phase,
    PlayingChanged,
    Settings,
    SourceBack,
    SourceLost,
    Tick,
    TimedOut,
    step,
)
from echostream.events import Opener


def on(opener: Opener) -> OpenerChanged:
    return OpenerChanged(opener, True, 10.0)


def off(opener: Opener) -> OpenerChanged:
    return OpenerChanged(opener, False, 10.0)


DEVICE, STREAM, BUTTON, PASS = Opener.DEVICE, Opener.STREAM, Opener.BUTTON, Opener.PASSTHROUGH


def online(full_duplex: bool = False) -> ChannelState:
    return step(ChannelState(Settings(60.0, full_duplex)), OnlineChanged(True), 0.0)[0]


def run(state: ChannelState, *inputs: Input, now: float = 10.0) -> tuple[ChannelState, list[Command]]:
    commands: list[Command] = []
    for event in inputs:
        state, more = step(state, event, now)
        commands += more
    return state, commands


def test_a_microphone_that_stays_loud_is_barred_and_bars_nobody_else() -> None:
    state, _ = run(online(), on(DEVICE), Announced(1, True))
    state, commands = run(state, Tick(), now=70.0)
    assert commands == [TimedOut(), CloseValve(1)]
    assert not state.latched
    state, _ = run(state, Drained(1), now=71.0)
    assert state.phase is Phase.IDLE
    state, commands = run(state, on(BUTTON), now=80.0)
    assert commands == [Arm(2, 10.0), Announce(2)]
    assert state.due_at_s == 140.0  # with all of the time
    state, _ = run(state, Announced(2, True), off(BUTTON), Drained(2), now=81.0)
    assert state.phase is Phase.IDLE


def test_a_microphone_that_was_barred_talks_again_after_it_was_quiet() -> None:
    state, _ = run(online(), on(DEVICE), Announced(1, True))
    state, _ = run(state, Tick(), Drained(1), now=70.0)
    state, commands = run(state, off(DEVICE), on(DEVICE), now=90.0)
    assert commands == [Arm(2, 10.0), Announce(2)]


def test_a_stuck_button_is_latched_and_microphones_talk_on() -> None:
    state, _ = run(online(), on(BUTTON), Announced(1, True))
    state, _ = run(state, Tick(), Drained(1), now=70.0)
    assert state.latched
    state, commands = run(state, on(DEVICE), now=80.0)
    assert commands[-1] == Announce(2)
    assert not state.card_talks
    state, _ = run(state, off(BUTTON), now=81.0)
    assert not state.latched


def test_the_time_out_timer_rests_while_a_microphone_is_on_the_air_by_intent() -> None:
    state, _ = run(online(), on(STREAM), Announced(1, True))
    assert state.due_at_s is None
    state, commands = run(state, Tick(), now=1e6)
    assert commands == []
    assert state.phase is Phase.OPEN


def test_a_stuck_button_over_such_a_microphone_is_latched_and_the_microphone_goes_on() -> None:
    state, _ = run(online(), on(STREAM), Announced(1, True))
    state, _ = run(state, on(BUTTON), now=100.0)
    assert state.card_talks
    assert state.due_at_s == 160.0
    state, commands = run(state, Tick(), now=160.0)
    assert commands == [TimedOut()]
    assert (state.phase, state.latched, state.card_talks) == (Phase.OPEN, True, False)
    assert state.due_at_s is None
    state, _ = run(state, off(BUTTON), on(BUTTON), now=170.0)
    assert state.card_talks


def test_microphones_need_no_card_and_everybody_else_does() -> None:
    state, _ = run(online(), SourceLost())
    state, commands = run(state, on(BUTTON))
    assert commands == []
    state, commands = run(state, on(DEVICE))
    assert commands == [Arm(1, 10.0), Announce(1)]
    assert not state.card_talks
    state, commands = run(state, Announced(1, True), SourceBack())
    assert state.card_talks
    assert state.phase is Phase.OPEN


def test_a_card_that_goes_ends_what_microphones_say_until_there_is_a_clock_again() -> None:
    state, _ = run(online(), on(DEVICE), on(STREAM), Announced(1, True))
    state, commands = run(state, SourceLost())
    assert commands == [AbortValve(1), AnnounceEnd(1)]
    assert state.active == frozenset()


def test_a_microphone_comes_before_a_passthrough_and_gives_the_channel_back() -> None:
    state, _ = run(online(), on(PASS), Announced(1, True))
    assert state.passes_through
    state, commands = run(state, on(DEVICE))
    assert commands == []
    assert (state.passes_through, state.card_talks) == (False, False)
    state, _ = run(state, off(DEVICE))
    assert state.passes_through


def test_a_barred_microphone_does_not_hold_a_passthrough_off() -> None:
    state, _ = run(online(), on(DEVICE), Announced(1, True))
    state, _ = run(state, Tick(), Drained(1), now=70.0)
    state, commands = run(state, on(PASS), now=80.0)
    assert commands[-1] == Announce(2)
    assert state.passes_through


INPUTS = st.one_of(
    st.builds(OpenerChanged, st.sampled_from(list(Opener)), st.booleans(), st.just(0.0)),
    st.builds(OnlineChanged, st.booleans()),
    st.builds(PlayingChanged, st.booleans()),
    st.sampled_from([SourceLost(), SourceBack(), Tick()]),
)


@pytest.mark.parametrize("microphone", [DEVICE, STREAM])
def test_a_microphone_that_spoke_over_a_passthrough_for_too_long_latches_no_button(
    microphone: Opener,
) -> None:
    state, _ = run(online(), on(PASS), Announced(1, True), on(microphone))
    state, _ = run(state, Tick(), now=70.0)
    assert not state.latched
    state, _ = run(state, on(BUTTON), now=80.0)
    assert state.card_talks


@given(st.lists(st.tuples(INPUTS, st.floats(0, 100)), max_size=40), st.booleans())
def test_whatever_happens_nobody_talks_without_a_deadline_unless_it_is_by_intent(
    events: list[tuple[Input, float]], full_duplex: bool
) -> None:
    state, now = online(full_duplex), 0.0
    for event, waited_s in events:
        now += waited_s
        state, _ = step(state, event, now)
        if state.phase is Phase.STARTING:
            state, _ = step(state, Announced(state.transmission, True), now)
        if state.phase is Phase.DRAINING:
            state, _ = step(state, Drained(state.transmission), now)
        assert state.barred <= state.active & {DEVICE}
        if state.phase is Phase.OPEN:
            assert state.wants_to_talk
            assert state.online
            assert (state.due_at_s is None) == state.endless
        if state.phase is Phase.IDLE and state.online:
            assert not state.wants_to_talk or state.due_at_s is not None
