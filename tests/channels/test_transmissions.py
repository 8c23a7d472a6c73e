"""Transmissions are told: each that began ends once, with its length and its reason, whatever ends it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.channels import channel_state as cs
from echostream.channels.transmissions import Transmissions
from echostream.events import ChannelOnline, Event, Opener, TransmissionChanged

TOT_S = 30.0


class Channel:
    """One channel's state, stepped by hand."""

    def __init__(self, online: bool = True) -> None:
        self.told: list[Event] = []
        self.transmissions = Transmissions(self.told.append)
        self.state = cs.ChannelState(cs.Settings(TOT_S))
        self.now = 100.0
        if online:
            self.step(cs.OnlineChanged(True))
            self.told.clear()

    def step(self, event: cs.Input, after_s: float = 0.0) -> None:
        self.now += after_s
        before = self.state
        self.state, commands = cs.step(before, event, self.now)
        self.transmissions.follow("fire", before, self.state, event, commands, self.now)
        for command in commands:
            if isinstance(command, cs.Announce):
                self.step(cs.Announced(command.transmission, True))

    def press(self, active: bool = True, opener: Opener = Opener.BUTTON, after_s: float = 0.0) -> None:
        self.step(cs.OpenerChanged(opener, active, self.now + after_s), after_s)

    def drain(self) -> None:
        self.step(cs.Drained(self.state.transmission))


def test_a_transmission_is_told_with_who_held_it_and_how_long() -> None:
    channel = Channel()
    channel.press()
    channel.press(opener=Opener.VOX, after_s=2.0)
    channel.press(False, after_s=1.0)
    channel.press(False, Opener.VOX, after_s=1.0)
    channel.drain()
    both = (Opener.BUTTON, Opener.VOX)
    assert channel.told == [
        TransmissionChanged("fire", True, (Opener.BUTTON,)),
        TransmissionChanged("fire", False, both, 4.0, "released"),
    ]


def test_a_key_that_was_only_touched_is_told_with_its_opener() -> None:
    channel = Channel()
    before = channel.state
    press = cs.OpenerChanged(Opener.BUTTON, True, channel.now)
    channel.state, commands = cs.step(before, press, channel.now)
    channel.transmissions.follow("fire", before, channel.state, press, commands, channel.now)
    channel.press(False)
    channel.step(cs.Announced(1, True))
    channel.drain()
    assert [event.openers for event in channel.told if isinstance(event, TransmissionChanged)] == [
        (Opener.BUTTON,)
    ] * 2


def end_by_time_out(channel: Channel) -> None:
    channel.step(cs.Tick(), TOT_S)
    channel.drain()


def end_by_mute(channel: Channel) -> None:
    channel.step(cs.MicrophoneMuted(True))
    channel.drain()


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (end_by_time_out, "time-out"),
        (end_by_mute, "muted"),
        (lambda channel: channel.step(cs.SourceLost()), "card"),
        (lambda channel: channel.step(cs.OnlineChanged(False)), "offline"),
        (lambda channel: channel.transmissions.removed("fire", channel.state, channel.now), "removed"),
    ],
)
def test_the_reason_is_told(end, why: str) -> None:  # type: ignore[no-untyped-def]
    channel = Channel()
    channel.press()
    end(channel)
    ended = [event for event in channel.told if isinstance(event, TransmissionChanged)][-1]
    assert (ended.active, ended.why) == (False, why)


def test_a_time_out_after_which_somebody_else_goes_on_is_no_end() -> None:
    channel = Channel()
    channel.press(opener=Opener.STREAM)
    channel.press(opener=Opener.DEVICE)
    channel.step(cs.Tick(), TOT_S)
    assert [type(event) for event in channel.told] == [TransmissionChanged]
    channel.press(False, Opener.STREAM, after_s=1.0)
    channel.drain()
    ended = channel.told[-1]
    assert isinstance(ended, TransmissionChanged)
    assert ended.why == "released"


def test_an_announcement_that_could_not_be_sent_is_nothing_to_tell() -> None:
    channel = Channel()
    before = channel.state
    press = cs.OpenerChanged(Opener.BUTTON, True, channel.now)
    channel.state, commands = cs.step(before, press, channel.now)
    channel.transmissions.follow("fire", before, channel.state, press, commands, channel.now)
    channel.step(cs.Announced(1, False))
    assert channel.told == []


def test_online_is_told_when_it_changes_and_only_then() -> None:
    channel = Channel(online=False)
    for online in (True, True, False, False, True):
        channel.step(cs.OnlineChanged(online))
    assert channel.told == [ChannelOnline("fire", online) for online in (True, False, True)]
    channel.transmissions.removed("fire", channel.state, channel.now)
    assert channel.told[-1] == ChannelOnline("fire", False)


OPENERS = st.sampled_from(list(Opener))
INPUTS = st.one_of(
    st.builds(cs.OpenerChanged, OPENERS, st.booleans(), st.just(0.0)),
    st.builds(cs.OnlineChanged, st.booleans()),
    st.builds(cs.PlayingChanged, st.booleans()),
    st.builds(cs.MicrophoneMuted, st.booleans()),
    st.builds(cs.Announced, st.integers(1, 6), st.booleans()),
    st.builds(cs.Drained, st.integers(1, 6)),
    st.just(cs.SourceLost()),
    st.just(cs.SourceBack()),
    st.just(cs.Tick()),
)


@given(st.lists(st.tuples(INPUTS, st.floats(0, 40)), max_size=60))
def test_whatever_happens_beginnings_and_ends_alternate(steps: list[tuple[cs.Input, float]]) -> None:
    channel = Channel()
    for event, after_s in steps:
        channel.step(event, after_s)
        told = [one.active for one in channel.told if isinstance(one, TransmissionChanged)]
        assert all(first != second for first, second in pairwise(told))
        assert not told or told[0]
        on_the_air = channel.state.phase in (cs.Phase.OPEN, cs.Phase.DRAINING)
        assert bool(told and told[-1]) == on_the_air


@given(st.lists(st.tuples(INPUTS, st.floats(0, 40)), max_size=60))
def test_while_muted_nobody_at_the_channel_holds_the_valve(steps: list[tuple[cs.Input, float]]) -> None:
    channel = Channel()
    for event, after_s in steps:
        channel.step(event, after_s)
        if channel.state.muted:
            assert channel.state.holding <= {Opener.PASSTHROUGH, Opener.PAGE}
            assert not channel.state.card_talks
            if channel.state.phase is cs.Phase.OPEN:
                assert channel.state.pages_out or channel.state.passes_through
