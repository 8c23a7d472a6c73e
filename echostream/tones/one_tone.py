"""One tone that lasts (group calls, 1750 Hz bursts, 1000 Hz alerts), and pairs that nobody defined."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Final

from echostream.tones.company import alone, share_of_all
from echostream.tones.heard import Detection, Heard, Kind, ToneSpan
from echostream.tones.measure import Measured
from echostream.tones.plan import NewTones, OneTone
from echostream.tones.steady import SteadyTone
from echostream.tones.stream import EAR_RATE_HZ
from echostream.tones.trust import Gate, confidence, hz_slack, length_slack_s

ROUGH_HZ: Final = 3.0
LEAST_RUN_S: Final = 0.1
A_SHARE: Final = 0.4
"""An unknown A lasts at least this part of what an unknown B must."""
NEW_GAP_S: Final = 0.5
NEW_WAIT_S: Final = 6.0
"""An unknown B that does not end is reported when it has lasted this much longer than it must."""
SHORT_S: Final = 2.0
SHORT_SHARE: Final = 0.4
"""A tone shorter than SHORT_S must be at least this part of all that is heard."""


def span(tone: Measured, defined_hz: float | None = None) -> ToneSpan:
    """What is reported of a tone."""
    off = 0.0 if defined_hz is None else tone.hz - defined_hz
    return ToneSpan(tone.hz, tone.start, tone.end, tone.level_dbfs, tone.snr_db, off)


class OneToneRule:
    """Tones that need no second one."""

    RULE: Final = "one_tone"

    def __init__(self, definitions: tuple[OneTone, ...], gate: Gate, whole: bool = False) -> None:
        self._definitions = definitions
        self._gate = gate
        self._whole = whole
        self._unfinished: list[tuple[Detection, SteadyTone, OneTone]] = []
        least_s = min((d.length_s for d in definitions), default=0.0)
        self.least_samples = int(max(least_s - 0.3, LEAST_RUN_S) * EAR_RATE_HZ)

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """See `Rule`."""
        if self.RULE in tone.judged or (now < tone.wakes.get(self.RULE, 0) and not tone.over):
            return []
        near = [d for d in self._definitions if abs(d.hz - tone.rough_hz) <= d.range_hz + ROUGH_HZ]
        near = [d for d in near if tone.longest >= (d.length_s - 0.3) * EAR_RATE_HZ]
        tone.wakes[self.RULE] = now + EAR_RATE_HZ // 8
        measured = tone.measured(fresh=True) if near else None
        if measured is None or not self._gate.lets(measured) or tone.used_until > measured.start:
            return []
        fits = [d for d in near if abs(measured.hz - d.hz) <= d.range_hz + hz_slack(measured)]
        if not fits:
            return []
        nearest = min(fits, key=lambda d: abs(measured.hz - d.hz) / d.hz)
        due_s = nearest.length_s - length_slack_s(measured)
        if measured.length_s < due_s:
            tone.wakes[self.RULE] = max(now + 1, measured.start + int(due_s * EAR_RATE_HZ))
            return []
        sure = confidence(measured) * alone(((measured, tone),), others)
        if nearest.length_s < SHORT_S and share_of_all(measured, tone) < SHORT_SHARE:
            sure = 0.0  # a vowel can be as steady as that for as long, but it is never alone
        if sure < self._gate.threshold:
            return []
        tone.judged.add(self.RULE)
        found = Detection(
            kind=Kind.LONG_TONE,
            tone_id=nearest.tone_id,
            start=measured.start,
            end=measured.end,
            decided=now,
            tones=(span(measured, nearest.hz),),
            snr_db=measured.snr_db,
            level_dbfs=measured.level_dbfs,
            confidence=sure,
        )
        if self._whole:
            self._unfinished.append((found, tone, nearest))
            return []
        return [found]

    def settle(self, now: int) -> list[Heard]:
        """See `Rule`."""
        over = [each for each in self._unfinished if each[1].over]
        self._unfinished = [each for each in self._unfinished if not each[1].over]
        return [_finished(found, tone, definition) for found, tone, definition in over]

    def forget(self) -> None:
        """See `Rule`."""
        self._unfinished = []


USED: Final = "new_tones_used"
"""Part of an unknown pair already."""


def _finished(found: Detection, tone: SteadyTone, definition: OneTone) -> Detection:
    """The same with all of the tone."""
    measured = tone.measured(fresh=True)
    if measured is None or measured.end < found.end:
        return found
    return dataclasses.replace(found, end=measured.end, tones=(span(measured, definition.hz),))


class NewTonesRule:
    """Pairs that fit no definition, once a page, when their B is over."""

    RULE: Final = "new_tones"

    def __init__(self, settings: NewTones, is_known: Callable[[float, float], bool], gate: Gate) -> None:
        """is_known(a_hz, b_hz): a definition has these tones."""
        self._settings = settings
        self._is_known = is_known
        self._gate = gate
        self._least_a_s = A_SHARE * settings.length_s
        self.least_samples = int(max(self._least_a_s - 0.3, LEAST_RUN_S) * EAR_RATE_HZ)

    def judge(self, tone: SteadyTone, others: Iterable[SteadyTone], now: int) -> list[Heard]:
        """See `Rule`."""
        least_s = self._settings.length_s
        if self.RULE in tone.judged or tone.judged & {"two_tone", "one_tone"}:
            return []
        if tone.longest < (least_s if tone.over else least_s + NEW_WAIT_S) * EAR_RATE_HZ:
            return []
        tone.judged.add(self.RULE)
        b = tone.measured(fresh=True)
        if b is None or b.length_s < least_s - length_slack_s(b) or not self._steady(tone, b):
            return []
        best: tuple[float, SteadyTone, Measured] | None = None
        for other in others:
            # A tone that made no pair as B may well be an A.
            if other is tone or other.judged - {"alert_tones", self.RULE} or not self._may_precede(other, b):
                continue
            a = other.measured(fresh=True)
            if a is None or a.length_s < self._least_a_s - length_slack_s(a) or not self._steady(other, a):
                continue
            gap_s = (b.start - a.end) / EAR_RATE_HZ
            if not -0.15 <= gap_s <= NEW_GAP_S or a.length_s > 3 * max(b.length_s, 1.0):
                continue
            if best is None or abs(gap_s) < best[0]:
                best = (abs(gap_s), other, a)
        if best is None or self._is_known(best[2].hz, b.hz):
            return []
        if abs(best[2].hz - b.hz) <= self._settings.range_hz:
            return []  # one tone, interrupted
        _, other, a = best
        sure = min(confidence(a), confidence(b)) * alone(((a, other), (b, tone)), others)
        if sure < self._gate.threshold:
            return []
        other.judged.add(USED)
        tone.judged.add(USED)
        return [
            Detection(
                kind=Kind.NEW_TONES,
                tone_id="",
                start=a.start,
                end=b.end,
                decided=now,
                tones=(span(a), span(b)),
                snr_db=min(a.snr_db, b.snr_db),
                level_dbfs=b.level_dbfs,
                twist_db=b.level_dbfs - a.level_dbfs,
                confidence=sure,
            )
        ]

    def settle(self, now: int) -> list[Heard]:
        """See `Rule`."""
        return []

    def forget(self) -> None:
        """See `Rule`."""

    def _may_precede(self, other: SteadyTone, b: Measured) -> bool:
        gap = int((NEW_GAP_S + 0.4) * EAR_RATE_HZ)
        return b.start - gap <= other.run.last <= b.start + 4096 and other.run.first < b.start

    def _steady(self, tone: SteadyTone, measured: Measured) -> bool:
        if not self._gate.lets(measured) or confidence(measured) < self._gate.threshold:
            return False
        hz = tone.run.hz
        inside = hz[3:-3] or hz
        off = max(abs(each - measured.hz) for each in inside)
        # Noise moves single peaks: what wanders is the tone when most of it does.
        return off <= self._settings.range_hz + 2.0 or math.isclose(off, 0.0)
