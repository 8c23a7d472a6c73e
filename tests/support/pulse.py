"""Benches for the sound card contract: the mock, and real PortAudio over one PulseAudio daemon a card.

Cards of a bench: `usb0` and `usb1`, `late` (not plugged in when the hardware starts), `duo` (stereo).
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from echostream.audio.format import RATE_HZ, Samples
from echostream.audio.ports import AudioSink, AudioSource, CardSpec, Side
from echostream.errors import EchoStreamError
from echostream.hardware.audio_hardware import AudioHardware
from echostream.hardware.audio_mock import MockAudioHardware
from echostream.hardware.card_identity import CardInfo
from echostream.simulator.microphone import Loudspeaker, Microphone
from echostream.simulator.virtual_cards import VirtualCards

MONO = ("usb0", "usb1", "late")
STEREO = ("duo",)


class Hardware(Protocol):
    """What AudioHardware and its mock have in common."""

    def open_source(self, spec: CardSpec) -> AudioSource: ...

    def open_sink(self, spec: CardSpec) -> AudioSink: ...

    def present(self, name: str) -> bool: ...

    def cards(self) -> list[CardInfo]: ...

    def close(self) -> None: ...


class CardBench(Protocol):
    """Hardware, and the hands at its cards."""

    hardware: Hardware

    def plug(self, name: str) -> None: ...

    def unplug(self, name: str) -> None: ...

    def hang(self, name: str) -> None: ...

    def speak(self, name: str, samples: NDArray[np.int16]) -> None: ...

    def played(self, name: str, side: Side = "mono") -> Samples: ...


class MockBench:
    """The mock on the real clock."""

    def __init__(self) -> None:
        self._mock = MockAudioHardware([*MONO, *STEREO])
        self._mock.unplug("late")
        self.hardware: Hardware = self._mock

    def plug(self, name: str) -> None:
        self._mock.plug(name)

    def unplug(self, name: str) -> None:
        self._mock.unplug(name)

    def hang(self, name: str) -> None:
        self._mock.hang(name)

    def speak(self, name: str, samples: NDArray[np.int16]) -> None:
        for _ in range(5):
            self._mock.feed(name, samples)

    def played(self, name: str, side: Side = "mono") -> Samples:
        return self._mock.played(name, side)

    def close(self) -> None:
        self.hardware.close()


class PulseBench:
    """Real PortAudio, real ALSA, PulseAudio for cards."""

    def __init__(self, folder: Path) -> None:
        (folder / "m").mkdir()
        (folder / "s").mkdir()
        self._mono = VirtualCards(MONO, folder / "m")
        os.environ.update(self._mono.environment())
        self._stereo = VirtualCards(STEREO, folder / "s", channels=2)
        os.environ.update(self._stereo.environment())
        self._mono.pull("late")
        self._people: list[Microphone | Loudspeaker] = []
        self._ears: dict[tuple[str, Side], Loudspeaker] = {}
        self.hardware: Hardware = AudioHardware([*MONO, *STEREO])

    def plug(self, name: str) -> None:
        self._group(name).plug(name)

    def unplug(self, name: str) -> None:
        self._group(name).pull(name)

    def hang(self, name: str) -> None:
        os.killpg(self._group(name)[name].group, signal.SIGSTOP)

    def speak(self, name: str, samples: NDArray[np.int16]) -> None:
        self._people.append(Microphone(self._group(name)[name], samples, pause_s=0))

    def played(self, name: str, side: Side = "mono") -> Samples:
        """The first call begins to listen."""
        if (name, side) not in self._ears:
            self._ears[name, side] = Loudspeaker(self._group(name)[name], side=side)
        return self._ears[name, side].heard()

    def close(self) -> None:
        for person in (*self._people, *self._ears.values()):
            person.close()
        self.hardware.close()
        self._mono.close()
        self._stereo.close()

    def _group(self, name: str) -> VirtualCards:
        return self._stereo if name in STEREO else self._mono


@contextmanager
def card_bench(kind: str) -> Iterator[CardBench]:
    """`kind`: "mock" or "pulse"."""
    if kind == "mock":
        made = MockBench()
        try:
            yield made
        finally:
            made.close()
        return
    folder = Path(tempfile.mkdtemp(prefix="es", dir="/tmp"))  # a socket's path is short
    with mock.patch.dict(os.environ):
        real = PulseBench(folder)
        try:
            yield real
        finally:
            real.close()
            shutil.rmtree(folder, ignore_errors=True)


def tone(hz: float, duration_s: float = 1.0, peak: int = 8000) -> Samples:
    """A sine that begins and ends on a whole period when hz * duration_s is whole."""
    t = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    sine: Samples = np.rint(peak * np.sin(2 * np.pi * hz * t)).astype(np.int16)
    return sine


def level_at(samples: Samples, hz: float) -> float:
    """Peak of the sine of that frequency in the samples."""
    t = np.arange(len(samples)) / RATE_HZ
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * t))))


class Outcome:
    """A call in a thread of its own, repeated until it raises: what it raised, and when."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.calls = 0
        self.error: EchoStreamError | None = None
        self.at_s = 0.0
        self._call = call
        self._thread = threading.Thread(target=self._run, name="test-outcome", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float = 5.0) -> EchoStreamError:
        self._thread.join(timeout_s)
        assert self.error is not None, f"still running after {timeout_s} s and {self.calls} calls"
        return self.error

    def _run(self) -> None:
        try:
            while True:
                self._call()
                self.calls += 1
        except EchoStreamError as error:
            self.error = error
            self.at_s = time.monotonic()
