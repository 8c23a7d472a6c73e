"""Workers and cards that go away, hang and trip over bugs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from echostream.audio.format import Frame, Samples, silence
from echostream.channels.audio_stream import AudioStream, ReceiveSettings
from echostream.channels.audio_workers import CaptureWorker, PlaybackWorker, StallWatch
from echostream.channels.keying import KeyingSettings
from echostream.channels.transmit_path import TransmitSettings
from echostream.errors import DeviceLost, DeviceMissing, SourceClosed
from echostream.events import Event, SourceChanged, WorkerFailed


class Card:
    """A source and sink in one, 2 ms a frame, with the faults of a real card on demand."""

    def __init__(self) -> None:
        self.index = -1
        self.fault: BaseException | None = None
        self.hang = False
        self.overruns = 0
        self.closed = threading.Event()
        self.played: list[Samples] = []

    def _pace(self) -> None:
        if self.fault is not None:
            raise self.fault
        wait_s = 60.0 if self.hang else 0.002
        if self.closed.wait(wait_s):
            raise SourceClosed("closed")

    def read(self) -> Frame:
        self._pace()
        self.index += 1
        return Frame(silence(960), self.index, time.monotonic())

    def wait_for_room(self) -> None:
        self._pace()

    def write(self, samples: Samples) -> None:
        self.played.append(samples)

    def close(self) -> None:
        self.closed.set()


class Line:
    def __init__(self) -> None:
        self.states: list[bool] = []

    def key(self) -> None:
        self.states.append(True)

    def unkey(self) -> None:
        self.states.append(False)


class Slot:
    """Where cards are plugged in."""

    def __init__(self) -> None:
        self.card: Card | None = Card()
        self.opened = 0

    def open(self) -> Card:
        if self.card is None:
            raise DeviceMissing("card usb:1-1.1 is not plugged in")
        self.opened += 1
        return self.card


class Log:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.changed = threading.Condition()

    def post(self, event: Event) -> None:
        with self.changed:
            self.events.append(event)
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 3.0) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def presence(self) -> list[bool]:
        return [event.present for event in self.events if isinstance(event, SourceChanged)]


def make_stream(line: Line | None = None) -> AudioStream:
    return AudioStream(
        TransmitSettings(),
        ReceiveSettings(keying=KeyingSettings()),
        line,
        on_vox=lambda active, at_s: None,
        on_drained=lambda number: None,
        on_playing=lambda playing: None,
    )


def stopped(worker: CaptureWorker | PlaybackWorker) -> bool:
    worker.request_stop()
    return worker.join(2.0)


def test_card_pulled_and_put_back_is_taken_up_within_two_seconds() -> None:
    slot, log = Slot(), Log()
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: log.presence() == [True])
    pulled = slot.card
    assert pulled is not None
    slot.card = None
    pulled.fault = DeviceLost("unplugged")
    assert log.wait_for(lambda: log.presence() == [True, False])
    back_at_s = time.monotonic()
    slot.card = Card()
    assert log.wait_for(lambda: log.presence() == [True, False, True], 2.0)
    assert time.monotonic() - back_at_s < 2.0
    assert worker.restarts == 0
    assert stopped(worker)


def test_what_is_asked_for_while_the_card_is_away_does_not_pile_up() -> None:
    """The queue is bounded: after days without a card its oldest entry, that a passthrough is over, would be
    lost, and the channel would send silence in place of its microphone."""
    slot, log = Slot(), Log()
    slot.card = None
    stream = make_stream()
    worker = CaptureWorker("fire", "capture-fire", stream, slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: bool(log.presence()))
    stream.transmit.insert(None)
    stream.transmit.set_uplink(None)
    assert log.wait_for(lambda: not stream.transmit._requests, 1.5)
    assert stopped(worker)


def test_missing_card_is_said_once_and_not_at_every_try() -> None:
    slot, log = Slot(), Log()
    slot.card = None
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: bool(log.presence()))
    assert not log.wait_for(lambda: len(log.presence()) > 1, 1.2)
    assert worker.misses >= 2, "it is looked for all the time, which is a sign of life"
    assert worker.refusals == 0
    assert stopped(worker)


def test_what_a_card_lost_is_counted_over_its_returns() -> None:
    slot, log = Slot(), Log()
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: log.presence() == [True])
    first = slot.card
    assert first is not None
    first.overruns = 3
    assert worker.slips == 3
    slot.card = Card()
    slot.card.overruns = 2
    first.fault = DeviceLost("unplugged")
    assert log.wait_for(lambda: log.presence() == [True, False, True], 2.0)
    assert worker.slips == 5
    assert stopped(worker)
    assert worker.slips == 5


def test_worker_that_dies_of_a_bug_is_restarted_and_counted() -> None:
    slot, log = Slot(), Log()
    card = slot.card
    assert card is not None
    card.fault = ZeroDivisionError("a bug of ours")
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: any(isinstance(event, WorkerFailed) for event in log.events))
    slot.card = Card()
    assert log.wait_for(lambda: log.presence() == [True, False, True])
    assert worker.restarts == 1
    failed = next(event for event in log.events if isinstance(event, WorkerFailed))
    assert failed.error == "ZeroDivisionError: a bug of ours"
    assert stopped(worker)


def test_read_that_never_returns_is_freed_and_the_card_opened_again() -> None:
    slot, log = Slot(), Log()
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    watch = StallWatch(lambda: [worker])
    worker.start()
    watch.start()
    assert log.wait_for(lambda: log.presence() == [True])
    hung = slot.card
    assert hung is not None
    slot.card = Card()
    hung.hang = True
    assert log.wait_for(lambda: log.presence() == [True, False, True], 4.0)
    assert watch.freed == 1
    watch.stop()
    assert stopped(worker)


def test_stop_frees_a_worker_that_is_blocked_in_a_read() -> None:
    slot, log = Slot(), Log()
    assert slot.card is not None
    slot.card.hang = True
    worker = CaptureWorker("fire", "capture-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: log.presence() == [True])
    assert stopped(worker)


def test_loudspeaker_lost_drops_the_keyed_line_at_once() -> None:
    slot, log, line = Slot(), Log(), Line()
    stream = make_stream(line)
    stream.keying.step(silence(960), True)
    assert stream.keying.keyed
    assert slot.card is not None
    slot.card.fault = DeviceLost("unplugged")
    worker = PlaybackWorker("fire", "playback-fire", stream, slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: False in log.presence())
    assert line.states[-1] is False
    assert not stream.keying.keyed
    assert stopped(worker)


def test_playback_is_fed_silence_all_the_time() -> None:
    slot, log = Slot(), Log()
    card = slot.card
    assert card is not None
    worker = PlaybackWorker("fire", "playback-fire", make_stream(), slot.open, log.post)
    worker.start()
    assert log.wait_for(lambda: log.presence() == [True])
    deadline_s = time.monotonic() + 2.0
    while len(card.played) < 20 and time.monotonic() < deadline_s:
        card.closed.wait(0.01)
    assert len(card.played) >= 20
    assert not any(frame.any() for frame in card.played)
    assert stopped(worker)
