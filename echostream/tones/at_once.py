"""Two tones at once, then two others (Quick Call I): pairs of steady tones that sound together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from echostream.tones.heard import Detection, Heard, Kind
from echostream.tones.measure import Measured
from echostream.tones.one_tone import LEAST_RUN_S, ROUGH_HZ, span
from echostream.tones.plan import AtOnce
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import Gate, confidence, hz_slack, length_slack_s

EDGE_S: Final = 0.1
"""Two tones that begin or end within this of each other do so together."""


class _Pair(NamedTuple):
    low: Measured
    high: Measured
    runs: tuple[SteadyTone, SteadyTone]

    @property
    def start(self) -> int:
        return max(self.low.start, self.high.start)

    @property
    def end(self) -> int:
        return min(self.low.end, self.high.end)

    @property
    def length_s(self) -> float:
        return (self.end - self.start) / EAR_RATE_HZ


class AtOnceRule:
    """Definitions of tones that sound together."""

    RULE: Final = "at_once"

    def __init__(self, definitions: tuple[AtOnce, ...], gate: Gate) -> None:
        self._definitions = definitions
        self._gate = gate
        least_s = min((d.length_s for d in definitions), default=0.0)
        self.least_samples = int(max(least_s - 0.3, LEAST_RUN_S) * EAR_RATE_HZ)

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """See `Rule`."""
        if self.RULE in tone.judged or (now < tone.wakes.get(self.RULE, 0) and not tone.over):
            return []
        tone.wakes[self.RULE] = now + EAR_RATE_HZ // 8
        for definition in self._definitions:
            wanted = definition.then_hz or definition.first_hz
            if min(abs(hz - tone.rough_hz) for hz in wanted) > definition.range_hz + ROUGH_HZ:
                continue
            heard = self._look_for(definition, wanted, tone, others, now)
            if heard is not None:
                return [heard]
        return []

    def settle(self, now: int) -> list[Heard]:
        """See `Rule`."""
        return []

    def forget(self) -> None:
        """See `Rule`."""

    def _look_for(
        self,
        definition: AtOnce,
        wanted: tuple[float, float],
        tone: SteadyTone,
        others: Iterable[SteadyTone],
        now: int,
    ) -> Detection | None:
        last = self._pair(definition, wanted, others, with_tone=tone)
        if last is None:
            return None
        pairs = [last]
        if definition.then_hz is not None:
            before = self._pair(definition, definition.first_hz, others, ends_at=last.start)
            if before is None:
                return None
            pairs.insert(0, before)
        tones = [measured for pair in pairs for measured in (pair.low, pair.high)]
        sure = min(confidence(measured) for measured in tones)
        if sure < self._gate.threshold:
            return None
        defined = (*definition.first_hz, *(definition.then_hz or ()))
        for run in last.runs:
            run.judged.add(self.RULE)
        return Detection(
            kind=Kind.AT_ONCE,
            tone_id=definition.tone_id,
            start=pairs[0].start,
            end=last.end,
            decided=now,
            tones=tuple(span(m, hz) for m, hz in zip(tones, defined, strict=True)),
            snr_db=min(m.snr_db for m in tones),
            level_dbfs=last.low.level_dbfs,
            twist_db=last.high.level_dbfs - last.low.level_dbfs,
            confidence=sure,
        )

    def _pair(
        self,
        definition: AtOnce,
        wanted: tuple[float, float],
        others: Iterable[SteadyTone],
        with_tone: SteadyTone | None = None,
        ends_at: int | None = None,
    ) -> _Pair | None:
        """Two tones that sound together long enough: one is `with_tone`, or both are over at `ends_at`."""
        found = [self._matching(definition, hz, others, ends_at) for hz in wanted]
        for low in found[0]:
            for high in found[1]:
                if with_tone is not None and with_tone not in (low[0], high[0]):
                    continue
                pair = _Pair(low[1], high[1], (low[0], high[0]))
                slack = max(length_slack_s(pair.low), length_slack_s(pair.high))
                together = abs(pair.low.start - pair.high.start) <= (EDGE_S + slack) * EAR_RATE_HZ
                if together and pair.length_s >= definition.length_s - slack:
                    return pair
        return None

    def _matching(
        self, definition: AtOnce, hz: float, others: Iterable[SteadyTone], ends_at: int | None
    ) -> list[tuple[SteadyTone, Measured]]:
        found: list[tuple[SteadyTone, Measured]] = []
        for other in others:
            if abs(other.rough_hz - hz) > definition.range_hz + ROUGH_HZ:
                continue
            measured = other.measured(fresh=True)
            if measured is None or not self._gate.lets(measured):
                continue
            if abs(measured.hz - hz) > definition.range_hz + hz_slack(measured):
                continue
            gap = (definition.gap_s + EDGE_S) * EAR_RATE_HZ
            if ends_at is not None and not -EDGE_S * EAR_RATE_HZ <= ends_at - measured.end <= gap:
                continue
            found.append((other, measured))
        return found
