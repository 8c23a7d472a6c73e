"""The ear of one channel: audio of any rate in blocks of any size in, what was heard out.

The samples are brought to 8 kHz, filtered as the plan says, cut into blocks of 512 and handed to each ear.
All of that happens on a fixed grid counted from the first sample, so the result does not depend on the
blocks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from echostream.audio.filters import BiquadChain
from echostream.audio.resampler import RationalResampler
from echostream.tones.ears import ears_for, filters_for
from echostream.tones.heard import Heard, ToneSpan
from echostream.tones.plan import ListenPlan
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ, Ear, Signal

LOWEST_RATE_HZ: Final = 8000
_FULL_SCALE: Final = np.float32(1 / 32768)
IDLE_PORTIONS: Final = 3
"""While nothing is under way, this many portions are heard together: what comes out is the same."""
_PORTION_S: Final = 0.064
"""How much input is resampled in one go."""


class ToneDetector:
    """Listens to one stream as a plan says."""

    def __init__(self, plan: ListenPlan, rate_hz: int) -> None:
        """ValueError for a rate below 8000 Hz."""
        if rate_hz < LOWEST_RATE_HZ:
            raise ValueError(f"{rate_hz} Hz: expected a rate of {LOWEST_RATE_HZ} or more")
        self._rate_hz = rate_hz
        self._ears: tuple[Ear, ...] = ears_for(plan)
        self._filters: tuple[BiquadChain, ...] = filters_for(plan)
        self._resampler = None
        self._late = 0
        self._portion = BLOCK_SAMPLES
        if rate_hz != EAR_RATE_HZ:
            # What folds over lands above 3.4 kHz, where nobody listens: a short filter is enough.
            self._resampler = RationalResampler(rate_hz, EAR_RATE_HZ, half_width=14, cutoff=0.5, beta=6.8)
            self._late = self._resampler.latency_samples
            down = rate_hz // math.gcd(rate_hz, EAR_RATE_HZ)
            self._portion = max(1, round(_PORTION_S * rate_hz / down)) * down
        self._waiting: list[NDArray[Any]] = []
        self._waiting_size = 0
        self._ready: Signal = np.zeros(0, np.float32)
        self._taken = 0
        """Samples of the input so far, with those that were lost."""

    def feed(self, samples: NDArray[Any]) -> list[Heard]:
        """Shape (n,), int16 or float (±1.0), any n. What is decided now; sample indices are of 8 kHz."""
        self._waiting.append(samples)
        self._waiting_size += samples.size
        self._taken += samples.size
        # One long look costs less than three short ones, whose every first step meets cold caches.
        patience = 1 if any(ear.pressing for ear in self._ears) else IDLE_PORTIONS
        if self._waiting_size < self._portion * patience:
            return []
        pending = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting)
        whole = pending.size // self._portion * self._portion
        self._waiting = [pending[whole:]]
        self._waiting_size = pending.size - whole
        heard: list[Heard] = []
        for at in range(0, whole, self._portion):
            heard += self._take(pending[at : at + self._portion])
        return heard

    def gap(self, lost_samples: int) -> list[Heard]:
        """`lost_samples` (at the input's rate) never came: what was under way ends, time goes on."""
        heard = self.finish()
        self._taken += lost_samples
        for ear in self._ears:
            ear.reset(round(self._taken * EAR_RATE_HZ / self._rate_hz))
        return heard

    def finish(self) -> list[Heard]:
        """The stream is over; what was waiting for more is decided. `gap` may follow, and then more audio."""
        # Silence pushes the last samples through the resampler and fills the last block.
        spoken = self._waiting_size
        tail = self._portion * (1 + (spoken + self._late * self._rate_hz // EAR_RATE_HZ) // self._portion)
        rest = [np.asarray(part) for part in self._waiting]
        kind = rest[0].dtype if rest else np.dtype(np.float32)
        pending = np.concatenate([*rest, np.zeros(tail - spoken, kind)])
        self._waiting, self._waiting_size = [], 0
        heard: list[Heard] = []
        for at in range(0, pending.size, self._portion):
            heard += self._take(pending[at : at + self._portion])
        if self._ready.size:
            heard += self._hear(np.pad(self._ready, (0, BLOCK_SAMPLES - self._ready.size)))
            self._ready = np.zeros(0, np.float32)
        for ear in self._ears:
            heard += self._timed(ear.finish())
        if self._resampler is not None:
            self._resampler.reset()
        return heard

    def _take(self, portion: NDArray[Any]) -> list[Heard]:
        signal = portion.astype(np.float32)
        if portion.dtype == np.int16:
            signal *= _FULL_SCALE
        if self._resampler is not None:
            signal = self._resampler.process(signal)
        ready = np.concatenate((self._ready, signal)) if self._ready.size else signal
        heard: list[Heard] = []
        whole = ready.size // BLOCK_SAMPLES * BLOCK_SAMPLES
        for at in range(0, whole, BLOCK_SAMPLES):
            heard += self._hear(ready[at : at + BLOCK_SAMPLES])
        self._ready = ready[whole:]
        return heard

    def _hear(self, block: Signal) -> list[Heard]:
        for chain in self._filters:
            block = chain.process(block).astype(np.float32)
        heard: list[Heard] = []
        for ear in self._ears:
            heard += ear.hear(block)
        return self._timed(heard)

    def _timed(self, heard: Sequence[Heard]) -> list[Heard]:
        """Positions as the input had them: the resampler is late by a few samples."""
        return [_earlier(item, self._late) for item in heard] if self._late else list(heard)


def _earlier(item: Heard, samples: int) -> Heard:
    tones = tuple(_span_earlier(tone, samples) for tone in item.tones)
    start, end = max(0, item.start - samples), max(0, item.end - samples)
    # `decided` stays: the resampler's delay is part of how long it took.
    return dataclasses.replace(item, start=start, end=end, tones=tones)


def _span_earlier(tone: ToneSpan, samples: int) -> ToneSpan:
    return dataclasses.replace(tone, start=max(0, tone.start - samples), end=max(0, tone.end - samples))
