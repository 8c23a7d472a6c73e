"""What real time needs of the threads that move audio: to be asked first, and to tell how late they wake."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from echostream.audio.format import Frame, silence
from echostream.audio.ports import AudioSink, AudioSource, CardSpec, TellsLateness
from echostream.channels.audio_stream import AudioStream, ReceiveSettings
from echostream.channels.audio_workers import CaptureWorker, CardWorker, PlaybackWorker
from echostream.channels.channel_runtime import Cards
from echostream.channels.no_card import NoSink, NoSource
from echostream.channels.transmit_path import TransmitSettings
from echostream.coordinator.worker import Worker
from echostream.errors import SourceClosed
from echostream.events import Event
from echostream.simulator.file_cards import FileCards, Voice

SPEC = CardSpec("fire")


def ignore(event: Event) -> None: ...


def stream() -> AudioStream:
    return AudioStream(
        TransmitSettings(), ReceiveSettings(), None,
        on_vox=lambda active, at_s: None,
        on_drained=lambda number: None,
        on_playing=lambda playing: None,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool], timeout_s: float = 3.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition() and time.monotonic() < deadline_s:
        pause.wait(0.005)
    return condition()


class Fails(Worker):
    """Dies of a bug each time."""

    def __init__(self) -> None:
        super().__init__("fails", ignore)
        self.order: list[str] = []

    def _work(self) -> None:
        self.order.append("work")
        raise RuntimeError("a bug")


class NoCards:
    """Of a channel that has none."""

    def open_source(self, spec: CardSpec) -> NoSource:
        return NoSource(spec.frame_ms)

    def open_sink(self, spec: CardSpec) -> NoSink:
        return NoSink(spec.frame_ms)


def test_a_thread_is_asked_once_and_before_its_work_however_often_that_dies() -> None:
    worker = Fails()
    worker.on_thread = lambda name: worker.order.append(f"{name} on {threading.current_thread().name}")
    worker.start()
    assert wait_until(lambda: worker.restarts >= 2)
    worker.request_stop()
    assert worker.join(2.0)
    assert worker.order[:2] == ["fails on fails", "work"]
    assert worker.order.count("fails on fails") == 1


@pytest.mark.parametrize("direction", ["capture", "playback"])
@pytest.mark.parametrize("cards", [FileCards({"fire": Voice(np.zeros(960, np.int16), loop=True)}), NoCards()])
def test_each_wait_for_a_card_is_noted_with_how_late_it_ended(cards: Cards, direction: str) -> None:
    worker: CardWorker = (
        CaptureWorker("fire", "capture-fire", stream(), lambda: cards.open_source(SPEC), ignore)
        if direction == "capture"
        else PlaybackWorker("fire", "playback-fire", stream(), lambda: cards.open_sink(SPEC), ignore)
    )
    worker.start()
    assert wait_until(lambda: worker.frames >= 10)
    worker.request_stop()
    assert worker.join(2.0)
    found = worker.wakeups.snapshot
    assert worker.frames <= found.count <= worker.frames + 2
    assert 0 < found.percentile_us(0.5) < 20_000


class Silent:
    """A card that tells nothing: as every one was."""

    def __init__(self) -> None:
        self._closed = threading.Event()
        self._index = -1

    def read(self) -> Frame:
        if self._closed.wait(0.002):
            raise SourceClosed("closed")
        self._index += 1
        return Frame(silence(960), self._index, time.monotonic())

    def close(self) -> None:
        self._closed.set()


def test_a_card_that_does_not_tell_works_as_before() -> None:
    card: AudioSource | AudioSink = Silent()
    assert not isinstance(card, TellsLateness)
    worker = CaptureWorker("fire", "capture-fire", stream(), lambda: card, ignore)
    worker.start()
    assert wait_until(lambda: worker.frames >= 5)
    worker.request_stop()
    assert worker.join(2.0)
    assert worker.wakeups.snapshot.count == 0
