"""Pages as they come off the air: tones between real speech, in white noise, and what was sent when."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from echostream.tones.detector import ToneDetector
from echostream.tones.generator import Part, render
from echostream.tones.heard import Detection, Kind, NearMiss
from echostream.tones.plan import ListenPlan, TwoTone
from echostream.tones.tables import quick_call_pairs
from tests.bench.rows import Row
from tests.bench_tones.corpora import speech

Sound = NDArray[np.float32]

RATE_HZ: Final = 8000
TONE_DBFS: Final = -24.0
"""RMS of each tone, and of the speech around."""
SPEECH_DBFS: Final = -20.0
"""As the corpora have it."""
OFF: Final = 0.015
ONE_TONE_HZ: Final = 1.0
TIE: Final = 2e-4
"""Two definitions whose distances differ by less than this (0.2 Hz at 1 kHz) are equally near."""
DECIDE_WITHIN_S: Final = 2.0
"""After B's end: later is no hit."""
SET_SIZE: Final = 60
PAGES_A_SET: Final = 25


@dataclass(frozen=True, slots=True)
class Sent:
    """One page that was put into a scene: samples of its edges. a_hz, b_hz: what really sounded."""

    tone_id: str
    a_hz: float
    b_hz: float
    a_start: int
    b_start: int
    b_end: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """hit: the right definition in time. wrong: others, or the same again. late_s: after B's minimum."""

    hit: bool
    wrong: int
    late_s: float | None
    ambiguous: bool = False
    note: str = ""


def range_hz(hz: float, part: float = OFF) -> float:
    """A range as set in the field: 1.5 % and half a hertz."""
    return part * hz + 0.5


def definitions(
    rng: np.random.Generator, count: int = SET_SIZE, settings: Mapping[str, float] = MappingProxyType({})
) -> tuple[TwoTone, ...]:
    """`count` of the 990 legal pages, drawn without repetition."""
    pairs = quick_call_pairs()
    chosen = rng.choice(len(pairs), count, replace=False)
    return tuple(define(pairs[at].name, pairs[at].a_hz, pairs[at].b_hz, **settings) for at in chosen)


def define(name: str, a_hz: float, b_hz: float, **settings: float) -> TwoTone:
    """One definition with the benchmark's lengths and ranges, unless `settings` say otherwise."""
    chosen = {
        "a_length_s": 0.8,
        "b_length_s": 2.0,
        "a_range_hz": range_hz(a_hz),
        "b_range_hz": range_hz(b_hz),
        **settings,
    }
    return TwoTone(name, a_hz, b_hz, **chosen)


def off(rng: np.random.Generator, hz: float, part: float = OFF) -> float:
    """Within ± part of hz, uniformly."""
    return hz * (1 + float(rng.uniform(-part, part)))


def off_pair(rng: np.random.Generator, sent_as: TwoTone, part: float = OFF) -> tuple[float, float]:
    """Both tones of a page, each off by itself; drawn again where that makes them one tone."""
    while True:
        a_hz, b_hz = off(rng, sent_as.a_hz, part), off(rng, sent_as.b_hz, part)
        if abs(a_hz - b_hz) >= ONE_TONE_HZ:
            return a_hz, b_hz


def nearest(plan: Sequence[TwoTone], a_hz: float, b_hz: float) -> tuple[str, ...]:
    """The definition in range whose tones are nearest: root of the squares of both deviations, in parts.

    More than one where they are equally near, as far as can be measured; none where none is in range.
    """
    found: list[tuple[float, str]] = []
    for each in plan:
        a_off, b_off = abs(a_hz - each.a_hz), abs(b_hz - each.b_hz)
        if a_off <= each.a_range_hz and b_off <= each.b_range_hz:
            found.append((math.hypot(a_off / each.a_hz, b_off / each.b_hz), each.tone_id))
    found.sort()
    return tuple(tone_id for distance, tone_id in found if distance <= found[0][0] + TIE)


def talk(rng: np.random.Generator, length_s: float, dbfs: float = TONE_DBFS) -> Sound:
    """A random stretch of the speech corpus."""
    corpus = speech().samples
    count = round(length_s * RATE_HZ)
    at = int(rng.integers(0, max(1, corpus.size - count)))
    return corpus[at : at + count].astype(np.float32) * np.float32(10 ** ((dbfs - SPEECH_DBFS) / 20) / 32768)


def tones(parts: Sequence[Part], dbfs: float = TONE_DBFS) -> Sound:
    """The parts, each tone at `dbfs` RMS."""
    most = max(len(part.hz) for part in parts)
    peak_dbfs = dbfs + 3.0103 + (20 * math.log10(most) if most else 0.0)
    return render(parts, RATE_HZ, peak_dbfs).astype(np.float32)


def noise(rng: np.random.Generator, count: int, snr_db: float, dbfs: float = TONE_DBFS) -> Sound:
    """White in 0 to 4 kHz, `snr_db` below `dbfs`."""
    sigma = 10 ** ((dbfs - snr_db) / 20)
    return rng.standard_normal(count, np.float32) * np.float32(sigma)


def page(
    rng: np.random.Generator,
    tone_id: str,
    a_hz: float,
    b_hz: float,
    *,
    a_s: float = 1.0,
    b_s: float = 3.0,
    gap_s: float = 0.0,
    dbfs: float = TONE_DBFS,
    speech_dbfs: float = TONE_DBFS,
) -> tuple[Sound, Sent]:
    """Speech, a short pause, A, gap, B, a short pause, speech: without noise."""
    before, pause = talk(rng, float(rng.uniform(1.0, 2.0)), speech_dbfs), float(rng.uniform(0.05, 0.4))
    parts = [Part(a_s, (a_hz,)), *([Part(gap_s)] if gap_s else []), Part(b_s, (b_hz,))]
    sounding = tones(parts, dbfs)
    silence = np.zeros(round(pause * RATE_HZ), np.float32)
    after = talk(rng, DECIDE_WITHIN_S + 1.0, speech_dbfs)
    a_start = before.size + silence.size
    b_start = a_start + round((a_s + gap_s) * RATE_HZ)
    sent = Sent(tone_id, a_hz, b_hz, a_start, b_start, a_start + sounding.size)
    return np.concatenate((before, silence, sounding, silence, after)), sent


def listen(plan: ListenPlan, signal: NDArray[np.float32], rate_hz: int = RATE_HZ) -> list[Detection]:
    """Everything that is heard in a whole recording."""
    detector = ToneDetector(plan, rate_hz)
    heard = detector.feed(signal)
    heard += detector.finish()
    return [item for item in heard if isinstance(item, Detection)]


def judge(heard: Sequence[Detection], sent: Sent, plan: Sequence[TwoTone]) -> Outcome:
    """What came of one page."""
    right = nearest(plan, sent.a_hz, sent.b_hz) or (sent.tone_id,)
    pages = [item for item in heard if item.kind == Kind.TWO_TONE]
    until = sent.b_end + round(DECIDE_WITHIN_S * RATE_HZ)
    hits = [item for item in pages if item.tone_id in right and sent.b_start <= item.decided <= until]
    late_s = None
    if hits:
        least_s = next(each.b_length_s for each in plan if each.tone_id == hits[0].tone_id)
        late_s = (hits[0].decided - sent.b_start) / RATE_HZ - least_s
    wrong = len(pages) - (1 if hits else 0)
    note = ""
    if not hits or wrong:
        note = "; ".join(f"{item.tone_id} at {item.decided / RATE_HZ:.2f} s" for item in pages) or "nothing"
        note = f"right {' or '.join(right)} {sent.a_hz:.1f} {sent.b_hz:.1f} Hz: {note}"
    return Outcome(bool(hits), wrong, late_s, sent.tone_id not in right, note)


def noted(outcome: Outcome, where: str) -> Outcome:
    """Where nothing went wrong, as it is."""
    return replace(outcome, note=f"{where}: {outcome.note}") if outcome.note else outcome


def share_row(bench: str, what: str, outcomes: Sequence[Outcome], least: float, goal: str) -> list[Row]:
    """Pages heard of pages sent; and a row of its own for wrong alerts, where there were any."""
    hits = sum(outcome.hit for outcome in outcomes)
    nearer = sum(outcome.ambiguous for outcome in outcomes)
    wrong = sum(outcome.wrong for outcome in outcomes)
    note = f"{nearer} nearer to another definition: that is the right one" if nearer else ""
    rows = [Row(bench, what, f"{hits} of {len(outcomes)}", goal, hits >= least * len(outcomes) - 1e-9, note)]
    if wrong:
        rows.append(Row(bench, f"{what}: wrong alerts", str(wrong), "0", False))
    return rows


def report_failures(what: str, outcomes: Sequence[Outcome]) -> None:
    """Appends what went wrong to the file that BENCH_TONES_FAILURES names, for whoever looks into it."""
    path = os.environ.get("BENCH_TONES_FAILURES")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{what}: {outcome.note}\n" for outcome in outcomes if outcome.note)


def reasons(plan: ListenPlan, signal: NDArray[np.float32], rate_hz: int = RATE_HZ) -> str:
    """What an explaining ear says about the pages that it refused."""
    detector = ToneDetector(replace(plan, explain=True), rate_hz)
    heard = (*detector.feed(signal), *detector.finish())
    misses = [item for item in heard if isinstance(item, NearMiss)]
    return "; ".join(f"{miss.tone_id}: {miss.reason} ({miss.explanation})" for miss in misses[-3:])
