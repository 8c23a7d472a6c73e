"""Gateways in this process on cards whose clocks the benchmark sets, for the figures of the whole way."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from echostream.audio.format import Frame, Samples, samples_per_frame
from echostream.audio.ports import CardSpec
from echostream.channels.audio_stream import PttOutput
from echostream.channels.channel_runtime import Hardware, Inputs, Line
from echostream.config.models import Audio, Channel, Config, ControlServer
from echostream.config.models import Gateway as Identity
from echostream.errors import GpioError, SourceClosed
from echostream.gateway import Gateway, Secrets

FRAME_S = 0.02
WAIT_S = 5.0
Speak = Callable[[int], Samples]
"""The samples of frame number n."""

__all__ = [
    "FRAME_S",
    "NoCosReaders",
    "NoOutputs",
    "PacedCards",
    "PacedSink",
    "PacedSource",
    "running",
    "wait_until",
]


class _Pace:
    """Instants 20 ms apart, `phase_s` into the periods of the clock; nobody waits for a late caller."""

    def __init__(self, phase_s: float) -> None:
        periods = math.ceil((time.monotonic() - phase_s) / FRAME_S)
        self._due_s = periods * FRAME_S + phase_s
        self._closed = threading.Event()

    def wait(self) -> float:
        wait_s = self._due_s - time.monotonic()
        if (wait_s > 0 and self._closed.wait(wait_s)) or self._closed.is_set():
            raise SourceClosed("closed")
        due_s, self._due_s = self._due_s, self._due_s + FRAME_S
        return due_s

    def close(self) -> None:
        self._closed.set()


class PacedSource:
    """A microphone. complete_s: when each of its frames was complete on its own clock."""

    def __init__(self, speak: Speak, phase_s: float) -> None:
        self._speak = speak
        self._pace = _Pace(phase_s)
        self.complete_s: list[float] = []

    def read(self) -> Frame:
        due_s = self._pace.wait()
        number = len(self.complete_s)
        self.complete_s.append(due_s)
        return Frame(self._speak(number), number, time.monotonic())

    def close(self) -> None:
        self._pace.close()


class PacedSink:
    """A loudspeaker. heard: (when the frame was handed over, when it was taken, its samples), while it keeps
    them: half a megabyte for each second of five."""

    def __init__(self, phase_s: float, keeps: bool = True) -> None:
        self._pace = _Pace(phase_s)
        self._keeps = keeps
        self.heard: list[tuple[float, float, Samples]] = []

    def wait_for_room(self) -> None:
        self._pace.wait()

    def write(self, samples: Samples) -> None:
        """As a card's: there is room after wait_for_room(), so it takes the frame at once."""
        if not self._keeps:
            return
        handed_s = time.monotonic()
        self.heard.append((handed_s, time.monotonic(), samples))

    def close(self) -> None:
        self._pace.close()


class PacedCards:
    """Cards by name; `phases_s`: how far into a frame period each one's clock stands. keeps: what they hear
    and say is kept, for whoever looks afterwards."""

    def __init__(self, speak: Speak, phases_s: dict[str, tuple[float, float]], keeps: bool = True) -> None:
        self._speak = speak
        self._keeps = keeps
        self._phases_s = phases_s
        self.sources: dict[str, PacedSource] = {}
        self.sinks: dict[str, PacedSink] = {}

    def open_source(self, spec: CardSpec) -> PacedSource:
        assert samples_per_frame(spec.frame_ms) == FRAME_S * 48_000
        source = PacedSource(self._speak, self._phases_s[spec.name][0])
        return self.sources.setdefault(spec.name, source)

    def open_sink(self, spec: CardSpec) -> PacedSink:
        return self.sinks.setdefault(spec.name, PacedSink(self._phases_s[spec.name][1], self._keeps))


class NoOutputs:
    def output(self, channel_id: str) -> PttOutput:
        raise GpioError(f"channel {channel_id}: no line here")


class NoCosReaders:
    def watch_cos(self, card: str, *, active_low: bool, on_change: Callable[[bool, float], None]) -> Line:
        raise GpioError(f"card {card}: no line here")


@contextlib.contextmanager
def running(
    url: str, name: str, channels: Sequence[Channel], cards: PacedCards, inputs: Inputs | None = None
) -> Iterator[Gateway]:
    """A gateway with the settings it has without being told anything, online on every channel."""
    config = Config(
        gateway=Identity(id=name, affiliation_id=name),
        control_server=ControlServer(url=url),
        channels=tuple(channels),
        audio=Audio(),
    )
    hardware = Hardware(cards, inputs, NoOutputs(), NoCosReaders())
    gateway = Gateway(config, Secrets(), hardware, on_shutdown=lambda reason: None)
    gateway.start()
    try:
        if not wait_until(lambda: all(runtime.state.online for runtime in gateway.channels), WAIT_S):
            raise RuntimeError(f"gateway {name} did not come online")
        yield gateway
    finally:
        gateway.stop()


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Look every 2 ms."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.002)
    return True
