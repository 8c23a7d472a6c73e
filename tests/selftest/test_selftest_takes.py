"""Takes over cards: real PortAudio and a sound server, a loop in the process, and cards that do not do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from echostream.audio.format import RATE_HZ, Frame, Samples, silence
from echostream.audio.ports import AudioSink, AudioSource, CardSpec
from echostream.errors import AudioError, DeviceLost, DeviceMissing, SourceClosed
from echostream.selftest.analysis import analyse
from echostream.selftest.items import failed, judged
from echostream.selftest.judge import round_trip_ms
from echostream.selftest.loop_card import LoopCards
from echostream.selftest.parts import Simulation, open_cards
from echostream.selftest.run import run, run_fairly
from echostream.selftest.setup import Asked, Setup
from echostream.selftest.signal import as_samples, chirp, known_signal
from echostream.selftest.take import Take, take

CARD = CardSpec("card")


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("selftest-")]


@pytest.mark.parametrize("delay_ms", [150])
def test_the_round_trip_of_a_loop_is_its_delay(delay_ms: int) -> None:
    known = known_signal(quick=True)
    taken = take(LoopCards(RATE_HZ * delay_ms // 1000), CARD, known.samples)
    found = analyse(known, taken.heard)
    assert found is not None
    assert round_trip_ms(taken, found) == pytest.approx(delay_ms, abs=30.0)  # a frame each way
    assert found.slip == pytest.approx(0.0, abs=0.1)
    assert ours() == []


def test_a_virtual_card_of_a_sound_server_comes_back_as_it_was_played() -> None:
    """PortAudio, ALSA and PulseAudio. How many breaks a busy machine makes is not judged."""
    setup = Setup("channel", "usb0")
    simulation = Simulation("missing", setup)
    assert simulation.card
    known = known_signal(quick=True)
    with open_cards("usb0", simulation, sound_server=True) as (cards, name):
        for _ in range(3):  # a chirp may be among what a busy machine loses
            taken = take(cards, CardSpec(name), known.samples)
            found = analyse(known, taken.heard)
            if found is not None and found.slip is not None:
                break
    assert found is not None
    assert "PulseAudio" in simulation.said[0]
    assert found.gain_db == pytest.approx(0.0, abs=0.1)
    assert 0 < round_trip_ms(taken, found) < 1000


class StuckSource:
    """A card that gives nothing."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def read(self) -> Frame:
        self._closed.wait(30.0)
        raise SourceClosed("closed")

    def close(self) -> None:
        self._closed.set()


class PulledSource:
    """A card that is pulled after some frames."""

    def __init__(self, frames: int) -> None:
        self._left = frames
        self._index = -1

    def read(self) -> Frame:
        self._index += 1
        if self._index >= self._left:
            raise DeviceLost("card card was unplugged")
        return Frame(silence(960), self._index, 100.0 + self._index * 0.02)

    def close(self) -> None: ...


@dataclass
class OddCards:
    """The loop's sink, and another source; or no sink at all."""

    source: AudioSource
    sink: AudioSink | None = None
    closed: list[str] = field(default_factory=list)

    def open_source(self, spec: CardSpec) -> AudioSource:
        return self.source

    def open_sink(self, spec: CardSpec) -> AudioSink:
        if self.sink is None:
            raise DeviceMissing(f"card {spec.name} has no loudspeaker")
        return self.sink


def test_a_card_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echostream.selftest.take._LATE_S", 0.3)
    cards = OddCards(StuckSource(), LoopCards().open_sink(CARD))
    with pytest.raises(DeviceLost, match="moves no audio"):
        take(cards, CARD, as_samples(chirp()))
    assert ours() == []


def test_a_card_that_is_pulled_ends_the_take_at_once() -> None:
    cards = OddCards(PulledSource(20), LoopCards().open_sink(CARD))
    with pytest.raises(DeviceLost, match="unplugged"):
        take(cards, CARD, known_signal(quick=True).samples)
    assert ours() == []


def test_a_card_without_a_loudspeaker_leaves_no_source_open() -> None:
    source = StuckSource()
    with pytest.raises(DeviceMissing):
        take(OddCards(source), CARD, silence(960))
    assert source._closed.is_set()


def test_lost_frames_are_counted() -> None:
    """The source says so itself: the take passes it on."""
    loop = LoopCards()

    class Losing:
        overruns = 3

        def __init__(self) -> None:
            self._inner = loop.open_source(CARD)

        def read(self) -> Frame:
            frame = self._inner.read()
            frame.gap = frame.index == 30
            return frame

        def close(self) -> None:
            self._inner.close()

    taken = take(OddCards(Losing(), loop.open_sink(CARD)), CARD, silence(RATE_HZ))
    assert (taken.overruns, taken.gaps) == (3, 1)


def test_a_cable_in_the_cards_other_side_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stereo card whose cable leads from left to right."""

    def crossed(_cards: object, spec: CardSpec, samples: Samples, hear: CardSpec | None = None) -> Take:
        heard = samples if hear is not None and hear.side == "right" else silence(len(samples))
        return Take(heard, 0.0, 0.0, 10.0, 0, 0, 0)

    monkeypatch.setattr("echostream.selftest.run.take", crossed)
    monkeypatch.setattr("echostream.selftest.run._network", list)
    setup = Setup("left-channel", "duo", "left")
    report, heard = run(Asked(quick=True), setup, Simulation("all", setup))
    assert heard is not None
    signal = next(item for item in report.items if item.name == "signal")
    assert "other side" in signal.shown
    assert not report.passed


def test_a_card_that_is_not_there_is_an_item_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextmanager
    def absent(*_: object, **__: object) -> Iterator[tuple[LoopCards, str]]:
        raise AudioError("card usb:9-9 is not plugged in")
        yield LoopCards(), ""

    monkeypatch.setattr("echostream.selftest.run.open_cards", absent)
    monkeypatch.setattr("echostream.selftest.run._network", list)
    setup = Setup("channel", "usb:9-9")
    report, heard = run(Asked(quick=True), setup, Simulation("all", setup))
    assert heard is None
    assert [(item.name, item.verdict) for item in report.items] == [("card", "fail"), ("wire", "note")]
    assert "echostream devices" in report.items[0].remedy


def test_a_busy_moment_does_not_condemn_an_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, and only where nothing but software is on trial."""
    reports = [[failed("network", "end to end", "late", "")], [judged("network", "x", 1, "", True, "", "")]]
    monkeypatch.setattr("echostream.selftest.run._audio", lambda *_: None)
    monkeypatch.setattr("echostream.selftest.run._keying", lambda *_: None)
    monkeypatch.setattr("echostream.selftest.run._network", lambda: reports.pop(0))
    setup = Setup("channel", None)
    report, _ = run_fairly(Asked(simulate="all"), setup, Simulation("all", setup))
    assert report.passed
    assert "second run" in report.simulated[0]
    assert "end to end" in report.simulated[0]
    reports.append([failed("network", "end to end", "late", "")])
    assert not run_fairly(Asked(), setup, Simulation(None, setup))[0].passed
    reports += [[failed("network", "end to end", "late", "")], [failed("network", "end to end", "late", "")]]
    assert not run_fairly(Asked(simulate="all"), setup, Simulation("all", setup))[0].passed


def test_a_wire_of_samples_gives_them_back_in_order() -> None:
    cards = LoopCards(delay_samples=480)
    source, sink = cards.open_source(CARD), cards.open_sink(CARD)
    spoken: Samples = np.arange(960, dtype=np.int16)
    sink.write(spoken)
    heard = np.concatenate([source.read().samples for _ in range(2)])
    source.close()
    sink.close()
    at = int(np.argmax(heard == 1)) - 1
    assert at == 480
    assert np.array_equal(heard[at : at + 960], spoken)
