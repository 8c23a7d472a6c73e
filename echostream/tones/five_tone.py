"""Five-tone calls (selcall): ZVEI, CCIR, EEA, EIA, CCITT. See `tables.FIVE_TONE` for their tones and lengths.

Each system makes its own chain of the same pieces; where the chains end, the samples decide which systems the
sounds really fit, and the best one is reported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

import numpy as np

from echostream.tones.dial import fits, most_exact
from echostream.tones.five_tone_runs import Piece, PieceTracker
from echostream.tones.five_tone_verdict import Judgement, judge
from echostream.tones.heard import Detection, Heard, Kind, NearMiss, ToneSpan
from echostream.tones.measure import Past
from echostream.tones.plan import ListenPlan
from echostream.tones.short_tones import Spectra
from echostream.tones.sines import Fit, bend, fit_sines
from echostream.tones.stream import BLOCK_SAMPLES, EAR_RATE_HZ
from echostream.tones.tables import FIVE_TONE, FiveToneSystem
from echostream.tones.trust import LEVEL_SLACK_DB

LEAST_TONES: Final = 4
MOST_TONES: Final = 8
REPEAT: Final = "E"
NEAREST: Final = 0.029
"""A tone that is farther from every tone of a system does not belong to it."""
SHORTER: Final = 0.6
LONGER: Final = 1.5
"""Parts of a system's tone length that a tone may last to be in its chain."""
LONGEST_FIRST_S: Final = 1.3
"""Senders lengthen the first tone to wake receivers up."""
MOST_GAP: Final = round(0.018 * EAR_RATE_HZ)
BAND_HZ: Final = 300.0
_TRIM: Final = 16
_LEAST_FIT: Final = 120


@dataclass(frozen=True, slots=True)
class Link:
    """One tone of a chain. symbol: as in `FiveToneSystem.tones`. start, end: samples."""

    symbol: str
    hz: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A chain that ended, and what its samples said."""

    system: FiveToneSystem
    links: tuple[Link, ...]
    fits: tuple[Fit, ...]
    judgement: Judgement

    @property
    def start(self) -> int:
        """Of the first tone."""
        return self.links[0].start

    @property
    def end(self) -> int:
        """Of the last tone."""
        return self.links[-1].end

    @property
    def digits(self) -> str:
        """Repeat resolved."""
        digits = ""
        for link in self.links:
            digits += digits[-1] if link.symbol == REPEAT else link.symbol
        return digits


class Chain:
    """Tones of one system that followed each other."""

    def __init__(self, system: FiveToneSystem) -> None:
        self.system = system
        self.links: list[Link] = []
        self._length = system.tone_s * EAR_RATE_HZ

    def add(self, hz: float, start: int, end: int) -> list[Link]:
        """The next tone; the chain that it ends, if it does not continue it."""
        symbol = self._symbol(hz)
        last = self.links[-1] if self.links else None
        long_enough = end - start >= SHORTER * self._length
        inside = long_enough and end - start <= LONGER * self._length
        if last is not None and inside and symbol and symbol != last.symbol and start - last.end <= MOST_GAP:
            # Where two tones share a frame, noise may hide both: they meet in the middle.
            met = (last.end + start) // 2
            self.links[-1] = replace(last, end=met)
            self.links.append(Link(symbol, hz, met, end))
            return []
        over = self.end()
        may_begin = symbol and symbol != REPEAT and end - start <= LONGEST_FIRST_S * EAR_RATE_HZ
        if may_begin and long_enough:
            self.links = [Link(symbol, hz, start, end)]
        return over

    def end(self) -> list[Link]:
        """What there is; the chain is empty then."""
        links, self.links = self.links, []
        return links

    def _symbol(self, hz: float) -> str:
        """The nearest tone's, "" when none is near."""
        symbol, nominal_hz = min(self.system.tones.items(), key=lambda item: abs(math.log(hz / item[1])))
        return symbol if abs(hz / nominal_hz - 1) <= NEAREST else ""


class FiveToneListener:
    """See `Listener`."""

    def __init__(self, plan: ListenPlan) -> None:
        """ValueError for a system that is not in `FIVE_TONE`."""
        names = dict.fromkeys(
            [*plan.five_tone, *(item.system for item in plan.digits if item.system in FIVE_TONE)]
        )
        unknown = [name for name in names if name not in FIVE_TONE]
        if unknown:
            raise ValueError(f"five-tone system {unknown[0]!r}: expected one of {', '.join(FIVE_TONE)}")
        self._plan = plan
        self._chains = [Chain(FIVE_TONE[name]) for name in names]
        self._least_power = 0.5 * 10 ** ((plan.level_dbfs - LEVEL_SLACK_DB) / 10)
        self._tracker = PieceTracker(self._least_power / 2)
        self._calls: list[Call] = []
        self._shortest = min(chain.system.tone_s for chain in self._chains) * EAR_RATE_HZ * SHORTER

    def look(self, spectra: Spectra, first_end: int, past: Past) -> list[Heard]:
        """See `Listener`."""
        for piece in self._tracker.step(spectra, first_end):
            self._take(piece, past)
        quiet_since = past.end - BLOCK_SAMPLES
        if not self._tracker.sounding:
            for chain in self._chains:
                if chain.links and chain.links[-1].end + MOST_GAP < quiet_since:
                    self._end(chain, chain.end(), past)
        if self._calls and not any(self._may_grow(chain) for chain in self._chains):
            return self._report(past.end)
        return []

    def finish(self, past: Past) -> list[Heard]:
        """See `Listener`."""
        for piece in self._tracker.forget():
            self._take(piece, past)
        for chain in self._chains:
            self._end(chain, chain.end(), past)
        return self._report(past.end)

    def forget(self) -> None:
        """See `Listener`."""
        self._tracker.forget()
        self._calls.clear()
        for chain in self._chains:
            chain.end()

    def _take(self, piece: Piece, past: Past) -> None:
        hz, start, end = piece.measured()
        if end - start < self._shortest:
            return  # where two tones met, or a click
        for chain in self._chains:
            self._end(chain, chain.add(hz, start, end), past)

    def _may_grow(self, chain: Chain) -> bool:
        """Part of the sounds that a call was made of is still in a chain."""
        return len(chain.links) >= LEAST_TONES - 1 and chain.links[0].start < self._calls[-1].end

    def _end(self, chain: Chain, links: list[Link], past: Past) -> None:
        if len(links) < LEAST_TONES or links[0].end < past.start:
            return
        fits: list[Fit] = []
        bends: list[float] = []
        for link in links:
            inside = past.get(max(link.start + _TRIM, link.end - 1600), link.end - _TRIM).astype(np.float64)
            if inside.size < _LEAST_FIT:
                return
            fits.append(fit_sines(inside, (link.hz,), BAND_HZ))
            bends.append(bend(inside, fits[-1].hz[0]))
        nominal = [chain.system.tones[link.symbol] for link in links]
        lengths = [link.end - link.start for link in links]
        verdict = judge(fits, median(bends), nominal, lengths, chain.system, self._least_power)
        self._calls.append(Call(chain.system, tuple(links), tuple(fits), verdict))

    def _report(self, now: int) -> list[Heard]:
        """The best of what fits the same sounds, and no more of it."""
        calls, self._calls = self._calls, []
        heard: list[Heard] = []
        while calls:
            good = [call for call in calls if not call.judgement.reason] or calls
            best = max(good, key=self._rank)
            heard += self._detect(best, now) if not best.judgement.reason else self._refuse(best, now)
            calls = [call for call in calls if call.start >= best.end or call.end <= best.start]
        return sorted(heard, key=lambda item: item.start)

    def _rank(self, call: Call) -> tuple[int, float, int]:
        """The more tones the better, then the nearer, then as the plan has them."""
        names = [chain.system.name for chain in self._chains]
        return len(call.links), -round(call.judgement.distance, 3), -names.index(call.system.name)

    def _detect(self, call: Call, now: int) -> list[Heard]:
        confidence = 1 - 0.3 * call.judgement.distance
        if confidence < self._plan.threshold:
            return []
        same = [
            item
            for item in self._plan.digits
            if item.system == call.system.name and fits(item.digits, call.digits)
        ]
        found = most_exact(same)
        if found is None and call.system.name not in self._plan.five_tone:
            return []
        return [
            Detection(
                kind=Kind.FIVE_TONE,
                tone_id=found.tone_id if found is not None else "",
                start=call.start,
                end=call.end,
                decided=now,
                tones=_spans(call),
                digits=call.digits,
                system=call.system.name,
                snr_db=median(fit.snr_db for fit in call.fits),
                level_dbfs=10 * math.log10(median(fit.power for fit in call.fits)),
                confidence=confidence,
            )
        ]

    def _refuse(self, call: Call, now: int) -> list[Heard]:
        verdict = call.judgement
        if not (self._plan.explain and verdict.clear):
            return []
        explanation = f"the {call.system.name} call {call.digits} was not counted: {verdict.explanation}"
        return [
            NearMiss(
                Kind.FIVE_TONE, "", call.start, min(call.end, now), verdict.reason, explanation, _spans(call)
            )
        ]


def _spans(call: Call) -> tuple[ToneSpan, ...]:
    return tuple(
        ToneSpan(
            hz=fit.hz[0],
            start=link.start,
            end=link.end,
            level_dbfs=10 * math.log10(fit.power),
            snr_db=fit.snr_db,
            deviation_hz=fit.hz[0] - call.system.tones[link.symbol],
        )
        for link, fit in zip(call.links, call.fits, strict=True)
    )
