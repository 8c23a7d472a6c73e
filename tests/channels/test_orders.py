"""What is ordered from elsewhere: done where it may be, refused with a reason, answered exactly once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from page_house import FRAME, UNIX, PageHouse, plan

from echostream.archive.page_recorder import PageRing, PageToRecord
from echostream.audio.format import RATE_HZ
from echostream.channels.channel_state import Phase
from echostream.channels.orders import MOST_RELOADS, RELOAD_S
from echostream.channels.page_orders import MOST_WAITING
from echostream.config.listen import listen_plan
from echostream.config.tone_models import TonePlan
from echostream.events import (
    CommandAsked,
    CommandDone,
    Event,
    Opener,
    PlaybackChanged,
    ReloadEnded,
    SignallingLost,
    TransmissionChanged,
)
from echostream.tones.detector import ToneDetector
from echostream.tones.heard import Detection

MIC = 3000
PAGE_FRAMES = round((0.3 + 1.0 + 3.0 + 0.2) * 50)


class Desk(PageHouse):
    """A house that keeps what was answered and posted."""

    def __init__(self, plans: dict[str, TonePlan], tot_s: float = 60.0) -> None:
        self.answers: list[tuple[bool, str]] = []
        self.told: list[Event] = []
        super().__init__(plans, tot_s)
        for runtime in self.manager.channels.values():
            until_s = time.monotonic() + 2.0
            while not (runtime.capture.present and runtime.playback.present):
                assert time.monotonic() < until_s
                time.sleep(0.001)

    def settle(self, *events: Event) -> None:
        self.events += events
        while self.events:
            event = self.events.pop(0)
            self.told.append(event)
            self.manager.handle(event, self.now)

    def ask(self, name: str, channel_id: str = "", **values: object) -> None:
        self.settle(
            CommandAsked(name, channel_id, values, "mqtt", lambda ok, text: self.answers.append((ok, text)))
        )

    def page_out(self, channel_id: str, wait_s: float = 0) -> None:
        self.ask("page_out", channel_id, tone_id="engine-7", wait_s=wait_s)

    def answer(self) -> tuple[bool, str]:
        assert len(self.answers) == 1
        return self.answers.pop()

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if type(event) is kind]


@pytest.fixture
def desks() -> Iterator[list[Desk]]:
    built: list[Desk] = []
    yield built
    for desk in built:
        desk.close()


@pytest.fixture
def desk(desks: list[Desk]) -> Desk:
    desks.append(Desk({"tac": plan("ems", passthrough=False), "dispatch": plan("tac")}))
    return desks[0]


def heard_in(samples: np.ndarray, tones: TonePlan) -> list[str]:
    """The pages that an ear finds in what a loudspeaker played."""
    ear = ToneDetector(listen_plan(tones), RATE_HZ)
    quiet = np.zeros(RATE_HZ, np.int16)
    found = [*ear.feed(samples), *ear.feed(quiet)]
    return [one.tone_id for one in found if isinstance(one, Detection)]


# ---- a page


def test_a_page_goes_out_on_the_keyed_radio_and_to_the_members(desk: Desk) -> None:
    desk.page_out("tac")
    assert desk.answers == []
    desk.run(10, tac=MIC)
    assert desk.hardware.lines["tac"].keyed
    played = desk.run(PAGE_FRAMES, tac=MIC)["tac"]
    assert heard_in(played, plan("ems")) == ["engine-7"]
    desk.run(20, tac=MIC)
    assert desk.answer() == (True, "Engine 7 sent on the radio and to the network")
    assert desk.signalling.sent == [("transmit_started", "tac"), ("transmit_ended", "tac")]
    assert not desk.hardware.lines["tac"].keyed
    done = desk.of(CommandDone)[0]
    assert isinstance(done, CommandDone)
    assert (done.name, done.channel_id, done.who, done.ok) == ("page_out", "tac", "mqtt", True)


def test_the_members_hear_the_whole_page_and_nothing_of_the_microphone(desk: Desk) -> None:
    desk.page_out("tac")
    desk.run(PAGE_FRAMES + 30, tac=MIC)
    levels = desk.sent("tac")
    assert len(levels) >= PAGE_FRAMES
    loud = int(np.sum(levels > 1000))
    assert loud == pytest.approx(200, abs=6)  # 1 s and 3 s of tones
    assert levels[-8:].max() < 100  # the silence at its end, though the microphone hears somebody


def test_no_other_channel_plays_or_sends_anything_of_it(desk: Desk) -> None:
    desk.page_out("tac")
    played = desk.run(PAGE_FRAMES)
    assert not played["dispatch"].any()
    assert not played["ems"].any()
    assert {channel for _, channel in desk.signalling.sent} == {"tac"}


@pytest.mark.parametrize("frames_before", [1, 60])
def test_a_second_page_is_refused_while_one_is_sent(desk: Desk, frames_before: int) -> None:
    desk.page_out("tac")
    desk.run(frames_before)
    desk.page_out("tac")
    ok, text = desk.answer()
    assert not ok
    assert "busy" in text
    desk.run(PAGE_FRAMES + 20)
    assert desk.answer()[0]


def test_a_page_is_refused_while_somebody_holds_the_key(desk: Desk) -> None:
    desk.press("tac")
    desk.page_out("tac")
    assert desk.answer() == (False, "busy: this gateway transmits there (button)")


def test_a_page_is_refused_while_another_member_talks(desk: Desk) -> None:
    desk.settle(PlaybackChanged("tac", True))
    desk.page_out("tac")
    assert desk.answer() == (False, "busy: somebody talks there")


def test_a_page_is_refused_while_another_is_passed_through(desk: Desk) -> None:
    desk.page("dispatch")
    desk.run(10)
    desk.page_out("tac")
    assert not desk.answer()[0]


def test_pages_that_are_ordered_together_go_out_one_after_the_other(desk: Desk) -> None:
    for _ in range(3):
        desk.page_out("tac", wait_s=30)
    played = np.concatenate([desk.run(PAGE_FRAMES + 30)["tac"] for _ in range(3)])
    assert heard_in(played, plan("ems")) == ["engine-7"] * 3
    assert desk.answers == [(True, "Engine 7 sent on the radio and to the network")] * 3


def test_a_page_waits_until_the_key_is_released_by_itself(desk: Desk) -> None:
    desk.press("tac")
    desk.ask("page_out", "tac", tone_id="engine-7")
    desk.run(200, tac=MIC)
    assert desk.answers == []
    desk.press("tac", active=False)
    played = desk.run(PAGE_FRAMES + 60, tac=MIC)["tac"]
    assert heard_in(played, plan("ems")) == ["engine-7"]
    assert desk.answer()[0]


def test_a_page_whose_channel_is_never_free_is_refused_at_the_end_of_its_wait(desk: Desk) -> None:
    desk.press("tac")
    desk.page_out("tac", wait_s=2)
    desk.run(99)
    assert desk.answers == []
    desk.run(10)
    assert desk.answer() == (False, "busy: this gateway transmits there (button)")
    desk.press("tac", active=False)
    desk.run(300)
    assert desk.answers == []


def test_a_page_that_waits_is_refused_when_the_loudspeaker_is_muted(desk: Desk) -> None:
    desk.press("tac")
    desk.page_out("tac", wait_s=30)
    desk.ask("mute", "tac", what="loudspeaker", muted=True)
    desk.answers.clear()
    desk.run(10)
    assert desk.answer() == (False, "its loudspeaker is muted")


def test_more_than_a_few_pages_do_not_wait(desk: Desk) -> None:
    desk.press("tac")
    for _ in range(MOST_WAITING + 1):
        desk.page_out("tac", wait_s=30)
    assert desk.answer() == (False, f"busy: {MOST_WAITING} pages wait there already")


def test_a_page_that_waits_is_answered_when_its_channel_is_removed(desk: Desk) -> None:
    desk.press("tac")
    desk.page_out("tac", wait_s=30)
    assert desk.manager.remove_channel("tac", desk.now).join(2.0)
    ok, text = desk.answer()
    assert not ok
    assert "taken away" in text
    desk.run(300)


@pytest.mark.parametrize("wait_s", [-1, 121, "5", None, float("nan")])
def test_how_long_a_page_may_wait_is_checked(desk: Desk, wait_s: object) -> None:
    desk.ask("page_out", "tac", tone_id="engine-7", wait_s=wait_s)
    assert not desk.answer()[0]


@pytest.mark.parametrize("channel", ["nowhere", "TAC"])
def test_an_unknown_channel_is_said(desk: Desk, channel: str) -> None:
    desk.page_out(channel)
    ok, text = desk.answer()
    assert not ok
    assert "does not run" in text


@pytest.mark.parametrize("tone_id", ["engine-8", 7, None, ""])
def test_a_page_that_the_channel_does_not_have_is_refused(desk: Desk, tone_id: object) -> None:
    desk.ask("page_out", "tac", tone_id=tone_id)
    ok, text = desk.answer()
    assert not ok
    assert "none of this channel's" in text


def test_a_page_that_the_time_out_timer_would_cut_is_refused_before_it_begins(desks: list[Desk]) -> None:
    desks.append(Desk({"tac": plan("ems")}, tot_s=3.0))
    desks[0].page_out("tac")
    ok, text = desks[0].answer()
    assert not ok
    assert "lasts" in text
    assert desks[0].signalling.sent == []


def test_without_the_control_server_the_page_goes_out_on_the_radio(desk: Desk) -> None:
    desk.settle(SignallingLost("closed"))
    desk.signalling.sent.clear()
    desk.page_out("tac")
    played = desk.run(PAGE_FRAMES + 10)["tac"]
    assert heard_in(played, plan("ems")) == ["engine-7"]
    assert desk.answer() == (True, "Engine 7 sent on the radio")
    assert desk.signalling.sent == []


def test_the_control_server_goes_in_the_middle_of_a_page_and_the_radio_has_all_of_it(desk: Desk) -> None:
    desk.page_out("tac")
    first = desk.run(60)["tac"]
    desk.settle(SignallingLost("closed"))
    rest = desk.run(PAGE_FRAMES)["tac"]
    assert heard_in(np.concatenate((first, rest)), plan("ems")) == ["engine-7"]
    desk.run(200)
    ok, text = desk.answer()
    assert not ok
    assert text == "Engine 7 sent on the radio; Engine 7 not sent whole to the network"
    assert desk.channel("tac").state.active == frozenset()


def test_a_button_pressed_meanwhile_talks_when_the_page_is_out(desk: Desk) -> None:
    """The tones are whole on the radio; the dispatcher's voice follows in the same transmission."""
    desk.page_out("tac")
    first = desk.run(50)["tac"]
    desk.press("tac")
    rest = desk.run(PAGE_FRAMES - 50)["tac"]
    assert heard_in(np.concatenate((first, rest)), plan("ems")) == ["engine-7"]
    desk.run(20, tac=MIC)
    assert desk.answer()[0]
    assert desk.channel("tac").state.phase is Phase.OPEN
    assert desk.channel("tac").inserted is None
    desk.press("tac", active=False)
    desk.run(10)
    assert desk.signalling.sent == [("transmit_started", "tac"), ("transmit_ended", "tac")]


def test_a_passthrough_that_begins_meanwhile_waits_on_the_loudspeaker(desk: Desk) -> None:
    desk.page_out("tac")
    first = desk.run(50)["tac"]
    desk.page("dispatch", length_s=30.0)
    rest = desk.run(PAGE_FRAMES - 50, dispatch=MIC)["tac"]
    assert heard_in(np.concatenate((first, rest)), plan("ems")) == ["engine-7"]
    desk.run(20, dispatch=MIC)
    after = desk.run(20, dispatch=MIC)["tac"]
    assert np.mean(np.abs(after.astype(float) - MIC) < 50) > 0.9


def test_a_channel_that_is_removed_in_the_middle_of_a_page_answers_so(desk: Desk) -> None:
    desk.page_out("tac")
    desk.run(50)
    runtime = desk.manager.remove_channel("tac", desk.now)
    assert runtime.join(2.0)
    ok, text = desk.answer()
    assert not ok
    assert "not sent whole" in text
    desk.run(300)


# ---- volume, mute


def test_the_volume_changes_what_is_played_and_says_what_it_was(desk: Desk) -> None:
    desk.ask("volume", "ems", gain_db=-20)
    assert desk.answer() == (True, "output gain -20 dB until the restart")
    assert desk.channel("ems").output_gain_db == -20.0
    done = desk.of(CommandDone)[0]
    assert isinstance(done, CommandDone)
    assert (done.before, done.after) == (0.0, -20.0)


def test_a_quieter_page_is_played(desk: Desk) -> None:
    desk.ask("volume", "tac", gain_db=-20)
    desk.page_out("tac")
    played = desk.run(PAGE_FRAMES)["tac"]
    assert np.abs(played).max() == pytest.approx(32768 * 10 ** (-32 / 20), rel=0.03)


@pytest.mark.parametrize("gain_db", [61, -60.5, float("nan"), float("inf"), "3", None, True])
def test_a_volume_that_cannot_be_meant_changes_nothing(desk: Desk, gain_db: object) -> None:
    desk.ask("volume", "ems", gain_db=gain_db)
    assert not desk.answer()[0]
    assert desk.channel("ems").output_gain_db == 0.0


def test_a_muted_microphone_ends_what_it_transmits_and_opens_nothing(desk: Desk) -> None:
    desk.press("tac")
    desk.run(5, tac=MIC)
    desk.ask("mute", "tac", what="microphone", muted=True)
    desk.run(10, tac=MIC)
    assert desk.signalling.sent[-1] == ("transmit_ended", "tac")
    ended = desk.of(TransmissionChanged)[-1]
    assert isinstance(ended, TransmissionChanged)
    assert ended.why == "muted"
    assert desk.channel("tac").microphone_muted
    desk.press("tac", active=False)
    desk.press("tac")
    desk.run(10, tac=MIC)
    assert desk.channel("tac").state.phase is Phase.IDLE
    desk.ask("mute", "tac", what="microphone", muted=False)
    assert desk.channel("tac").state.phase is Phase.OPEN  # the key is still down


def test_a_button_that_does_nothing_because_of_a_mute_is_explained_in_the_log(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.press("tac")
    desk.press("tac", active=False)
    assert "muted" not in caplog.text
    desk.ask("mute", "tac", what="microphone", muted=True)
    desk.press("tac")
    assert "its microphone is muted, so button opens nothing" in caplog.text


def test_nothing_of_a_muted_microphone_is_sent_with_a_page_or_a_passthrough(desk: Desk) -> None:
    desk.ask("mute", "tac", what="microphone", muted=True)
    desk.page("dispatch", length_s=2.0)
    desk.press("tac")
    desk.run(60, tac=MIC)
    levels = desk.sent("tac")
    assert len(levels) > 50
    assert levels.max() < 100  # the source is silent; the button of the muted channel takes nothing over


def test_a_muted_loudspeaker_plays_and_keys_nothing_and_refuses_pages(desk: Desk) -> None:
    desk.page_out("tac")
    desk.run(50)
    desk.ask("mute", "tac", what="loudspeaker", muted=True)
    assert desk.answer()[0]
    played = desk.run(20)["tac"]
    assert not played.any()
    assert not desk.hardware.lines["tac"].keyed
    desk.run(PAGE_FRAMES)
    desk.answers.clear()
    desk.page_out("tac")
    assert desk.answer() == (False, "its loudspeaker is muted")


@pytest.mark.parametrize("values", [{}, {"what": "radio", "muted": True}, {"what": "microphone", "muted": 1}])
def test_what_to_mute_is_checked(desk: Desk, values: dict[str, object]) -> None:
    desk.ask("mute", "tac", **values)
    assert not desk.answer()[0]


def test_a_muted_channel_whose_settings_change_stays_mute(desk: Desk) -> None:
    """A reload must not open a microphone that somebody shut."""
    desk.ask("mute", "ems", what="microphone", muted=True)
    desk.ask("mute", "ems", what="loudspeaker", muted=True)
    desk.ask("volume", "ems", gain_db=6)
    old = desk.manager.remove_channel("ems", desk.now)
    assert old.join(2.0)
    again = type(old)(old.config, desk.audio, desk.parts, desk.events.append)
    desk.manager.add_channel(again, desk.now)
    assert again.microphone_muted
    assert again.loudspeaker_muted
    assert again.output_gain_db == 6.0


# ---- record, reload, anything else


class Recorder:
    """Keeps what it is asked for."""

    def __init__(self, wanted: bool = True) -> None:
        self.pages: list[PageToRecord] = []
        self.rings: dict[str, PageRing] = {}
        self.ended: list[str] = []
        self.wanted = wanted
        self.busy = False

    def set_ring(self, channel_id: str, ring: PageRing) -> None:
        self.rings[channel_id] = ring

    def record(self, page: PageToRecord) -> None:
        self.pages.append(page)
        self.busy = True

    def end(self, channel_id: str) -> None:
        self.ended.append(channel_id)

    def wants(self, channel_id: str) -> bool:
        return self.wanted

    def recording(self, channel_id: str) -> bool:
        return self.busy


def test_what_is_asked_for_is_recorded_from_now_on_and_the_ring_goes_afterwards(desk: Desk) -> None:
    recorder = Recorder()
    desk.manager.pages.set_recorder(recorder)  # type: ignore[arg-type]
    desk.run(10, ems=MIC)
    desk.ask("record", "ems", seconds=2)
    assert desk.answer() == (True, "recorded for 2 s")
    (page,) = recorder.pages
    assert (page.position, page.tone_ids, page.trigger) == (10 * FRAME, [], "command")
    assert (page.started_at_s, page.until_s) == (UNIX, desk.now + 2.0)
    desk.run(100, ems=MIC)
    frames = recorder.rings["ems"].since(page.position)
    assert sum(len(frame.samples) for frame in frames) == 100 * FRAME
    recorder.busy = False
    desk.run(400)
    assert desk.channel("ems").stream.transmit.taps == ()
    assert recorder.ended == ["ems"]


def test_a_page_recorded_on_the_same_channel_keeps_its_ring(desk: Desk) -> None:
    recorder = Recorder()
    desk.manager.pages.set_recorder(recorder)  # type: ignore[arg-type]
    desk.manager.pages.attach(desk.channel("tac"), desk.now)
    ring = recorder.rings["tac"]
    desk.ask("record", "tac", seconds=1)
    assert recorder.rings["tac"] is ring
    recorder.busy = False
    desk.run(400)
    assert recorder.ended == []
    assert ring in desk.channel("tac").stream.transmit.taps


@pytest.mark.parametrize(("recorder", "why"), [(None, "recording.enabled"), (Recorder(False), "never")])
def test_what_is_never_recorded_is_refused(desk: Desk, recorder: Recorder | None, why: str) -> None:
    desk.manager.pages.set_recorder(recorder)  # type: ignore[arg-type]
    desk.ask("record", "ems", seconds=5)
    ok, text = desk.answer()
    assert not ok
    assert why in text


@pytest.mark.parametrize("seconds", [0, 0.5, 3601, "9", None])
def test_how_long_is_checked(desk: Desk, seconds: object) -> None:
    desk.ask("record", "ems", seconds=seconds)
    assert not desk.answer()[0]


def test_a_reload_is_answered_when_it_has_ended_and_once(desk: Desk) -> None:
    asked: list[None] = []
    desk.manager.orders.ask_reload = lambda: asked.append(None)
    desk.ask("reload")
    assert (len(asked), desk.answers) == (1, [])
    desk.settle(ReloadEnded(True, "nothing changed"))
    assert desk.answer() == (True, "nothing changed")
    desk.settle(ReloadEnded(True, "nothing changed"))
    assert desk.answers == []


def test_a_reload_that_never_ends_is_answered_too(desk: Desk) -> None:
    desk.manager.orders.ask_reload = lambda: None
    desk.ask("reload")
    desk.run(round(RELOAD_S * 50) + 2)
    assert not desk.answer()[0]


def test_reloads_without_end_are_refused(desk: Desk) -> None:
    desk.manager.orders.ask_reload = lambda: None
    for _ in range(MOST_RELOADS + 1):
        desk.ask("reload")
    assert desk.answer() == (False, "a reload is under way")


@pytest.mark.parametrize("name", ["reload", "launch"])
def test_what_nobody_can_do_is_refused(desk: Desk, name: str) -> None:
    desk.ask(name)
    assert not desk.answer()[0]


def test_the_opener_of_a_page_is_told_with_the_transmission(desk: Desk) -> None:
    desk.page_out("tac")
    desk.run(PAGE_FRAMES + 30)
    began, ended = desk.of(TransmissionChanged)
    assert began == TransmissionChanged("tac", True, (Opener.PAGE,))
    assert isinstance(ended, TransmissionChanged)
    assert ended.openers == (Opener.PAGE,)
    assert ended.lasted_s == pytest.approx(4.5, abs=0.2)
