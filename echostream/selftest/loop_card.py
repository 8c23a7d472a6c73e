"""A simulated card whose output is wired to its input, in this process: no driver, no sound server."""

from __future__ import annotations

import threading

import numpy as np

from echostream.audio.format import RATE_HZ, Samples, silence
from echostream.audio.ports import CardSpec
from echostream.simulator.file_cards import FileSink, FileSource, Voice


class _Wire(Voice):
    """What was put in comes out again, at the pace of whoever takes it."""

    def __init__(self, delay_samples: int) -> None:
        super().__init__(silence(0))
        self._wire_lock = threading.Lock()
        self._delay = delay_samples
        self._under_way: Samples = silence(0)

    def put(self, samples: Samples) -> None:
        with self._wire_lock:
            if not len(self._under_way):
                self._under_way = silence(self._delay)
            self._under_way = np.concatenate((self._under_way, samples))[-10 * RATE_HZ :]

    def next(self, count: int) -> Samples:
        with self._wire_lock:
            part, self._under_way = self._under_way[:count], self._under_way[count:]
        return part if len(part) == count else np.concatenate((part, silence(count - len(part))))


class LoopCards:
    """Any card that is asked for, each wired to itself. delay_samples: what lies in its rings."""

    def __init__(self, delay_samples: int = RATE_HZ // 50) -> None:
        self._delay = delay_samples
        self._wires: dict[str, _Wire] = {}

    def open_source(self, spec: CardSpec) -> FileSource:
        return FileSource(self._wire(spec), spec.frame_ms)

    def open_sink(self, spec: CardSpec) -> FileSink:
        wire = self._wire(spec)
        return FileSink(spec.name, lambda _card, samples: wire.put(samples), spec.frame_ms)

    def _wire(self, spec: CardSpec) -> _Wire:
        return self._wires.setdefault(f"{spec.name}/{spec.side}", _Wire(self._delay))
