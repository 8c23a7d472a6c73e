"""What a channel hands to the recorder: what its card hears, what others say, and when it transmits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from page_house import FRAME, PageHouse, plan

from echostream.archive.recording import ToneMark
from echostream.archive.source import channel_policy, network_policy
from echostream.archive.source_tap import ChannelTap, Edge, Ended
from echostream.audio.format import Frame
from echostream.audio.opus_codec import EncoderSettings, OpusEncoder
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.config.recording_models import Recording, RecordPolicy
from echostream.events import Opener


class Taps:
    """Both of a channel."""

    def __init__(self, runtime: ChannelRuntime) -> None:
        self.closed: list[ChannelTap] = []
        self.own = ChannelTap(lambda tap, cause: self.closed.append(tap))
        self.received = ChannelTap(lambda tap, cause: self.closed.append(tap))
        runtime.record(self.own, self.received)


@pytest.fixture
def house() -> Iterator[PageHouse]:
    house = PageHouse({"dispatch": plan("tac")})
    yield house
    house.close()


def frames(tap: ChannelTap) -> list[Frame]:
    return [item for item in tap.take() if isinstance(item, Frame)]


def edges(tap: ChannelTap) -> list[Edge]:
    return [item for item in tap.take() if isinstance(item, Edge)]


def test_the_card_is_recorded_whether_or_not_it_is_on_the_air(house: PageHouse) -> None:
    taps = Taps(house.channel("ems"))
    house.run(20, ems=1000)
    house.press("ems")
    house.run(20, ems=2000)
    heard = frames(taps.own)
    assert len(heard) == 40
    assert {frame.index - heard[0].index for frame in heard} == {FRAME * number for number in range(40)}
    assert heard[5].samples[100] == pytest.approx(1000, rel=0.05)
    assert heard[35].samples[100] == pytest.approx(2000, rel=0.05)


def test_what_is_passed_through_is_recorded_on_its_own_channel_only(house: PageHouse) -> None:
    taps = Taps(house.channel("tac"))
    house.page("dispatch")
    house.run(50, dispatch=3000, tac=700)
    assert max(int(np.abs(frame.samples).max()) for frame in frames(taps.own)) < 800


def test_a_page_and_a_passthrough_leave_the_recorders_tap_where_it_is(house: PageHouse) -> None:
    runtime = house.channel("dispatch")
    taps = Taps(runtime)
    house.page("dispatch", length_s=0.2)
    house.run(100, dispatch=500)
    house.manager.pages.attach(runtime, house.now)
    house.run(5, dispatch=500)
    assert len(frames(taps.own)) == 105


def test_the_edges_of_a_transmission_are_told_with_their_time(house: PageHouse) -> None:
    taps = Taps(house.channel("ems"))
    house.run(5)
    pressed_at_s = house.now
    house.press("ems")
    house.run(25)
    released_at_s = house.now
    house.press("ems", active=False)
    house.run(10)
    assert edges(taps.own) == [Edge(True, pressed_at_s), Edge(False, released_at_s)]


def test_a_transmission_that_times_out_ends_for_the_recorder_too() -> None:
    house = PageHouse({}, tot_s=1.0)
    try:
        taps = Taps(house.channel("ems"))
        house.press("ems")
        house.run(100)
        assert [edge.active for edge in edges(taps.own)] == [True, False]
        house.press("ems", active=False)
        house.press("ems", opener=Opener.TALK)
        house.run(2)
        assert [edge.active for edge in edges(taps.own)] == [True]
    finally:
        house.close()


def test_what_others_say_is_recorded_also_where_the_loudspeaker_is_mute(house: PageHouse) -> None:
    """Half duplex: while the channel transmits, what is received is thrown away, and recorded."""
    runtime = house.channel("tac")
    taps = Taps(runtime)
    house.press("tac")
    encoder = OpusEncoder(EncoderSettings(32_000, 5, False, False, 0), 20)
    wave = (8000 * np.sin(2 * np.pi * 500 * np.arange(FRAME) / 48_000)).astype(np.int16)
    house.run(2)
    for tick in range(40):
        runtime.stream.receive.accept(b"12345678", tick, encoder.encode(wave), house.now)
        played = house.run(1)["tac"]
        assert not played.any()
    encoder.close()
    items = taps.received.take()
    assert [item.active for item in items if isinstance(item, Edge)] == [True]
    loudest = max(int(np.abs(item.samples).max()) for item in items if isinstance(item, Frame))
    assert loudest == pytest.approx(8000, rel=0.2)


def test_a_new_recorder_and_a_removed_channel_close_the_taps(house: PageHouse) -> None:
    runtime = house.channel("ems")
    first = Taps(runtime)
    second = Taps(runtime)
    assert first.closed == [first.own, first.received]
    house.run(3)
    assert frames(first.own) == []
    house.manager.remove_channel("ems", house.now)
    assert second.closed == [second.own, second.received]
    assert [item.cause for item in second.own.take() if isinstance(item, Ended)] == ["stopped"]
    assert runtime.join(2.0)


def test_a_recorder_that_comes_during_a_transmission_knows_of_it(house: PageHouse) -> None:
    house.press("ems")
    house.run(3)
    taps = Taps(house.channel("ems"))
    assert [edge.active for edge in edges(taps.own)] == [True]


def test_pages_are_told_to_whatever_is_recorded(house: PageHouse) -> None:
    told: list[tuple[str, ToneMark]] = []
    house.manager.pages.mark = lambda channel_id, tone: told.append((channel_id, tone))
    house.page("dispatch")
    ((channel_id, tone),) = told
    assert (channel_id, tone.tone_id, tone.name, tone.kind) == (
        "dispatch",
        "engine-7",
        "Engine 7",
        "two_tone",
    )
    assert tone.end_us - tone.start_us == 3_000_000


def test_policies_go_by_the_channels_id() -> None:
    quiet, vox = RecordPolicy(mode="never"), RecordPolicy(mode="vox")
    settings = Recording(channels={"fire": quiet}, network={"ems": vox})
    assert channel_policy(settings, "fire") is quiet
    assert channel_policy(settings, "ems").mode == "pages"
    assert network_policy(settings, "ems") is vox
    assert network_policy(settings, "fire").mode == "never"
