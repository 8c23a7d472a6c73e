"""Alert tones that often follow a page: one tone in pulses, or two in turn (hi-lo).

A run that is over is cut into the stretches in which its tone was on. Stretches of one frequency at a regular
distance are pulses; stretches that alternate between two frequencies without a pause are a hi-lo.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np

from echostream.tones.heard import Detection, Heard, Kind, ToneSpan
from echostream.tones.measure import CELL, cells
from echostream.tones.spectrum import WINDOW
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import Gate

LEAST_S, LONGEST_S = 0.08, 1.0
"""Of one pulse, and of a pause between two."""
LEAST_PULSES: Final = 5
REGULAR: Final = 0.12
"""By this part lengths and distances may differ from their median."""
SAME_HZ: Final = 8.0
SMOOTH_CELLS: Final = 3
QUIET_S: Final = 1.3
"""A pattern is over when nothing was added to it for this long."""
MOST_STRETCHES: Final = 64
LEAST_SHARE: Final = 0.5
"""An alert tone is most of what is heard; a note of music or a vowel seldom is."""
MOST_LEVEL_DB: Final = 3.0
"""By which the pulses' levels may differ."""
LEAST_CONTRAST: Final = 3.0
"""Level of a tone when on over its level when off."""


class Stretch(NamedTuple):
    """A tone from sample start to end. power: mean square; noise: in 0-4 kHz."""

    hz: float
    start: int
    end: int
    power: float
    noise: float


class AlertTonesRule:
    """Pulsed and hi-lo tones."""

    RULE: Final = "alert_tones"

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.least_samples = int(LEAST_S * EAR_RATE_HZ)
        self._stretches: list[Stretch] = []
        self._newest = 0

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """See `Rule`."""
        if not tone.over or self.RULE in tone.judged or tone.used_until:
            return []
        tone.judged.add(self.RULE)
        found = [s for s in _stretches(tone) if _share(s, tone) >= LEAST_SHARE]
        if found and all(LEAST_S <= (s.end - s.start) / EAR_RATE_HZ <= LONGEST_S for s in found):
            self._stretches = (self._stretches + found)[-MOST_STRETCHES:]
            self._newest = now
        return []

    def settle(self, now: int) -> list[Heard]:
        """See `Rule`."""
        if not self._stretches or now - self._newest < QUIET_S * EAR_RATE_HZ:
            return []
        stretches = sorted(self._stretches, key=lambda s: s.start)
        self._stretches = []
        found = [self._pattern(chain, now) for chain in _chains(stretches)]
        heard: list[Heard] = []
        # Pulses have sidebands that pulse too: of what sounds at the same time the strongest counts.
        for pattern in sorted((p for p in found if p is not None), key=lambda p: -p.level_dbfs):
            if all(pattern.end <= other.start or other.end <= pattern.start for other in heard):
                heard.append(pattern)
        return heard

    def forget(self) -> None:
        """See `Rule`."""
        self._stretches = []

    def _pattern(self, chain: list[Stretch], now: int) -> Detection | None:
        if len(chain) < LEAST_PULSES:
            return None
        loudest = max(s.power for s in chain)
        if 10 * np.log10(loudest) + 3.01 < self._gate.level_dbfs:
            return None
        quietest = min(s.power for s in chain)
        if 10 * np.log10(loudest / max(quietest, 1e-15)) > MOST_LEVEL_DB:
            return None
        lengths = np.array([s.end - s.start for s in chain], float)
        steps = np.diff([s.start for s in chain]).astype(float)
        if _irregular(lengths) or _irregular(steps):
            return None
        first, second = chain[0], chain[1]
        hi_lo = abs(first.hz - second.hz) > SAME_HZ
        tones = chain[:2] if hi_lo else chain[:1]
        noise = max(first.noise, 1e-15)
        return Detection(
            kind=Kind.HI_LO if hi_lo else Kind.PULSED,
            tone_id="",
            start=first.start,
            end=chain[-1].end,
            decided=now,
            tones=tuple(_span(s) for s in tones),
            snr_db=float(10 * np.log10(first.power / noise)),
            level_dbfs=float(10 * np.log10(loudest)),
        )


def _span(s: Stretch) -> ToneSpan:
    level = float(10 * np.log10(max(s.power, 1e-15)))
    return ToneSpan(s.hz, s.start, s.end, level, level - float(10 * np.log10(max(s.noise, 1e-15))))


def _share(s: Stretch, tone: SteadyTone) -> float:
    """Power of the tone over all that was heard in the middle of the stretch."""
    edge = (s.end - s.start) // 6
    signal = tone.past.get(s.start + edge, s.end - edge)
    everything = float(np.mean(np.square(signal, dtype=np.float64))) if signal.size else 0.0
    return s.power / everything if everything > 0 else 0.0


def _irregular(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> bool:
    middle = float(np.median(values))
    return bool(np.any(np.abs(values - middle) > REGULAR * middle + 0.02 * EAR_RATE_HZ))


def _stretches(tone: SteadyTone) -> list[Stretch]:
    """Where the tone of a run was on."""
    run = tone.run
    hz = float(np.median(run.hz))
    start = max(tone.past.start, run.first - WINDOW)
    signal = tone.past.get(start, run.last)
    if signal.size < 2 * CELL * SMOOTH_CELLS:
        return []
    level = np.abs(np.convolve(cells(signal, hz), np.full(SMOOTH_CELLS, 1 / SMOOTH_CELLS), "same"))
    top = float(np.percentile(level, 80))
    on = level > top / 2
    off = level[~on]
    if off.size and top < LEAST_CONTRAST * float(np.median(off)):
        return []
    edges = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(np.int8), [0]))))
    noise = float(np.median(run.noises))
    return [
        Stretch(hz, start + int(a) * CELL, start + int(b) * CELL, 2 * float(np.mean(level[a:b] ** 2)), noise)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def _chains(stretches: list[Stretch]) -> list[list[Stretch]]:
    """Stretches in a row that are of one tone with pauses, or of two in turn without."""
    chains: list[list[Stretch]] = []
    for stretch in stretches:
        for chain in chains:
            if _continues(chain, stretch):
                chain.append(stretch)
                break
        else:
            chains.append([stretch])
    return chains


def _continues(chain: list[Stretch], stretch: Stretch) -> bool:
    last = chain[-1]
    pause_s = (stretch.start - last.end) / EAR_RATE_HZ
    if len(chain) == 1:
        same = abs(last.hz - stretch.hz) <= SAME_HZ
        return (0.03 <= pause_s <= LONGEST_S) if same else abs(pause_s) <= 0.06
    before = chain[-2]
    alternating = abs(before.hz - last.hz) > SAME_HZ
    if abs(before.hz - stretch.hz) > SAME_HZ:
        return False
    return abs(pause_s) <= 0.06 if alternating else 0.03 <= pause_s <= LONGEST_S
