"""A simulated card whose output is wired to its input, in this process: no driver, no sound server.

Where a real card would lose audio because the machine is busy, this one waits: an installation is not unsound
because the machine has something else to do.
"""

from __future__ import annotations

import threading
from typing import Final

import numpy as np

from echostream.audio.format import RATE_HZ, Samples, silence
from echostream.audio.ports import CardSpec
from echostream.simulator.file_cards import FileSink, FileSource, Voice

_MOST_S: Final = 2
_WAIT_S: Final = 0.5
"""When nothing has come for so long, nobody plays any more."""


class _Wire(Voice):
    """What was put in comes out again, all of it and in order; silence while nobody puts anything in."""

    def __init__(self, delay_samples: int) -> None:
        super().__init__(silence(0))
        self._delay = delay_samples
        self._changed = threading.Condition()
        self.clear()

    def clear(self) -> None:
        """Nothing but silence lies in the rings."""
        with self._changed:
            self._under_way: Samples = silence(self._delay)
            self._used = self._read = False

    def put(self, samples: Samples) -> None:
        with self._changed:
            if self._read:  # a ring that is full keeps its writer waiting
                self._read = self._changed.wait_for(lambda: len(self._under_way) <= self._delay, _WAIT_S)
            self._used = True
            self._under_way = np.concatenate((self._under_way, samples))[-_MOST_S * RATE_HZ :]
            self._changed.notify_all()

    def next(self, count: int) -> Samples:
        with self._changed:
            if not self._used:
                return silence(count)  # what lies in the rings begins to move with the first frame
            self._read = True
            self._used = self._changed.wait_for(lambda: len(self._under_way) >= count, _WAIT_S)
            part, self._under_way = self._under_way[:count], self._under_way[count:]
            self._changed.notify_all()
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
        wire.clear()
        return FileSink(spec.name, lambda _card, samples: wire.put(samples), spec.frame_ms)

    def _wire(self, spec: CardSpec) -> _Wire:
        return self._wires.setdefault(f"{spec.name}/{spec.side}", _Wire(self._delay))
