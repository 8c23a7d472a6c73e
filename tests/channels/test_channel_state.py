"""The push-to-talk step function, by hazard."""

from __future__ import annotations

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
    OpenValve,
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

PRESS = OpenerChanged(Opener.BUTTON, True, 10.0)
RELEASE = OpenerChanged(Opener.BUTTON, False, 12.0)


def online(full_duplex: bool = False, tot_s: float = 60.0) -> ChannelState:
    state, commands = step(ChannelState(Settings(tot_s, full_duplex)), OnlineChanged(True), 0.0)
    assert commands == []
    return state


def run(state: ChannelState, *inputs: Input, now: float = 10.0) -> tuple[ChannelState, list[Command]]:
    commands: list[Command] = []
    for event in inputs:
        state, more = step(state, event, now)
        commands += more
    return state, commands


def test_valve_opens_only_after_the_announcement_has_left() -> None:
    state, commands = run(online(), PRESS)
    assert commands == [Arm(1, 10.0), Announce(1)]
    assert state.phase is Phase.STARTING
    state, commands = run(state, Announced(1, True))
    assert commands == [OpenValve(1)]


def test_end_is_announced_only_after_the_last_packet() -> None:
    state, _ = run(online(), PRESS, Announced(1, True))
    state, commands = run(state, RELEASE)
    assert commands == [CloseValve(1)]
    state, commands = run(state, Drained(1))
    assert commands == [AnnounceEnd(1)]
    assert state.phase is Phase.IDLE


def test_released_before_the_announcement_is_out_still_sends_what_was_said() -> None:
    state, commands = run(online(), PRESS, RELEASE)
    assert state.phase is Phase.STARTING
    state, commands = run(state, Announced(1, True))
    assert commands == [OpenValve(1), CloseValve(1)]


def test_pressed_again_while_draining_starts_a_new_transmission_after_the_end() -> None:
    state, _ = run(online(), PRESS, Announced(1, True), RELEASE)
    state, commands = run(state, PRESS)
    assert commands == []
    state, commands = run(state, Drained(1))
    assert commands == [AnnounceEnd(1), Arm(2, 10.0), Announce(2)]


def test_a_late_drain_of_an_old_transmission_does_not_end_the_new_one() -> None:
    state, _ = run(online(), PRESS, Announced(1, True), RELEASE, Drained(1), PRESS, Announced(2, True))
    state, commands = run(state, Drained(1), Announced(1, True))
    assert commands == []
    assert state.phase is Phase.OPEN


def test_time_out_latches_until_everything_is_released() -> None:
    state, _ = run(online(tot_s=5.0), PRESS, Announced(1, True))
    state, commands = run(state, Tick(), now=14.0)
    assert commands == []
    state, commands = run(state, Tick(), now=15.0)
    assert commands == [TimedOut(), CloseValve(1)]
    state, commands = run(state, Drained(1), OpenerChanged(Opener.COS, True, 16.0), RELEASE, now=16.0)
    assert commands == [AnnounceEnd(1)]
    assert state.latched
    state, commands = run(state, OpenerChanged(Opener.COS, False, 17.0), PRESS, now=17.0)
    assert commands == [Arm(2, 10.0), Announce(2)]


def test_time_out_counts_from_the_press_over_a_reconnect() -> None:
    state, _ = run(online(tot_s=5.0), PRESS, Announced(1, True))
    state, commands = run(state, OnlineChanged(False), now=13.0)
    assert commands == [AbortValve(1)]
    state, commands = run(state, OnlineChanged(True), now=14.0)
    assert commands == [Arm(2, 14.0), Announce(2)]
    state, commands = run(state, Announced(2, True), Tick(), now=15.0)
    assert TimedOut() in commands


def test_server_lost_in_mid_transmission_starts_again_on_return() -> None:
    state, _ = run(online(), PRESS, Announced(1, True))
    state, commands = run(state, OnlineChanged(False))
    assert commands == [AbortValve(1)]
    state, commands = run(state, OnlineChanged(True), now=11.0)
    assert commands == [Arm(2, 11.0), Announce(2)]


def test_announcement_that_could_not_be_sent_opens_nothing() -> None:
    state, commands = run(online(), PRESS, Announced(1, False))
    assert commands[-1] == AbortValve(1)
    assert state.phase is Phase.IDLE


def test_key_that_is_still_down_is_announced_again_after_a_failed_announcement() -> None:
    state, _ = run(online(), PRESS, Announced(1, False))
    state, commands = run(state, Tick(), now=10.1)
    assert commands == []
    assert state.due_at_s is not None
    state, commands = run(state, Tick(), now=state.due_at_s)
    assert Announce(2) in commands


def test_key_that_went_up_after_a_failed_announcement_is_not_announced_again() -> None:
    state, _ = run(online(), PRESS, Announced(1, False), RELEASE)
    assert state.due_at_s is None


def test_drain_that_never_comes_ends_by_itself() -> None:
    state, _ = run(online(), PRESS, Announced(1, True), RELEASE)
    assert state.due_at_s is not None
    state, commands = run(state, Tick(), now=state.due_at_s)
    assert commands == [AbortValve(1), AnnounceEnd(1)]
    assert state.phase is Phase.IDLE


def test_drain_time_out_with_the_key_down_again_does_not_abort_the_new_transmission() -> None:
    state, _ = run(online(), PRESS, Announced(1, True), RELEASE, PRESS)
    state, commands = run(state, Tick(), now=99.0)
    assert commands[:2] == [AbortValve(1), AnnounceEnd(1)]
    assert Announce(2) in commands


def test_card_lost_while_draining_ends_at_once() -> None:
    state, _ = run(online(), PRESS, Announced(1, True), RELEASE)
    state, commands = run(state, SourceLost())
    assert commands == [AnnounceEnd(1)]


def test_card_lost_releases_the_voice_operated_valve() -> None:
    state, _ = run(online(), OpenerChanged(Opener.VOX, True, 1.0), Announced(1, True))
    state, commands = run(state, SourceLost())
    assert commands == [AbortValve(1), AnnounceEnd(1)]
    state, commands = run(state, SourceBack())
    assert commands == []


def test_card_lost_under_a_held_key_ends_at_once_and_talks_again_when_it_is_back() -> None:
    state, _ = run(online(), PRESS, Announced(1, True))
    state, commands = run(state, SourceLost())
    assert commands == [AbortValve(1), AnnounceEnd(1)]
    state, commands = run(state, SourceBack())
    assert commands == [Arm(2, 10.0), Announce(2)]


def test_channel_without_a_card_announces_nothing() -> None:
    _, commands = run(online(), SourceLost(), PRESS)
    assert commands == []


def test_what_the_channel_plays_never_opens_it() -> None:
    for opener in (Opener.VOX, Opener.COS):
        state, commands = run(online(), PlayingChanged(True), OpenerChanged(opener, True, 1.0))
        assert commands == []
        state, commands = run(state, PlayingChanged(False))
        assert Announce(1) in commands


def test_full_duplex_trusts_the_squelch_but_not_the_voice() -> None:
    state, commands = run(
        online(full_duplex=True), PlayingChanged(True), OpenerChanged(Opener.VOX, True, 1.0)
    )
    assert commands == []
    state, commands = run(state, OpenerChanged(Opener.COS, True, 1.0))
    assert Announce(1) in commands


def test_button_beats_what_is_playing() -> None:
    _, commands = run(online(), PlayingChanged(True), PRESS)
    assert Announce(1) in commands


INPUTS = st.one_of(
    st.builds(OpenerChanged, st.sampled_from(Opener), st.booleans(), st.just(0.0)),
    st.builds(OnlineChanged, st.booleans()),
    st.builds(PlayingChanged, st.booleans()),
    st.builds(Announced, st.integers(1, 5), st.booleans()),
    st.builds(Drained, st.integers(1, 5)),
    st.just(SourceLost()),
    st.just(SourceBack()),
    st.just(Tick()),
)


@given(st.lists(INPUTS, max_size=60), st.booleans())
def test_any_order_of_events_keeps_the_order_on_the_wire(inputs: list[Input], full_duplex: bool) -> None:
    """Open never before the announcement, one at a time, each closed or aborted before the next."""
    state = ChannelState(Settings(tot_s=7.0, full_duplex=full_duplex))
    announced = 0
    opened: int | None = None
    for now, event in enumerate(inputs):
        state, commands = step(state, event, float(now))
        for command in commands:
            match command:
                case Announce(number):
                    assert opened is None
                    assert number == announced + 1
                    announced = number
                case OpenValve(number):
                    assert number == announced
                    opened = number
                case AnnounceEnd(number) | AbortValve(number):
                    assert number <= announced
                    opened = None
                case CloseValve(number):
                    assert opened == number
                case _:
                    pass
        if state.phase is Phase.OPEN:
            assert state.wants_to_talk
            assert state.online
        if state.phase is not Phase.IDLE:
            assert state.endless or state.due_at_s is not None


# ---- what is passed through

PASS = OpenerChanged(Opener.PASSTHROUGH, True, 10.0)
PASS_ENDS = OpenerChanged(Opener.PASSTHROUGH, False, 12.0)


def test_a_passthrough_opens_the_valve_and_its_end_shuts_it() -> None:
    state, commands = run(online(), PASS, Announced(1, True))
    assert commands == [Arm(1, 10.0), Announce(1), OpenValve(1)]
    assert state.passes_through
    state, commands = run(state, PASS_ENDS)
    assert commands == [CloseValve(1)]


def test_a_button_over_a_passthrough_is_local_and_one_transmission() -> None:
    state, _ = run(online(), PASS, Announced(1, True))
    state, commands = run(state, PRESS)
    assert commands == []
    assert (state.local, state.passes_through) == (True, False)
    state, commands = run(state, RELEASE)
    assert commands == []
    assert state.passes_through
    assert state.phase is Phase.OPEN


def test_a_button_over_a_passthrough_has_all_of_the_time_out_timer() -> None:
    state, _ = run(online(tot_s=60), PASS, Announced(1, True), now=10.0)
    state, _ = run(state, PRESS, now=60.0)
    assert state.due_at_s == 120.0
    state, _ = run(state, RELEASE, now=100.0)
    assert state.due_at_s == 160.0


def test_a_passthrough_that_outlasts_the_timer_ends_and_latches_nobody() -> None:
    state, _ = run(online(tot_s=60), PASS, Announced(1, True), now=10.0)
    state, commands = run(state, Tick(), now=70.0)
    assert commands == [TimedOut(), CloseValve(1)]
    assert not state.latched
    state, _ = run(state, Drained(1), now=70.5)
    assert state.phase is Phase.IDLE  # and does not begin again by itself
    state, commands = run(state, PRESS, now=80.0)
    assert commands == [Arm(2, 10.0), Announce(2)]


def test_a_stuck_button_over_a_passthrough_is_latched_until_it_is_released() -> None:
    state, _ = run(online(tot_s=60), PASS, PRESS, Announced(1, True), now=10.0)
    state, commands = run(state, Tick(), now=70.0)
    assert commands == [TimedOut(), CloseValve(1)]
    assert state.latched
    state, _ = run(state, Drained(1), now=70.5)
    assert state.phase is Phase.IDLE
    state, commands = run(state, RELEASE, now=80.0)
    assert commands[-1] == Announce(2)  # the passthrough that is still there goes on
    assert state.passes_through


def test_squelch_that_a_playing_channel_ignores_does_not_silence_a_passthrough() -> None:
    cos = OpenerChanged(Opener.COS, True, 10.0)
    state, _ = run(online(), PASS, Announced(1, True), PlayingChanged(True), cos)
    assert state.passes_through
    state, _ = run(state, PlayingChanged(False))
    assert state.local


def test_a_key_that_outlasted_the_timer_offline_is_no_talker_for_ever() -> None:
    """Back online its announcement is on its way when the timer ends it: an end must follow."""
    state, commands = run(ChannelState(Settings(60.0)), PRESS)
    assert commands == []
    state, commands = run(state, OnlineChanged(True), Tick(), Announced(1, True), now=100.0)
    assert commands == [Arm(1, 100.0), Announce(1), TimedOut(), AbortValve(1), AnnounceEnd(1)]
    assert state.phase is Phase.IDLE
    assert state.latched
