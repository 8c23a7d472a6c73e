"""The watchdog's policy: what hangs restarts the gateway, what is away does not, one channel not twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.service.feed import (
    ALL,
    COORDINATOR,
    FIRST_SIGN_S,
    SILENT_S,
    STUCK_S,
    ChannelProgress,
    Feeder,
    Progress,
    Verdict,
)

Moves = Callable[[int], bool]


def always(_: int) -> bool:
    return True


def never(_: int) -> bool:
    return False


def until(second: int) -> Moves:
    return lambda now: now < second


class Gateway:
    """Channels by name; what each direction does in a second: frames, a card away, one that does not open."""

    def __init__(self, *names: str, forgiven: tuple[str, ...] = ()) -> None:
        self.feeder = Feeder(forgiven)
        self.frames: dict[tuple[str, str], Moves] = {}
        self.missing: dict[tuple[str, str], Moves] = {}
        self.refused: dict[tuple[str, str], Moves] = {}
        self.answers: Moves = always
        self.turns = 0
        self.counts: dict[tuple[str, str], Progress] = {}
        for name in names:
            for way in ("capture", "playback"):
                self.frames[name, way] = always
                self.missing[name, way] = self.refused[name, way] = never
                self.counts[name, way] = Progress(0, 0, 0)

    def second(self, now: int) -> Verdict:
        for key, before in self.counts.items():
            frames = 50 if self.frames[key](now) else 0
            misses = 2 if self.missing[key](now) else 0
            refusals = 2 if self.refused[key](now) else 0
            self.counts[key] = Progress(
                before.frames + frames, before.misses + misses, before.refusals + refusals
            )
        self.turns += self.answers(now)
        names = dict.fromkeys(name for name, _ in self.counts)
        channels = [
            ChannelProgress(name, self.counts[name, "capture"], self.counts[name, "playback"])
            for name in names
        ]
        return self.feeder.look(channels, self.turns, float(now))

    def run(self, seconds: int) -> list[Verdict]:
        return [self.second(now) for now in range(seconds)]

    def hang(self, name: str, at: int, *ways: str) -> None:
        for way in ways or ("capture", "playback"):
            self.frames[name, way] = until(at)


def first_refusal(verdicts: list[Verdict]) -> int:
    return next((at for at, one in enumerate(verdicts) if not one.feed), -1)


def test_a_gateway_that_runs_is_fed_for_ever() -> None:
    assert all(one == Verdict(True) for one in Gateway("a", "b").run(300))


def test_a_gateway_of_microphones_alone_is_fed() -> None:
    assert first_refusal(Gateway().run(60)) == -1


def test_nothing_moves_any_more() -> None:
    gateway = Gateway("a", "b")
    gateway.hang("a", 30)
    gateway.hang("b", 30)
    verdicts = gateway.run(60)
    assert first_refusal(verdicts) == pytest.approx(30 + SILENT_S, abs=1)
    assert verdicts[-1].blame == ALL
    assert verdicts[-1].stuck == ("a", "b")


def test_a_pulled_card_is_no_reason_to_restart() -> None:
    """All cards are gone for ten minutes: each is looked for twice a second, and that is a sign of life."""
    gateway = Gateway("a", "b")
    for key in gateway.frames:
        gateway.frames[key] = until(20)
        gateway.missing[key] = lambda now: now >= 20
    assert first_refusal(gateway.run(600)) == -1


def test_a_card_that_worked_hung_and_does_not_open_any_more() -> None:
    """What the hang left behind keeps it. In the next run it has not worked: then it is somebody else's."""
    gateway = Gateway("a")
    for key in gateway.frames:
        gateway.frames[key] = until(20)
        gateway.refused[key] = lambda now: now >= 20
    assert first_refusal(gateway.run(60)) == pytest.approx(20 + SILENT_S, abs=1)


def test_a_card_that_another_program_has_from_the_start_does_not_restart_us() -> None:
    gateway = Gateway("a", "b")
    for way in ("capture", "playback"):
        gateway.frames["a", way] = never
        gateway.refused["a", way] = always
    gateway.hang("b", 300)
    verdicts = gateway.run(400)
    assert first_refusal(verdicts) == pytest.approx(300 + STUCK_S, abs=1)
    assert verdicts[-1].blame == "b"


def test_one_direction_of_one_channel_hangs() -> None:
    gateway = Gateway("a", "b")
    gateway.hang("b", 30, "capture")
    verdicts = gateway.run(80)
    assert first_refusal(verdicts) == pytest.approx(30 + STUCK_S, abs=1)
    assert verdicts[-1].blame == "b"
    assert verdicts[40].feed
    assert verdicts[40].stuck == ("b",)
    assert verdicts[40].why == ("channel b: capture hangs for 11 s",)


def test_the_same_channel_does_not_restart_the_others_twice() -> None:
    gateway = Gateway("a", "b", forgiven=("b",))
    gateway.hang("b", 30)
    verdicts = gateway.run(300)
    assert first_refusal(verdicts) == -1
    assert verdicts[-1].stuck == ("b",), "it is still said"
    gateway = Gateway("a", "b", forgiven=("b",))
    gateway.hang("a", 30)
    assert gateway.run(100)[-1].blame == "a"


def test_the_last_channel_is_not_forgiven_when_nothing_else_moves() -> None:
    gateway = Gateway("b", forgiven=("b",))
    gateway.hang("b", 30)
    assert gateway.run(60)[-1].blame == ALL


def test_the_coordinator_does_not_answer() -> None:
    gateway = Gateway("a")
    gateway.answers = until(30)
    verdicts = gateway.run(60)
    assert first_refusal(verdicts) == pytest.approx(30 + SILENT_S, abs=1)
    assert verdicts[-1].blame == COORDINATOR


def test_what_hung_and_moves_again_is_fed_again() -> None:
    gateway = Gateway("a")
    for way in ("capture", "playback"):
        gateway.frames["a", way] = lambda now: not 30 <= now < 40
    verdicts = gateway.run(60)
    assert not verdicts[38].feed
    assert verdicts[45] == Verdict(True)


def test_a_channel_that_never_gives_a_sign_is_waited_for_longer_and_not_for_ever() -> None:
    gateway = Gateway("a")
    gateway.hang("a", 0)
    assert first_refusal(gateway.run(60)) == pytest.approx(FIRST_SIGN_S + SILENT_S, abs=1.5)


def test_a_process_that_stood_still_is_not_judged_by_it() -> None:
    """SIGSTOP and SIGCONT, a machine that slept, a disk that held everybody: all stood still together."""
    gateway = Gateway("a")
    gateway.run(30)
    gateway.hang("a", 0)  # the first look afterwards comes before the first frame
    gateway.answers = never
    assert gateway.second(300).feed
    assert gateway.second(301).feed
    for now in range(302, 310):
        verdict = gateway.second(now)
    assert not verdict.feed


def test_a_channel_that_a_reload_replaced_begins_anew() -> None:
    gateway = Gateway("a")
    gateway.hang("a", 20)
    gateway.run(24)
    gateway.counts = {key: Progress(0, 0, 0) for key in gateway.counts}
    gateway.frames = dict.fromkeys(gateway.frames, always)
    assert all(gateway.second(now).feed for now in range(24, 60))


def test_a_channel_that_is_gone_is_nobodys_fault() -> None:
    gateway = Gateway("a", "b")
    gateway.hang("b", 20)
    gateway.run(30)
    for key in [key for key in gateway.counts if key[0] == "b"]:
        del gateway.counts[key]
    assert all(gateway.second(now) == Verdict(True) for now in range(30, 100))


@given(pauses=st.lists(st.floats(0.05, 600.0), max_size=40))
def test_who_moves_between_any_two_looks_is_always_fed(pauses: list[float]) -> None:
    feeder, now = Feeder(), 0.0
    for turn, pause in enumerate(pauses):
        now += pause
        progress = Progress(turn, 0, 0)
        assert feeder.look([ChannelProgress("a", progress, progress)], turn, now).feed
