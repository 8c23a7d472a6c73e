"""A channel without a card, and one whose card is away: who keeps the time, and who is told of what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from device_bench import info, tone

from echostream.audio.device_ports import DeviceAudio
from echostream.audio.format import Frame, Samples, silence
from echostream.channels import no_card
from echostream.channels.audio_stream import AudioStream, ReceiveSettings
from echostream.channels.audio_workers import CaptureWorker
from echostream.channels.device_mix import DeviceMix
from echostream.channels.no_card import NoSink, NoSource
from echostream.channels.transmit_path import TransmitSettings
from echostream.config.esp32_models import DeviceDefaults
from echostream.errors import DeviceMissing, SourceClosed
from echostream.events import Opener


def eventually(condition: Callable[[], object], timeout_s: float = 3.0) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def test_silence_comes_at_the_pace_of_the_clock() -> None:
    source = NoSource(20)
    began_s = time.monotonic()
    frames = [source.read() for _ in range(10)]
    assert time.monotonic() - began_s == pytest.approx(0.2, abs=0.1)
    assert [frame.index for frame in frames] == list(range(10))
    assert all(frame.samples.size == 960 and not frame.samples.any() for frame in frames)


@pytest.mark.parametrize("make", [NoSource, NoSink])
def test_closing_frees_whoever_waits(make: type[NoSource] | type[NoSink]) -> None:
    device = make(60)
    refused: list[str] = []

    def use() -> None:
        try:
            while True:
                if isinstance(device, NoSource):
                    device.read()
                else:
                    device.wait_for_room()
                    device.write(silence(2880))
        except SourceClosed as error:
            refused.append(str(error))

    thread = threading.Thread(target=use, name="use")
    thread.start()
    time.sleep(0.1)
    device.close()
    thread.join(1.0)
    assert refused == ["closed"]


def test_a_machine_that_slept_does_not_run_after_the_time_it_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    slept_s = 0.0

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return time.monotonic() + slept_s

    monkeypatch.setattr(no_card, "time", Clock)
    source = NoSource(20)
    first = source.read()
    slept_s = 60.0
    second = source.read()
    began_s = time.monotonic()
    third = source.read()
    assert second.index - first.index == pytest.approx(3000, abs=5)
    assert second.gap
    assert third.index == second.index + 1
    assert time.monotonic() - began_s < 0.5
    assert not third.gap


class Absent:
    """A card that comes when it is let."""

    def __init__(self) -> None:
        self.card: NoSource | None = None

    def open(self) -> NoSource:
        if self.card is None:
            raise DeviceMissing("card usb:1-1.1 is not plugged in")
        return self.card


def make_stream() -> AudioStream:
    nobody = lambda *arguments: None  # noqa: E731
    return AudioStream(TransmitSettings(), ReceiveSettings(), None, nobody, nobody, nobody)


def test_microphones_are_heard_while_the_card_is_away_and_no_tap_hears_silence_for_it() -> None:
    stream, told = make_stream(), list[tuple[Opener, bool]]()
    taken: list[Frame] = []
    stream.transmit.taps = (taken.append,)

    def attach(mix: DeviceMix) -> None:
        stream.transmit.devices = mix

    mix = DeviceMix(20, 80.0, lambda opener, active, at_s: told.append((opener, active)), attach)
    slot = Absent()
    worker = CaptureWorker("c", "capture-c", stream, slot.open, lambda event: None)
    worker.start()
    sink = mix.open(info(), DeviceDefaults(channel="c", transmit="vox"))
    stopping = threading.Event()

    def speak() -> None:
        position = 0
        said: Samples = tone(16_000, 500, 0.02)
        while not stopping.wait(0.02):
            sink.audio(DeviceAudio(said, position, time.monotonic()))
            position += said.size

    speaker = threading.Thread(target=speak, name="speak")
    speaker.start()
    try:
        assert eventually(lambda: told == [(Opener.DEVICE, True)])
        assert taken == []
        slot.card = NoSource(20)
        assert eventually(lambda: len(taken) > 5)
    finally:
        stopping.set()
        speaker.join(2.0)
        worker.request_stop()
        assert worker.join(2.0)
    indexes = np.diff([frame.index for frame in taken])
    assert bool((indexes > 0).all())
